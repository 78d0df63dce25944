// SPDX-License-Identifier: Apache-2.0
#include "ctl/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/field.h"
#include "ctl/units.h"

enum { CELLS_AT_FIRST = 64, GAP = 2, HIDDEN_MAX = 256 };

struct cell {
	char *text; // owned, cleaned; NULL: empty
	enum paint paint;
};

struct table {
	const struct table_column *columns;
	size_t n_columns;
	struct cell *cells; // owned; row by row
	size_t n_cells;
	size_t n_room;
	uint32_t hidden; // one bit for each column
	bool is_short_of_memory;
};

struct table *table_create(const struct table_column *columns, size_t n_columns)
{
	struct table *table = calloc(1, sizeof(*table));
	if (table)
		*table = (struct table){.columns = columns, .n_columns = n_columns};
	return table;
}

void table_destroy(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

static bool make_room(struct table *table)
{
	if (table->n_cells < table->n_room)
		return true;
	size_t n_room = table->n_room ? table->n_room * 2 : CELLS_AT_FIRST;
	struct cell *cells = reallocarray(table->cells, n_room, sizeof(*cells));
	if (!cells)
		return false;
	table->cells = cells;
	table->n_room = n_room;
	return true;
}

// Takes the text over.
static void add_cell(struct table *table, enum paint paint, char *text)
{
	if (!make_room(table)) {
		table->is_short_of_memory = true;
		free(text);
		return;
	}
	table->cells[table->n_cells++] = (struct cell){text, paint};
}

void table_text(struct table *table, enum paint paint, const char *text)
{
	bool is_absent = !text || !*text;
	char *clean = paint_clean(is_absent ? "-" : text);
	if (!clean)
		table->is_short_of_memory = true;
	add_cell(table, is_absent ? PAINT_DIM : paint, clean);
}

void table_word(struct table *table, const char *word)
{
	table_text(table, word ? paint_of_word(word) : PAINT_NONE, word);
}

void table_empty(struct table *table)
{
	add_cell(table, PAINT_NONE, NULL);
}

void table_count(struct table *table, const json_t *object, const char *path)
{
	char text[UNITS_TEXT_MAX];
	const json_t *value = field_at(object, path);
	if (!json_is_number(value))
		table_text(table, PAINT_NONE, NULL);
	else if (json_is_integer(value))
		table_text(table, PAINT_NONE, units_count(json_integer_value(value), text));
	else
		table_text(table, PAINT_NONE, units_rate(json_real_value(value), text));
}

static void add_number(struct table *table, const json_t *object, const char *path,
		       const char *(*format)(double, char *))
{
	char text[UNITS_TEXT_MAX];
	double number;
	table_text(table, PAINT_NONE,
		   field_number(object, path, &number) ? format(number, text) : NULL);
}

void table_bytes(struct table *table, const json_t *object, const char *path)
{
	add_number(table, object, path, units_bytes);
}

void table_share(struct table *table, const json_t *object, const char *path)
{
	add_number(table, object, path, units_share);
}

void table_end_row(struct table *table)
{
	while (table->n_cells % table->n_columns != 0 && !table->is_short_of_memory)
		table_empty(table);
}

bool table_is_empty(const struct table *table)
{
	return table->n_cells == 0;
}

static const struct cell *cell_at(const struct table *table, size_t row, size_t column)
{
	return &table->cells[row * table->n_columns + column];
}

static int column_width(const struct table *table, size_t column)
{
	int width = paint_width(table->columns[column].title);
	for (size_t row = 0; row < table->n_cells / table->n_columns; row++) {
		const struct cell *cell = cell_at(table, row, column);
		int cell_width = cell->text ? paint_width(cell->text) : 0;
		width = cell_width > width ? cell_width : width;
	}
	return width;
}

// ---- a narrow terminal -------------------------------------------------------------------------

static bool is_hidden(const struct table *table, size_t column)
{
	return table->hidden & UINT32_C(1) << column;
}

static bool is_among(const char *title, const char *const *titles)
{
	while (*titles && strcmp(*titles, title) != 0)
		titles++;
	return *titles != NULL;
}

static unsigned line_width(const struct table *table, const char *const *titles)
{
	int width = 0;
	for (size_t i = 0; i < table->n_columns; i++) {
		const char *title = table->columns[i].title;
		bool may_wrap = i == table->n_columns - 1 && !is_among(title, titles);
		if (!is_hidden(table, i))
			width += GAP + (may_wrap ? paint_width(title) : column_width(table, i));
	}
	return (unsigned)(width > GAP ? width - GAP : 0);
}

static void hide(struct table *table, const char *title)
{
	for (size_t i = 0; i < table->n_columns; i++) {
		if (strcmp(table->columns[i].title, title) == 0)
			table->hidden |= UINT32_C(1) << i;
	}
}

void table_fit(struct table *table, unsigned width, const char *const *titles)
{
	if (width == 0 || table->is_short_of_memory)
		return;
	for (const char *const *next = titles; *next && line_width(table, titles) > width; next++)
		hide(table, *next);
}

static void print_hidden(const struct table *table, FILE *out, bool has_color)
{
	char text[HIDDEN_MAX] = "The terminal is too narrow for ";
	bool is_first = true;
	for (size_t i = 0; i < table->n_columns; i++) {
		size_t used = strlen(text);
		if (!is_hidden(table, i))
			continue;
		snprintf(text + used, sizeof(text) - used, "%s%s", is_first ? "" : ", ",
			 table->columns[i].title);
		is_first = false;
	}
	fputc('\n', out);
	paint_print(out, has_color, PAINT_DIM, text);
	fputc('\n', out);
}

// ---- printing ----------------------------------------------------------------------------------

// Spaces are printed only before something, so that no line ends with them.
static void print_cell(FILE *out, bool has_color, const struct cell *cell, int width,
		       enum table_align align, int *pending)
{
	const char *text = cell->text ? cell->text : "";
	int rest = width - paint_width(text);
	if (align == TABLE_RIGHT)
		*pending += rest;
	if (*text) {
		fprintf(out, "%*s", *pending, "");
		paint_print(out, has_color, cell->paint, text);
		*pending = 0;
	}
	if (align == TABLE_LEFT)
		*pending += rest;
	*pending += GAP;
}

static void print_titles(const struct table *table, const int *widths, FILE *out, bool has_color)
{
	int pending = 0;
	for (size_t i = 0; i < table->n_columns; i++) {
		if (is_hidden(table, i))
			continue;
		char *title = paint_clean(table->columns[i].title);
		struct cell cell = {title, PAINT_DIM};
		print_cell(out, has_color, &cell, widths[i], table->columns[i].align, &pending);
		free(title);
	}
	fputc('\n', out);
}

bool table_print(const struct table *table, FILE *out, bool has_color)
{
	int *widths = calloc(table->n_columns, sizeof(*widths));
	if (!widths || table->is_short_of_memory) {
		free(widths);
		return false;
	}
	for (size_t i = 0; i < table->n_columns; i++)
		widths[i] = column_width(table, i);
	size_t n_rows = table->n_cells / table->n_columns;
	if (n_rows > 0 && *table->columns[0].title)
		print_titles(table, widths, out, has_color);
	for (size_t row = 0; row < n_rows; row++) {
		int pending = 0;
		for (size_t i = 0; i < table->n_columns; i++) {
			if (!is_hidden(table, i))
				print_cell(out, has_color, cell_at(table, row, i), widths[i],
					   table->columns[i].align, &pending);
		}
		fputc('\n', out);
	}
	if (table->hidden && n_rows > 0)
		print_hidden(table, out, has_color);
	free(widths);
	return true;
}
