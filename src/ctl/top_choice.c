// SPDX-License-Identifier: Apache-2.0
#include "ctl/top_choice.h"

#include <ncurses.h>
#include <stdio.h>
#include <string.h>

enum {
	KEY_ESCAPE = 27,
	MANY_ROWS = 1 << 20, // more than there are
};

static bool is_shown(const struct top_view *view, const struct top_row *row)
{
	return !view->is_servers || !*view->pool || strcmp(row->pool, view->pool) == 0;
}

const struct top_rows *top_choice_rows(const struct top_view *view, const struct top_model *model)
{
	return view->is_servers ? &model->servers : &model->pools;
}

static size_t count_shown(const struct top_view *view, const struct top_rows *rows)
{
	size_t count = 0;
	for (size_t i = 0; i < rows->count; i++)
		count += is_shown(view, &rows->list[i]);
	return count;
}

size_t top_choice_place(const struct top_view *view, const struct top_rows *rows)
{
	size_t place = 0;
	for (size_t i = 0; i < rows->count; i++) {
		if (!is_shown(view, &rows->list[i]))
			continue;
		if (strcmp(rows->list[i].name, view->chosen) == 0)
			return place;
		place++;
	}
	return 0;
}

const struct top_row *top_choice_row(const struct top_view *view, const struct top_rows *rows,
				     size_t place)
{
	for (size_t i = 0; i < rows->count; i++) {
		if (is_shown(view, &rows->list[i]) && place-- == 0)
			return &rows->list[i];
	}
	return NULL;
}

static void move_choice(struct top_view *view, const struct top_model *model, long by)
{
	const struct top_rows *rows = top_choice_rows(view, model);
	long last = (long)count_shown(view, rows) - 1;
	long place = (long)top_choice_place(view, rows) + by;
	place = place > last ? last : place;
	const struct top_row *row = top_choice_row(view, rows, place > 0 ? (size_t)place : 0);
	if (row)
		snprintf(view->chosen, sizeof(view->chosen), "%s", row->name);
}

static void enter_pool(struct top_view *view, const struct top_model *model)
{
	const struct top_rows *rows = top_choice_rows(view, model);
	const struct top_row *row = top_choice_row(view, rows, top_choice_place(view, rows));
	if (view->is_servers || !row)
		return;
	snprintf(view->pool, sizeof(view->pool), "%s", row->name);
	view->is_servers = true;
	*view->chosen = '\0';
}

static void leave_pool(struct top_view *view)
{
	snprintf(view->chosen, sizeof(view->chosen), "%s", view->pool);
	*view->pool = '\0';
	view->is_servers = false;
}

static void show_all(struct top_view *view)
{
	view->is_servers = true;
	*view->pool = '\0';
	*view->chosen = '\0';
}

static void sort_by(struct top_view *view, enum top_sort sort)
{
	view->is_reversed = view->sort == sort && !view->is_reversed;
	view->sort = sort;
}

static bool take_sort_key(struct top_view *view, int key)
{
	static const char keys[] = "ncfio"; // in the order of enum top_sort
	const char *found = key > 0 && key < 0x80 ? strchr(keys, key) : NULL;
	if (found)
		sort_by(view, (enum top_sort)(found - keys));
	return found;
}

bool top_choice_key(struct top_view *view, const struct top_model *model, int key, long page)
{
	if (take_sort_key(view, key))
		return true;
	switch (key) {
	case 'q':
		return false;
	case KEY_UP:
	case 'k':
		move_choice(view, model, -1);
		break;
	case KEY_DOWN:
	case 'j':
		move_choice(view, model, 1);
		break;
	case KEY_PPAGE:
		move_choice(view, model, -page);
		break;
	case KEY_NPAGE:
		move_choice(view, model, page);
		break;
	case KEY_HOME:
		move_choice(view, model, -MANY_ROWS);
		break;
	case KEY_END:
		move_choice(view, model, MANY_ROWS);
		break;
	case '\n':
	case '\r':
	case KEY_ENTER:
	case KEY_RIGHT:
		enter_pool(view, model);
		break;
	case KEY_ESCAPE:
	case KEY_BACKSPACE:
	case KEY_LEFT:
		leave_pool(view);
		break;
	case 'a':
		show_all(view);
		break;
	default:
		break;
	}
	return true;
}
