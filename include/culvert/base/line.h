// SPDX-License-Identifier: Apache-2.0
// One line of key and value pairs, as logfmt or as a JSON object, in a buffer of the caller. What
// does not fit is cut at the end of a value; the line is well-formed all the same, and one line:
// whatever bytes a value has, it cannot end it or pass itself off as another key. Any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum line_format { LINE_LOGFMT, LINE_JSON };

enum {
	LINE_SIZE_MIN = 64, // of a buffer
	LINE_TIME_MAX = 40, // of line_format_time(), with the terminating zero
};

struct line {
	char *text; // borrowed
	size_t size;
	size_t len;
	enum line_format format;
};

void line_begin(struct line *line, char *buffer, size_t size, enum line_format format);

// `key` is a lower-case identifier, each once in a line. Pairs that have no room are left out
// whole.
void line_add(struct line *line, const char *key, const char *value);
void line_add_number(struct line *line, const char *key, uint64_t value);
void line_add_seconds(struct line *line, const char *key, uint64_t milliseconds);

// Ends it with a newline and a zero. Returns the length, the newline counted.
size_t line_end(struct line *line);

// RFC 3339, UTC, milliseconds. Returns `text`, which has room for LINE_TIME_MAX.
char *line_format_time(const struct timespec *time, char *text);

// `value` as it may stand in a line for people: printable UTF-8 stays, all else is shown as \n or
// \x1b. At most `size` bytes with the terminating zero. Returns the length.
size_t line_escape(const char *value, char *text, size_t size);

// What is not UTF-8, as when a cut has gone through a character, becomes question marks.
void line_make_valid(char *text);
