// SPDX-License-Identifier: Apache-2.0
// The screen of `culvertctl top`, by ncurses: what is chosen, and how it is drawn.
#pragma once

#include <stdbool.h>

#include "ctl/top_model.h"

enum { TOP_NAME_MAX = 512 };

// Zero-initialise; the pools come first.
struct top_view {
	bool is_servers;           // else the pools
	char pool[TOP_NAME_MAX];   // whose servers; "": all
	char chosen[TOP_NAME_MAX]; // the name of the row with the cursor
	size_t first;              // the row at the top of the screen
	enum top_sort sort;
	bool is_reversed;
};

// To be called once, when ncurses runs.
void top_view_open(bool has_color);
// What a key does. False: the user wants to leave.
bool top_view_key(struct top_view *view, const struct top_model *model, int key);
// `trouble`: why the numbers are old; NULL: they are not.
void top_view_draw(struct top_view *view, struct top_model *model, const char *trouble);
