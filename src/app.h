// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>

#include "culvert/base/log.h"
#include "culvert/config/config.h"

// Exit codes, as culvert(8) documents them.
enum {
	EXIT_CODE_OK = 0,
	EXIT_CODE_FAILED = 1, // could not start, or broke down
	EXIT_CODE_USAGE = 2,  // bad command line, bad configuration
};

struct app_options {
	const char *config_path;
	struct config_overrides overrides;
	bool is_check;
	bool is_check_backends;
	bool is_print_firewall;
};

// Load, check, run until a signal. Returns an exit code.
int app_run(const struct app_options *options);
