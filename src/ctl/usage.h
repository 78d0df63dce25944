// SPDX-License-Identifier: Apache-2.0
// The command line of culvertctl.
#pragma once

#include "ctl/command.h"

// What to run, as the command line says. Returns an exit code when the program should end at once
// (help, version, a bad command line), else -1.
int usage_parse(int argc, char **argv, struct ctl *ctl, const struct command **command,
		struct command_args *args);

// "culvertctl: TEXT", and how to get help with `command`. Returns CTL_USAGE.
__attribute__((format(printf, 2, 3))) int usage_error(const struct command *command,
						      const char *format, ...);

// A whole number from an argument. False: it is none, or outside of [min, max].
bool usage_parse_number(const char *text, long min, long max, long *number);
