// SPDX-License-Identifier: Apache-2.0
// Errors: functions return 0 or -errno; what a person needs to know goes into a struct err.
#pragma once

#include <stdarg.h>

enum { ERR_MESSAGE_MAX = 1024 };

// Zero-initialise before use. `file` is borrowed from the caller of the failing function and may be
// NULL; `line` and `column` count from 1, 0 means unknown.
struct err {
	char message[ERR_MESSAGE_MAX];
	const char *file;
	unsigned line;
	unsigned column;
};

// Record the message, replacing what was there, and return `code` unchanged (a negative errno), so
// that `return err_set(err, -EINVAL, "...")` reads well. `err` may be NULL. Any thread.
__attribute__((format(printf, 3, 4))) int err_set(struct err *err, int code, const char *format,
						  ...);

// As err_set(), and appends ": " and the system's text for -code.
__attribute__((format(printf, 3, 4))) int err_sys(struct err *err, int code, const char *format,
						  ...);
