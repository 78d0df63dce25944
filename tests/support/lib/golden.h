// SPDX-License-Identifier: Apache-2.0
// Packet tables: a scene and cases, read from a text file. tests/golden/README.md describes them.
#pragma once

#include "names.h"
#include "scene.h"

struct golden_line {
	char *text; // owned; neither empty nor a comment, no blanks in front
	unsigned number;
};

// Lines of the table: the first is "case NAME", the steps follow.
struct golden_case {
	const char *name; // borrowed from the line
	const struct golden_line *steps;
	size_t n_steps;
};

struct golden_table {
	const char *path;          // borrowed
	struct golden_line *lines; // owned
	size_t n_lines;
	size_t n_setup;            // lines before the first case
	struct golden_case *cases; // owned
	size_t n_cases;
};

// NULL, or what is wrong.
const char *golden_read(struct golden_table *table, const char *path);
void golden_free(struct golden_table *table);

// Make the scene that the table describes. `names` gets its hosts, and its backends' numbers under
// their own names as ports. 0, or the number of a line that means nothing.
unsigned golden_set_scene(const struct golden_table *table, struct scene *scene,
			  struct names *names);

// What follows `word` and blanks in `line`, or NULL when it begins with something else.
const char *golden_after(const char *line, const char *word);
