// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/scheduler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "balance/sched.h"

enum { CACHE_LINE = 64 };

static const struct sched_ops *const all_ops[] = {
	[SCHEDULER_MAGLEV] = &sched_maglev,
	[SCHEDULER_ROUND_ROBIN] = &sched_round_robin,
	[SCHEDULER_WEIGHTED_ROUND_ROBIN] = &sched_weighted_round_robin,
	[SCHEDULER_LEAST_CONNECTIONS] = &sched_least_connections,
	[SCHEDULER_RANDOM_TWO] = &sched_random_two,
};

int scheduler_create(struct scheduler **scheduler, enum scheduler_kind kind, uint32_t n_members,
		     uint64_t seed, struct err *err)
{
	const struct sched_ops *ops = all_ops[kind];
	size_t bytes = ops->fixed_bytes + n_members * ops->bytes_per_member;
	bytes = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	// Those of several threads are made one after another, and no two share a line.
	struct scheduler *made = aligned_alloc(CACHE_LINE, bytes);
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for a scheduler");
	memset(made, 0, bytes);
	made->ops = ops;
	made->n_members = n_members;
	if (ops->init)
		ops->init(made, seed);
	*scheduler = made;
	return 0;
}

void scheduler_destroy(struct scheduler *scheduler)
{
	free(scheduler);
}

int32_t scheduler_pick(struct scheduler *scheduler, const struct scheduler_pick *pick)
{
	return scheduler->ops->pick(scheduler, pick);
}

int32_t scheduler_pick_by_hash(const struct scheduler_pick *pick)
{
	struct scheduler stateless = {
		.ops = &sched_maglev,
		.n_members = pick->snapshot->pools[pick->pool].n_members,
	};
	return scheduler_pick(&stateless, pick);
}
