// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/maglev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
	OFFSET_SEED = 1, // fixed, so that every run and every balancer builds the same table
	SKIP_SEED = 2,
	SLOT_EMPTY = 0xffff,
};

static uint32_t max_weight(const struct maglev_turn *turns, size_t n)
{
	uint32_t max = 0;
	for (size_t i = 0; i < n; i++)
		max = turns[i].weight > max ? turns[i].weight : max;
	return max;
}

static void claim_next_empty(uint16_t *slots, uint32_t size, struct maglev_turn *turn)
{
	while (slots[turn->cursor] != SLOT_EMPTY)
		turn->cursor = (turn->cursor + turn->skip) % size;
	slots[turn->cursor] = turn->id;
}

// Per round each backend gathers its weight, and has a turn whenever it has gathered the greatest
// weight of all; the rest is carried over.
void maglev_populate(uint16_t *slots, uint32_t size, struct maglev_turn *turns, size_t n)
{
	uint32_t turn_cost = max_weight(turns, n);
	memset(slots, 0xff, size * sizeof(*slots));
	for (uint32_t i = 0, n_filled = 0; n_filled < size; i = i + 1 < n ? i + 1 : 0) {
		turns[i].gathered += turns[i].weight;
		if (turns[i].gathered < turn_cost)
			continue;
		turns[i].gathered -= turn_cost;
		claim_next_empty(slots, size, &turns[i]);
		n_filled++;
	}
}

static int compare_backends(const void *a, const void *b)
{
	const struct maglev_backend *x = a;
	const struct maglev_backend *y = b;
	return memcmp(&x->endpoint, &y->endpoint, sizeof(x->endpoint));
}

static struct maglev_turn turn_of(const struct maglev_backend *backend, uint32_t size)
{
	const void *key = &backend->endpoint;
	size_t len = sizeof(backend->endpoint);
	return (struct maglev_turn){
		.cursor = (uint32_t)(XXH3_64bits_withSeed(key, len, OFFSET_SEED) % size),
		.skip = (uint32_t)(XXH3_64bits_withSeed(key, len, SKIP_SEED) % (size - 1)) + 1,
		.weight = backend->weight,
		.id = backend->id,
	};
}

// The turns of all backends with a weight, in an order that the caller's order does not decide.
// Returns how many, or -errno; *turns is the caller's to free.
static long make_turns(struct maglev_turn **turns, const struct maglev_backend *backends, size_t n,
		       uint32_t size)
{
	struct maglev_backend *sorted = calloc(n + 1, sizeof(*sorted));
	*turns = calloc(n + 1, sizeof(**turns));
	if (!sorted || !*turns) {
		free(sorted);
		free(*turns);
		return -ENOMEM;
	}
	memcpy(sorted, backends, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_backends);
	long n_turns = 0;
	for (size_t i = 0; i < n; i++) {
		if (sorted[i].weight)
			(*turns)[n_turns++] = turn_of(&sorted[i], size);
	}
	free(sorted);
	return n_turns;
}

int maglev_build(struct maglev **maglev, const struct maglev_backend *backends, size_t n,
		 uint32_t size, struct err *err)
{
	struct maglev_turn *turns;
	long n_turns = make_turns(&turns, backends, n, size);
	if (n_turns < 0)
		return err_set(err, -ENOMEM, "not enough memory for a Maglev table");
	struct maglev *made = malloc(sizeof(*made) + size * sizeof(made->slots[0]));
	if (!made) {
		free(turns);
		return err_set(err, -ENOMEM, "not enough memory for a Maglev table");
	}
	made->n_refs = 1;
	made->size = n_turns ? size : 0;
	if (n_turns)
		maglev_populate(made->slots, size, turns, (size_t)n_turns);
	free(turns);
	*maglev = made;
	return 0;
}

struct maglev *maglev_ref(struct maglev *maglev)
{
	maglev->n_refs++;
	return maglev;
}

void maglev_unref(struct maglev *maglev)
{
	if (maglev && --maglev->n_refs == 0)
		free(maglev);
}
