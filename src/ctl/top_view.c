// SPDX-License-Identifier: Apache-2.0
#include "ctl/top_view.h"

#include <math.h>
#include <ncurses.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/field.h"
#include "ctl/paint.h"
#include "ctl/server_text.h"
#include "ctl/table.h"
#include "ctl/top_choice.h"
#include "ctl/units.h"

enum {
	HEAD_ROWS = 5, // three of facts, one of trouble or of the pool, the headings
	FOOT_ROWS = 2, // what the chosen row has to say, and the keys
	MIN_NAME = 12, // columns; before that, other columns go
	MIN_FOR_CLOCK = 76,
	WIDTH_OF_KEYS = 78, // the longest line of them; where it does not fit, some
	WIDTH_OF_SOME_KEYS = 34,
	LINE_MAX_BYTES = 512,
};

enum column_kind { NAME, UP, HEALTH, WEIGHT, SHARE, NOW, NEW, IN, OUT };

struct column {
	enum column_kind kind;
	const char *title;
	int width;      // 0: what is left
	int importance; // where the screen is narrow, the least goes first
	enum top_sort sort;
};

static const struct column pool_columns[] = {
	{NAME, "POOL", 0, 9, TOP_BY_NAME}, {UP, "UP", 9, 8, TOP_BY_NAME},
	{NOW, "NOW", 10, 7, TOP_BY_NOW},   {NEW, "NEW/S", 9, 6, TOP_BY_NEW},
	{IN, "IN/S", 10, 4, TOP_BY_IN},    {OUT, "OUT/S", 10, 5, TOP_BY_OUT},
};
static const struct column server_columns[] = {
	{NAME, "SERVER", 0, 9, TOP_BY_NAME},   {HEALTH, "HEALTH", 9, 8, TOP_BY_NAME},
	{WEIGHT, "WEIGHT", 6, 2, TOP_BY_NAME}, {SHARE, "SHARE", 5, 3, TOP_BY_NAME},
	{NOW, "NOW", 8, 7, TOP_BY_NOW},        {NEW, "NEW/S", 7, 6, TOP_BY_NEW},
	{IN, "IN/S", 9, 4, TOP_BY_IN},         {OUT, "OUT/S", 9, 5, TOP_BY_OUT},
};
enum {
	N_POOL_COLUMNS = sizeof(pool_columns) / sizeof(*pool_columns),
	N_SERVER_COLUMNS = sizeof(server_columns) / sizeof(*server_columns),
	MAX_COLUMNS = N_SERVER_COLUMNS,
};

// What fits of the columns, and how wide the first is.
struct layout {
	const struct column *columns[MAX_COLUMNS];
	size_t n_columns;
	int name_width;
};

void top_view_open(bool has_color)
{
	curs_set(0);
	if (!has_color || !has_colors())
		return;
	start_color();
	use_default_colors();
	init_pair(PAINT_GOOD, COLOR_GREEN, -1);
	init_pair(PAINT_WARN, COLOR_YELLOW, -1);
	init_pair(PAINT_BAD, COLOR_RED, -1);
}

static attr_t attributes_of(enum paint paint)
{
	switch (paint) {
	case PAINT_NONE:
		return A_NORMAL;
	case PAINT_DIM:
		return A_DIM;
	case PAINT_BOLD:
		return A_BOLD;
	case PAINT_GOOD:
	case PAINT_WARN:
	case PAINT_BAD:
		break;
	}
	return COLOR_PAIR(paint);
}

// ---- text --------------------------------------------------------------------------------------

// Cut, at a letter's end, to what `width` columns hold.
static void cut(char *clean, int width)
{
	size_t length = strlen(clean);
	while (length > 0 && paint_width(clean) > width) {
		do
			length--;
		while (length > 0 && ((unsigned char)clean[length] & 0xc0) == 0x80);
		clean[length] = '\0';
	}
}

static void put(enum paint paint, int width, enum table_align align, const char *text)
{
	char *clean = paint_clean(text);
	if (!clean)
		return;
	cut(clean, width);
	int rest = width - paint_width(clean);
	attrset((attr_t)(attributes_of(paint) | (getattrs(stdscr) & A_REVERSE)));
	printw("%*s%s%*s", align == TABLE_RIGHT ? rest : 0, "", clean,
	       align == TABLE_LEFT ? rest : 0, "");
	free(clean);
}

