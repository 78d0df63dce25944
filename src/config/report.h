// SPDX-License-Identifier: Apache-2.0
// Findings gathered while a configuration is read and checked, and how values look inside them.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "culvert/config/config.h"

enum {
	REPORT_MAX_FINDINGS = 100, // one more says that there are more
	REPORT_QUOTE_MAX = 80,     // text of a value in a message, with the terminating zero
};

struct position {
	unsigned line; // both from 1; 0: unknown
	unsigned column;
};

struct report {
	struct config_errors *errors; // borrowed
	const char *path;             // borrowed; goes into each finding
	bool is_full;                 // findings were left out
	int code;                     // -ENOMEM once a finding could not be kept
};

// Add a finding. The message says what is wrong and what to do.
__attribute__((format(printf, 3, 4))) void report_add(struct report *report, struct position at,
						      const char *format, ...);

// Sort the findings by position. Returns 0 when there are none, -EINVAL or -ENOMEM.
int report_finish(struct report *report);

// `length` bytes of `text` fit for a message: unprintable bytes escaped, cut when long. `quoted`
// has room for REPORT_QUOTE_MAX. Returns `quoted`.
const char *report_quote(const char *text, size_t length, char *quoted);
