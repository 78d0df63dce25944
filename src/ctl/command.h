// SPDX-License-Identifier: Apache-2.0
// A command: its words for --help, the options that only it has, and what it does.
#pragma once

#include <stddef.h>

#include "ctl/ctl.h"

enum { COMMAND_MAX_OPTIONS = 8, COMMAND_MAX_ARGUMENTS = 2 };

struct command_option {
	const char *name;  // without the dashes
	const char *value; // what --help calls its value; NULL: takes none
	const char *help;
};

struct command_args {
	const char *values[COMMAND_MAX_OPTIONS]; // by the options' places; NULL: not given; "" for
						 // one that takes no value
	const char *arguments[COMMAND_MAX_ARGUMENTS];
	size_t n_arguments;
};

struct command {
	const char *name;
	const char *arguments; // for --help; NULL: takes none
	size_t min_arguments;
	size_t max_arguments;
	const char *summary; // one line
	const char *help;    // more, or NULL
	const struct command_option *options;
	size_t n_options;
	int (*run)(const struct ctl *ctl, const struct command_args *args); // an exit code
};

extern const struct command status_command;
extern const struct command stats_command;
extern const struct command servers_command;
extern const struct command flows_command;
extern const struct command drops_command;
extern const struct command events_command;
extern const struct command explain_command;
extern const struct command config_command;
extern const struct command top_command;
extern const struct command drain_command;
extern const struct command maint_command;
extern const struct command ready_command;
extern const struct command weight_command;
extern const struct command reload_command;
extern const struct command check_command;