__attribute__((format(printf, 3, 4))) static void put_line(int y, enum paint paint,
							   const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	attrset(A_NORMAL);
	move(y, 0);
	put(paint, COLS, TABLE_LEFT, line);
	attrset(A_NORMAL);
}

// ---- the head ----------------------------------------------------------------------------------

static void draw_clock(void)
{
	char text[UNITS_TEXT_MAX];
	struct tm tm;
	time_t now = time(NULL);
	if (COLS < MIN_FOR_CLOCK || !localtime_r(&now, &tm) ||
	    !strftime(text, sizeof(text), "%H:%M:%S", &tm))
		return;
	attrset(A_DIM);
	mvprintw(0, COLS - (int)strlen(text), "%s", text);
	attrset(A_NORMAL);
}

// ", 9,812 fast", or nothing: those that the kernel forwards.
static const char *format_fast(const json_t *status, char *text, size_t size)
{
	char count[UNITS_TEXT_MAX];
	double n = field_number_or(status, "flows.fast_path", 0);
	text[0] = '\0';
	if (n > 0)
		snprintf(text, size, ", %s fast", units_whole(n, count));
	return text;
}

static void draw_load(const struct top_model *model)
{
	char line[LINE_MAX_BYTES];
	char fast[LINE_MAX_BYTES / 4];
	char load[LINE_MAX_BYTES / 4];
	char now[UNITS_TEXT_MAX];
	char most[UNITS_TEXT_MAX];
	char new[UNITS_TEXT_MAX];
	char in[UNITS_TEXT_MAX];
	char out[UNITS_TEXT_MAX];
	const json_t *status = model->answers.status;
	double current = field_number_or(status, "sessions.current",
					 field_number_or(status, "flows.current", NAN));
	double capacity = field_number_or(status, "sessions.max",
					  field_number_or(status, "flows.capacity", 0));
	bool is_bounded = capacity > 0;
	units_whole(current, now);
	units_rate(model->total.new_per_s, new);
	units_byte_rate(model->total.in_per_s, in);
	units_byte_rate(model->total.out_per_s, out);
	snprintf(load, sizeof(load), "%s %s%s%s",
		 field_at(status, "sessions") ? "sessions" : "flows", now, is_bounded ? " of " : "",
		 is_bounded ? units_whole(capacity, most) : "");
	format_fast(status, fast, sizeof(fast));
	size_t width =
		(size_t)snprintf(line, sizeof(line), "   new/s %s   in %s   out %s", new, in, out);
	bool has_room = strlen(load) + strlen(fast) + width <= (size_t)COLS;
	put_line(1, PAINT_NONE, "%s%s%s", load, has_room ? fast : "", line);
}

static void draw_servers(const json_t *status)
{
	static const char *const states[] = {"up", "down", "unknown", "drain", "maint", "removed"};
	char line[LINE_MAX_BYTES];
	char path[UNITS_TEXT_MAX];
	char count[UNITS_TEXT_MAX];
	size_t length =
		(size_t)snprintf(line, sizeof(line), "servers %s",
				 units_whole(field_number_or(status, "backends.total", 0), count));
	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		snprintf(path, sizeof(path), "backends.%s", states[i]);
		double n = field_number_or(status, path, 0);
		if (n > 0 && length < sizeof(line))
			length += (size_t)snprintf(line + length, sizeof(line) - length, "   %s %s",
						   states[i], units_whole(n, count));
	}
	put_line(2, field_number_or(status, "backends.down", 0) > 0 ? PAINT_WARN : PAINT_NONE, "%s",
		 line);
}

