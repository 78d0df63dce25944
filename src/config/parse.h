// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>

#include "config/document.h"
#include "culvert/config/config.h"

// A text in memory; `path` (borrowed) only names it.
struct config_text {
	const char *text; // borrowed
	size_t length;
	enum config_syntax syntax;
	const char *path;
};

// config_load() for a text.
int config_parse(const char *text, size_t length, enum config_syntax syntax, const char *path,
		 struct config **config, struct config_errors *errors);
// config_load_for() for a text.
int config_parse_for(const struct config_text *text, const enum mode *mode, struct config **config,
		     struct config_errors *errors);
