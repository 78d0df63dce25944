// SPDX-License-Identifier: Apache-2.0
// HTTP with culvert over its Unix socket, by libcurl. Nothing here prints.
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/ctl.h"
#include "culvert/base/err.h"

enum { CLIENT_MAX_ANSWER_BYTES = 64 << 20 };

// An answer, or as much of one as has come. Zero-initialise; client_answer_fini() leaves it empty.
struct client_answer {
	long status; // of HTTP; 0: none came
	char *text;  // owned; ends with a zero byte; NULL: empty
	size_t length;
	size_t room; // allocated
};

// Takes what a stream brings; false ends it.
typedef bool (*client_sink)(void *arg, const char *bytes, size_t length);

struct client_stream {
	const char *path;              // borrowed
	client_sink sink;              // gets the body of an answer with status 200
	bool (*wants_more)(void *arg); // asked about once a second; NULL: always
	void *arg;
	uint32_t silence_ms; // how long nothing may come
};

// Ask, and wait for the answer. `body` is JSON for a POST; NULL: GET. Returns 0 whatever the status
// is, else -errno with a text in `err` that says what to do. Blocks for the timeout at most.
int client_ask(const struct ctl *ctl, const char *path, const char *body,
	       struct client_answer *answer, struct err *err);

// GET whose answer is taken piece by piece. An answer whose status is not 200 goes to `answer`.
// Returns 0 also when the sink or `wants_more` ended it.
int client_stream(const struct ctl *ctl, const struct client_stream *stream,
		  struct client_answer *answer, struct err *err);

void client_answer_fini(struct client_answer *answer);

// For who drives the transfer himself (curl_multi): a handle for a GET that fills `answer`, which
// he empties before each use. NULL without memory.
CURL *client_handle(const struct ctl *ctl, const char *path, struct client_answer *answer);
// What a result of libcurl means here. Returns -errno.
int client_failure(const struct ctl *ctl, CURLcode result, CURL *handle, struct err *err);
// Empty, with what it has allocated kept.
void client_answer_reset(struct client_answer *answer);

// Append `text` as a part of a URL, percent-encoded (RFC 3986 section 2.1): "/" too, so that the
// full name of a server is one segment. `to` has room for `room` bytes; what does not fit is cut.
void client_escape(char *to, size_t room, const char *text);