// The pool that was entered, and by whom it is used; or what is wrong.
static void draw_banner(const struct top_view *view, const struct top_model *model,
			const char *trouble)
{
	char line[LINE_MAX_BYTES] = "";
	size_t length = 0;
	size_t i;
	json_t *frontend;
	if (trouble) {
		put_line(3, PAINT_BAD, "No answer, the numbers are old: %s", trouble);
		return;
	}
	if (!*view->pool)
		return;
	json_array_foreach(field_list(model->answers.frontends, "frontends"), i, frontend)
	{
		if (strcmp(field_text_or(frontend, "pool", ""), view->pool) != 0 ||
		    length >= sizeof(line))
			continue;
		length += (size_t)snprintf(line + length, sizeof(line) - length, "   %s %s %s",
					   field_text_or(frontend, "name", "?"),
					   field_text_or(frontend, "address", "?"),
					   field_text_or(frontend, "scheduler", ""));
	}
	put_line(3, PAINT_BOLD, "pool %s%s", view->pool, line);
}

static void draw_head(const struct top_view *view, const struct top_model *model,
		      const char *trouble)
{
	char uptime[UNITS_TEXT_MAX];
	const json_t *status = model->answers.status;
	put_line(0, PAINT_BOLD, "culvert %s   %s mode   %s, running for %s",
		 field_text_or(status, "version", "?"), field_text_or(status, "mode", "?"),
		 field_text_or(status, "state", "?"),
		 units_duration(field_number_or(status, "uptime", NAN), uptime));
	draw_clock();
	draw_load(model);
	draw_servers(status);
	draw_banner(view, model, trouble);
}

// ---- the rows ----------------------------------------------------------------------------------

static int width_of(const struct column *const *columns, size_t n_columns)
{
	int width = 0;
	for (size_t i = 0; i < n_columns; i++)
		width += columns[i]->width + (i > 0);
	return width;
}

static void drop_least(struct layout *layout)
{
	size_t least = 0;
	for (size_t i = 1; i < layout->n_columns; i++) {
		if (layout->columns[i]->importance < layout->columns[least]->importance)
			least = i;
	}
	layout->n_columns--;
	for (size_t i = least; i < layout->n_columns; i++)
		layout->columns[i] = layout->columns[i + 1];
}

static void lay_out(struct layout *layout, bool is_servers)
{
	const struct column *columns = is_servers ? server_columns : pool_columns;
	layout->n_columns = is_servers ? N_SERVER_COLUMNS : N_POOL_COLUMNS;
	for (size_t i = 0; i < layout->n_columns; i++)
		layout->columns[i] = &columns[i];
	while (layout->n_columns > 1 &&
	       COLS - width_of(layout->columns, layout->n_columns) < MIN_NAME)
		drop_least(layout);
	layout->name_width = COLS - width_of(layout->columns, layout->n_columns);
}

static enum table_align align_of(const struct column *column)
{
	return column->kind == NAME || column->kind == HEALTH ? TABLE_LEFT : TABLE_RIGHT;
}

static void draw_titles(const struct layout *layout, const struct top_view *view)
{
	move(HEAD_ROWS - 1, 0);
	for (size_t i = 0; i < layout->n_columns; i++) {
		const struct column *column = layout->columns[i];
		bool is_sorted = column->sort == view->sort &&
				 (view->sort != TOP_BY_NAME || column->kind == NAME);
		attrset(A_REVERSE);
		if (i > 0)
			addch(' ');
		put(is_sorted ? PAINT_BOLD : PAINT_NONE, i ? column->width : layout->name_width,
		    align_of(column), column->title);
	}
	attrset(A_NORMAL);
}

// What the operator has said counts before what the checks say.
static const char *health_of(const struct top_row *row)
{
	const char *state = field_text_or(row->object, "state", "ready");
	return strcmp(state, "ready") == 0 ? field_text_or(row->object, "health", "-") : state;
}

static enum paint up_paint(const struct top_row *pool)
{
	if (pool->n_up == pool->n_servers)
		return PAINT_GOOD;
	return pool->n_up == 0 || field_is_true(pool->object, "in_panic") ? PAINT_BAD : PAINT_WARN;
}

static void put_number(const struct column *column, double number,
		       const char *(*format)(double, char *))
{
	char text[UNITS_TEXT_MAX];
	put(PAINT_NONE, column->width, TABLE_RIGHT, format(number, text));
}

