// SPDX-License-Identifier: Apache-2.0
// A look at the text before toml++ gets it, for two things:
// Dots: `a.a.a = 1` nests one table for each, and toml++ frees tables by recursion.
// Letters beyond ASCII: toml++ 3.3 runs into undefined behaviour when it meets, say, U+00C4 where a
// blank may be. No value that culvert takes has such letters, so they are for comments alone.
// This knows just enough of TOML to tell strings and comments from the rest. Where it takes for a
// string what toml++ does not, toml++ stops with an error at that very place.
#include "config/toml_guard.h"

#include <errno.h>
#include <string.h>

struct cursor {
	const char *at;
	const char *end;
	const char *line_start;
	unsigned line;
	unsigned n_dots; // in this line
};

static void start_line(struct cursor *cursor)
{
	cursor->line++;
	cursor->line_start = cursor->at;
	cursor->n_dots = 0;
}

static void skip_comment(struct cursor *cursor)
{
	const char *stop = memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at));
	cursor->at = stop ? stop : cursor->end;
}

// How many of the byte at the cursor stand there in a row, `most` at most.
static size_t count_run(const struct cursor *cursor, size_t most)
{
	size_t count = 0;
	while (count < most && cursor->at + count < cursor->end &&
	       cursor->at[count] == cursor->at[0])
		count++;
	return count;
}

// From the opening quote to behind the closing one. What ends too early is left to toml++.
static void skip_string(struct cursor *cursor)
{
	char quote = *cursor->at;
	size_t opening = count_run(cursor, 3);
	cursor->at += opening;
	if (opening == 2) // the empty string
		return;
	bool is_multiline = opening == 3;
	while (cursor->at < cursor->end) {
		char c = *cursor->at;
		if ((unsigned char)c >= 0x80) // the caller's to refuse
			return;
		if (c == quote && count_run(cursor, opening) == opening) {
			// Up to two quotes may stand before the closing three.
			cursor->at += is_multiline ? count_run(cursor, 5) : 1;
			return;
		}
		if (c == '\n' && !is_multiline)
			return;
		cursor->at++;
		if (c == '\\' && quote == '"' && cursor->at < cursor->end &&
		    (*cursor->at == quote || *cursor->at == '\\'))
			cursor->at++;
		if (c == '\n')
			start_line(cursor);
	}
}

static int refuse(const struct cursor *cursor, struct report *report, const char *problem)
{
	report_add(report,
		   (struct position){cursor->line, (unsigned)(cursor->at - cursor->line_start) + 1},
		   "%s", problem);
	return -EINVAL;
}

int toml_guard_check(const char *text, size_t length, struct report *report)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	struct cursor cursor = {.at = text, .end = text + length, .line_start = text, .line = 1};
	if (length >= 3 && memcmp(text, byte_order_mark, 3) == 0)
		cursor.line_start = cursor.at += 3;
	while (cursor.at < cursor.end) {
		char c = *cursor.at;
		if (c == '#') {
			skip_comment(&cursor);
			continue;
		}
		if (c == '"' || c == '\'') {
			skip_string(&cursor);
			continue;
		}
		if ((unsigned char)c >= 0x80)
			return refuse(
				&cursor, report,
				"a letter beyond ASCII; such letters may stand in comments only");
		if (c == '.' && ++cursor.n_dots > TOML_MAX_DOTS)
			return refuse(&cursor, report, "too many dots in one line; nest less");
		cursor.at++;
		if (c == '\n')
			start_line(&cursor);
	}
	return 0;
}
