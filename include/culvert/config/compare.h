// SPDX-License-Identifier: Apache-2.0
// Where two configurations differ, key by key, in the words of the file.
// Called by: control.
#pragma once

#include "culvert/config/config.h"

enum { CONFIG_VALUE_MAX = 160, CONFIG_CHANGES_MAX = 512 };

struct config_difference {
	const char *key; // "passthrough.workers"
	bool can_change; // while the process runs
	char before[CONFIG_VALUE_MAX];
	char after[CONFIG_VALUE_MAX];
};

// Borrowed for the call.
typedef void (*config_difference_fn)(void *arg, const struct config_difference *difference);

// All keys that stand in no frontend and no pool.
void config_compare_settings(const struct config *before, const struct config *after,
			     config_difference_fn on_difference, void *arg);

// What is another in a frontend, a pool without its backends, or a backend: "weight 1 → 3, ...";
// the empty string when nothing is. `text` has room for CONFIG_CHANGES_MAX. Returns `text`.
const char *config_compare_frontends(const struct config *before, const struct config_frontend *a,
				     const struct config *after, const struct config_frontend *b,
				     char *text);
const char *config_compare_pools(const struct config_pool *a, const struct config_pool *b,
				 char *text);
const char *config_compare_backends(const struct config_backend *a, const struct config_backend *b,
				    char *text);
