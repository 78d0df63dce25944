// SPDX-License-Identifier: Apache-2.0
// Reading an answer of HTTP/1.x (RFC 9112) as it comes in, as far as a health check wants to know
// it: the status, and whether a text is in the body. Memory is fixed, and so is how much is looked
// at.
// Pure: bytes in. Any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HTTP_HEADER_MAX = 16384, // of all headers together, those of interim answers included
	HTTP_BODY_MAX = 65536,   // looked at
	HTTP_LINE_MAX = 256,     // kept of a line
	HTTP_CHUNK_LINE_MAX = 1024,
	HTTP_TEXT_MAX = 256, // of the text that is looked for
};

enum http_step {
	HTTP_STATUS_LINE,
	HTTP_FIELDS,
	HTTP_BODY,       // to its length, or to the end of the connection
	HTTP_CHUNK_SIZE, // the line before a chunk
	HTTP_CHUNK,
	HTTP_CHUNK_END, // the line break behind it
	HTTP_OVER,
};

enum http_progress {
	HTTP_MORE,  // is needed
	HTTP_WHOLE, // all is known
	HTTP_BAD,   // `problem` says why
};

struct http_answer {
	const char *text; // borrowed; what the body has to contain; NULL: the header is enough
	size_t text_len;
	enum http_step step;
	unsigned status; // 0: not known yet
	bool has_header; // all of it, of an answer that is not an interim one
	bool has_text;   // the body contains it
	bool is_cut;     // the body goes on behind what was looked at
	const char *problem;

	bool is_head; // an answer to HEAD
	bool is_chunked;
	bool has_length;
	uint64_t left; // bytes of the body, or of the chunk
	size_t n_header;
	size_t n_body;
	size_t n_line; // of the line at hand; those beyond HTTP_LINE_MAX are not kept
	char line[HTTP_LINE_MAX];
	size_t n_tail; // the body's last bytes, where the text may have begun
	char tail[HTTP_TEXT_MAX];
};

// `text` is at most HTTP_TEXT_MAX bytes, or NULL.
void http_answer_init(struct http_answer *answer, const char *text, bool is_head);

// The next bytes of the connection. Not after anything but HTTP_MORE.
enum http_progress http_answer_feed(struct http_answer *answer, const char *bytes, size_t n);
// The connection has ended.
enum http_progress http_answer_end(struct http_answer *answer);
