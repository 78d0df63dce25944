// SPDX-License-Identifier: Apache-2.0
#include "slow_start.h"

#include <errno.h>
#include <stdlib.h>

#include "culvert/base/clock.h"

struct slow_start {
	struct registry *registry; // borrowed
	uint32_t n_slots;
	uint64_t began_ns[]; // by slot; 0: not at it
};

int slow_start_create(struct slow_start **slow_start, struct registry *registry, struct err *err)
{
	uint32_t n = registry_max_backends(registry);
	struct slow_start *made = calloc(1, sizeof(*made) + n * sizeof(made->began_ns[0]));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the list of backends");
	made->registry = registry;
	made->n_slots = n;
	*slow_start = made;
	return 0;
}

void slow_start_destroy(struct slow_start *slow_start)
{
	free(slow_start);
}

// How much of its weight the backend does not get yet, in tenths.
static uint8_t held_back(const struct slow_start *slow_start, uint32_t backend, uint64_t now_ns)
{
	const struct snapshot_backend *b = registry_backend(slow_start->registry, backend);
	uint64_t whole_ns = b->config ? b->pool_config->slow_start_ms * NS_PER_MS : 0;
	uint64_t past_ns = now_ns - slow_start->began_ns[backend];
	if (past_ns >= whole_ns)
		return 0;
	return (uint8_t)(SNAPSHOT_TENTHS - 1 - past_ns * (SNAPSHOT_TENTHS - 1) / whole_ns);
}

static bool step(struct slow_start *slow_start, uint32_t backend, uint64_t now_ns)
{
	uint8_t tenths = held_back(slow_start, backend, now_ns);
	if (tenths == 0)
		slow_start->began_ns[backend] = 0;
	return registry_hold_back(slow_start->registry, backend, tenths);
}

void slow_start_begin(struct slow_start *slow_start, uint32_t backend, uint64_t now_ns)
{
	slow_start->began_ns[backend] = now_ns;
	step(slow_start, backend, now_ns);
}

void slow_start_end(struct slow_start *slow_start, uint32_t backend)
{
	slow_start->began_ns[backend] = 0;
	registry_hold_back(slow_start->registry, backend, 0);
}

bool slow_start_is_under_way(const struct slow_start *slow_start)
{
	for (uint32_t i = 0; i < slow_start->n_slots; i++) {
		if (slow_start->began_ns[i])
			return true;
	}
	return false;
}

bool slow_start_step(struct slow_start *slow_start, uint64_t now_ns)
{
	bool is_news = false;
	for (uint32_t i = 0; i < slow_start->n_slots; i++) {
		if (slow_start->began_ns[i])
			is_news |= step(slow_start, i, now_ns);
	}
	return is_news;
}
