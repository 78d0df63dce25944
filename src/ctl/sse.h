// SPDX-License-Identifier: Apache-2.0
// Server-sent events (WHATWG HTML, section 9.2): a stream of bytes, cut into events.
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { SSE_MAX_BYTES = 1 << 24, SSE_NAME_MAX = 32 };

// Zero-initialise but for `take` and `arg`.
struct sse {
	bool (*take)(void *arg, const char *name, const char *data); // false: no more of them
	void *arg;
	char *line; // owned; what has come of one
	size_t n_line;
	char *data; // owned; lines of the event so far, each with its newline; NULL: none
	size_t n_data;
	char name[SSE_NAME_MAX];
	bool is_after_cr;
};

// Calls `take` for each event that is whole. False when `take` said so, memory is short, or an
// event is larger than SSE_MAX_BYTES.
bool sse_feed(struct sse *sse, const char *bytes, size_t length);
void sse_fini(struct sse *sse);
