// SPDX-License-Identifier: Apache-2.0
// Text for a terminal: colours where it has them, and nothing in it that the terminal would obey.
#pragma once

#include <stdbool.h>
#include <stdio.h>

enum paint {
	PAINT_NONE,
	PAINT_GOOD,
	PAINT_WARN,
	PAINT_BAD,
	PAINT_DIM,  // beside the point: headings, what is zero
	PAINT_BOLD, // the point
};

// A copy in which control characters (C0, DEL, and C1 of Unicode), what turns the direction of
// writing, and what is no UTF-8 are "?". Owned by the caller; NULL without memory.
char *paint_clean(const char *text);

// Columns of a terminal that cleaned text takes.
int paint_width(const char *clean);

// Print with a colour, or without.
void paint_print(FILE *out, bool has_color, enum paint paint, const char *clean);

// How good a word of the API is: "up", "ready", "drain", "error" and the like.
enum paint paint_of_word(const char *word);