static void draw_cell(const struct column *column, int width, const struct top_row *row)
{
	char text[UNITS_TEXT_MAX];
	switch (column->kind) {
	case NAME:
		put(PAINT_NONE, width, TABLE_LEFT, row->name);
		break;
	case UP:
		snprintf(text, sizeof(text), "%zu of %zu", row->n_up, row->n_servers);
		put(up_paint(row), width, TABLE_RIGHT, text);
		break;
	case HEALTH:
		put(paint_of_word(health_of(row)), width, TABLE_LEFT, health_of(row));
		break;
	case WEIGHT:
		put_number(column, server_weight(row->object), units_weight);
		break;
	case SHARE:
		put_number(column, field_number_or(row->object, "share", NAN), units_share);
		break;
	case NOW:
		put_number(column, row->numbers.now, units_whole);
		break;
	case NEW:
		put_number(column, row->numbers.new_per_s, units_rate);
		break;
	case IN:
		put_number(column, row->numbers.in_per_s, units_byte_rate);
		break;
	case OUT:
		put_number(column, row->numbers.out_per_s, units_byte_rate);
		break;
	}
}

static void draw_row(int y, const struct layout *layout, const struct top_row *row, bool is_chosen)
{
	move(y, 0);
	for (size_t i = 0; i < layout->n_columns; i++) {
		attrset(is_chosen ? A_REVERSE : A_NORMAL);
		if (i > 0)
			addch(' ');
		draw_cell(layout->columns[i], i ? layout->columns[i]->width : layout->name_width,
			  row);
	}
	attrset(A_NORMAL);
}

static size_t rows_on_screen(void)
{
	return LINES > HEAD_ROWS + FOOT_ROWS ? (size_t)(LINES - HEAD_ROWS - FOOT_ROWS) : 1;
}

bool top_view_key(struct top_view *view, const struct top_model *model, int key)
{
	if (key == KEY_RESIZE) // what the terminal shows now is anybody's guess
		clearok(stdscr, TRUE);
	return top_choice_key(view, model, key, (long)rows_on_screen());
}

// ---- all of it ---------------------------------------------------------------------------------

static void draw_foot(const struct top_view *view, const struct top_row *chosen)
{
	char note[LINE_MAX_BYTES] = "";
	if (chosen && view->is_servers) {
		server_note(chosen->object, note, sizeof(note));
		if (*note)
			put_line(LINES - 2, PAINT_WARN, "selected: %s: %s", chosen->name, note);
		else
			put_line(LINES - 2, PAINT_DIM, "selected: %s", chosen->name);
	} else if (chosen && field_is_true(chosen->object, "in_panic")) {
		put_line(LINES - 2, PAINT_BAD, "%s: in panic, all of its servers are used",
			 chosen->name);
	}
	const char *keys = view->is_servers ? "Esc back" : "Enter open  a all servers";
	if (COLS >= WIDTH_OF_KEYS)
		put_line(LINES - 1, PAINT_DIM,
			 "%s   sort: n name  c now  f new/s  i in  o out   q quit", keys);
	else if (COLS >= WIDTH_OF_SOME_KEYS)
		put_line(LINES - 1, PAINT_DIM, "%s   q quit", keys);
	else
		put_line(LINES - 1, PAINT_DIM, "q quit");
}

static void draw_rows(struct top_view *view, const struct top_rows *rows, size_t place)
{
	struct layout layout;
	size_t n_rows = rows_on_screen();
	lay_out(&layout, view->is_servers);
	draw_titles(&layout, view);
	if (place < view->first)
		view->first = place;
	if (place >= view->first + n_rows)
		view->first = place - n_rows + 1;
	for (size_t i = 0; i < n_rows; i++) {
		const struct top_row *row = top_choice_row(view, rows, view->first + i);
		if (row)
			draw_row(HEAD_ROWS + (int)i, &layout, row, view->first + i == place);
	}
}

void top_view_draw(struct top_view *view, struct top_model *model, const char *trouble)
{
	top_rows_sort(view->is_servers ? &model->servers : &model->pools, view->sort,
		      view->is_reversed);
	const struct top_rows *rows = top_choice_rows(view, model);
	size_t place = top_choice_place(view, rows);
	const struct top_row *chosen = top_choice_row(view, rows, place);
	if (chosen)
		snprintf(view->chosen, sizeof(view->chosen), "%s", chosen->name);
	erase();
	draw_head(view, model, trouble);
	draw_rows(view, rows, place);
	draw_foot(view, chosen);
	refresh();
}
