// SPDX-License-Identifier: Apache-2.0
// What every scheduler is made of: a table of functions, and a state that begins with a struct
// scheduler. Called by: the thread that owns the scheduler.
#pragma once

#include <stddef.h>

#include "culvert/balance/scheduler.h"

struct sched_ops {
	size_t fixed_bytes;      // of the state
	size_t bytes_per_member; // what follows it
	// Zeroed memory into a state; NULL: zeros will do.
	void (*init)(struct scheduler *scheduler, uint64_t seed);
	int32_t (*pick)(struct scheduler *scheduler, const struct scheduler_pick *pick);
};

struct scheduler {
	const struct sched_ops *ops;
	uint32_t n_members; // of the pool
};

extern const struct sched_ops sched_maglev;
extern const struct sched_ops sched_round_robin;
extern const struct sched_ops sched_weighted_round_robin;
extern const struct sched_ops sched_least_connections;
extern const struct sched_ops sched_random_two;

static inline bool sched_was_tried(const struct scheduler_pick *pick, uint32_t backend)
{
	for (uint32_t i = 0; i < pick->n_tried; i++) {
		if (pick->tried[i] == backend)
			return true;
	}
	return false;
}

// What a backend counts for: nothing while it is down.
static inline uint32_t sched_weight(const struct snapshot_backend *backend)
{
	return snapshot_share(backend);
}

static inline bool sched_is_eligible(const struct scheduler_pick *pick, uint32_t backend)
{
	return sched_weight(&pick->snapshot->backends[backend]) && !sched_was_tried(pick, backend);
}

// The slots of the pool, by place.
static inline const uint16_t *sched_members(const struct scheduler_pick *pick)
{
	return pick->snapshot->pools[pick->pool].members;
}

// Is load_a / weight_a less than load_b / weight_b? The products fit: scheduler_load_fn.
static inline bool sched_is_less_loaded(uint64_t load_a, uint32_t weight_a, uint64_t load_b,
					uint32_t weight_b)
{
	return load_a * weight_b < load_b * weight_a;
}
