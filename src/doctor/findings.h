// SPDX-License-Identifier: Apache-2.0
// What the checks have found, and its two forms: lines for people, JSON for programs.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

// STATUS_NOTE: no fault, and good to know.
enum status { STATUS_OK, STATUS_NOTE, STATUS_WARNING, STATUS_ERROR, STATUS_SKIPPED, N_STATUS };

// What one check says about one subject. The strings are owned, and none is NULL.
struct finding {
	const char *check; // borrowed
	enum status status;
	char *subject; // "web/b1 10.0.0.101:80", "eth0", or empty: this host
	char *found;
	char *fix; // a command, or a sentence where there is none; empty: nothing to mend
};

struct findings {
	struct finding *list; // owned
	size_t n;
	bool is_incomplete; // memory ran short
};

struct findings_style {
	bool is_verbose;  // a line for every finding; else those that are ok, or notes, share one
			  // with others of their check that say the same
	bool is_coloured; // for a terminal
};

__attribute__((format(printf, 5, 6))) void findings_add(struct findings *findings,
							const char *check, enum status status,
							const char *subject, const char *format,
							...);
// What mends the finding added last.
__attribute__((format(printf, 2, 3))) void findings_fix(struct findings *findings,
							const char *format, ...);
void findings_fini(struct findings *findings);

size_t findings_count(const struct findings *findings, enum status status);
const char *status_name(enum status status); // "ok", "note", "warning", "error" or "skipped"

void findings_print(const struct findings *findings, struct findings_style style, FILE *out);
// One object and a newline. 0 or -ENOMEM.
int findings_print_json(const struct findings *findings, const char *config_path, const char *mode,
			FILE *out);
