// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>

#include "config/document.h"
#include "culvert/config/config.h"

// config_load() for a text in memory: `path` (borrowed) only names it.
int config_parse(const char *text, size_t length, enum config_syntax syntax, const char *path,
		 struct config **config, struct config_errors *errors);
