// SPDX-License-Identifier: Apache-2.0
// Which rows `culvertctl top` shows, which of them is chosen, and what keys do to that. Draws
// nothing.
#pragma once

#include "ctl/top_view.h"

// The servers, or the pools; more than are shown when a pool was entered.
const struct top_rows *top_choice_rows(const struct top_view *view, const struct top_model *model);
// The place of the chosen row among those shown; the first when it has gone.
size_t top_choice_place(const struct top_view *view, const struct top_rows *rows);
// The row at a place among those shown; NULL: there is none.
const struct top_row *top_choice_row(const struct top_view *view, const struct top_rows *rows,
				     size_t place);
// What a key does; `page` is how many rows fit on the screen. False: the user wants to leave.
bool top_choice_key(struct top_view *view, const struct top_model *model, int key, long page);
