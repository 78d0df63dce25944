// SPDX-License-Identifier: Apache-2.0
// A table of text: columns as wide as their widest cell, numbers to the right, headings dim.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/paint.h"

struct table;

enum table_align { TABLE_LEFT, TABLE_RIGHT };

struct table_column {
	const char *title; // borrowed for as long as the table lives
	enum table_align align;
};

// `columns` is borrowed. NULL without memory.
struct table *table_create(const struct table_column *columns, size_t n_columns);
void table_destroy(struct table *table); // NULL is legal

// Cells are added row by row, from the left; what a row lacks when it ends stays empty. Text is
// copied, and cleaned for a terminal; NULL and "" show as "-".
void table_text(struct table *table, enum paint paint, const char *text);
void table_word(struct table *table, const char *word); // with the colour of its meaning
void table_empty(struct table *table);
// Numbers at a path of a JSON object; "-" where there is none.
void table_count(struct table *table, const json_t *object, const char *path);
void table_bytes(struct table *table, const json_t *object, const char *path);
void table_share(struct table *table, const json_t *object, const char *path);
void table_end_row(struct table *table);

bool table_is_empty(const struct table *table);
// Once it is filled: leave out columns, those whose `titles` (the last is NULL) come first at
// first, until its lines have room in a terminal of `width`; 0: any. What is left out is told below
// the table. Text in a last column that is not among the titles may be longer, and goes on in
// another line.
void table_fit(struct table *table, unsigned width, const char *const *titles);
// Without its headings when it has no rows, or when the first column's is "". False: memory was
// short while it was filled.
bool table_print(const struct table *table, FILE *out, bool has_color);
