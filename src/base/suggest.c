// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/suggest.h"

#include <string.h>

enum { NAME_MAX_LENGTH = 64, DISTANCE_MAX = 3 };

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

// Damerau-Levenshtein distance in the restricted form: letters put in, left out, changed, or
// swapped with their neighbour; `rows` holds the last three rows of its table.
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t rows[3][NAME_MAX_LENGTH + 1];
	size_t *before = rows[0];
	size_t *above = rows[1];
	size_t *row = rows[2];
	for (size_t j = 0; j <= b_length; j++)
		above[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t change = above[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = min(change, min(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min(row[j], before[j - 2] + 1);
		}
		size_t *oldest = before;
		before = above;
		above = row;
		row = oldest;
	}
	return above[b_length];
}

void suggest_offer(struct suggestion *suggestion, const char *name)
{
	size_t wanted_length = strlen(suggestion->wanted);
	size_t length = strlen(name);
	if (wanted_length > NAME_MAX_LENGTH || length > NAME_MAX_LENGTH)
		return;
	size_t gap = wanted_length > length ? wanted_length - length : length - wanted_length;
	size_t limit = min(DISTANCE_MAX, (min(wanted_length, length) + 1) / 3);
	if (suggestion->best)
		limit = min(limit, suggestion->distance - 1);
	if (gap > limit || limit == 0)
		return;
	size_t changes = distance(suggestion->wanted, wanted_length, name, length);
	if (changes == 0 || changes > limit)
		return;
	suggestion->best = name;
	suggestion->distance = changes;
}
