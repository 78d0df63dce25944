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
	bool has_mode;
	enum mode mode;
	bool has_log_level;
	enum log_level log_level;
	bool is_check;
	bool is_check_backends;
	struct ip_addr check_sources[2]; // by ip_addr_is_v4(); all zero: not given
	bool is_print_firewall;
	const char *user; // NULL: not given
};

// Load, check, run until a signal. Returns an exit code.
int app_run(const struct app_options *options);
