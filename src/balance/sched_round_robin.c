// SPDX-License-Identifier: Apache-2.0
// One after another, whatever they weigh.
#include "balance/sched.h"

struct round_robin {
	struct scheduler base;
	uint32_t next; // place in the pool
};

static void init(struct scheduler *scheduler, uint64_t seed)
{
	struct round_robin *self = (struct round_robin *)scheduler;
	self->next = scheduler->n_members ? (uint32_t)(seed % scheduler->n_members) : 0;
}

// The turn goes on from whoever takes it, so nobody inherits the turns of those before him that
// are down.
static int32_t pick_next(struct scheduler *scheduler, const struct scheduler_pick *pick)
{
	struct round_robin *self = (struct round_robin *)scheduler;
	const uint16_t *members = sched_members(pick);
	uint32_t place = self->next;
	for (uint32_t i = 0; i < scheduler->n_members; i++) {
		uint16_t backend = members[place];
		place = place + 1 < scheduler->n_members ? place + 1 : 0;
		if (!sched_is_eligible(pick, backend))
			continue;
		self->next = place;
		return backend;
	}
	return SCHEDULER_NO_BACKEND;
}

const struct sched_ops sched_round_robin = {
	.fixed_bytes = sizeof(struct round_robin),
	.init = init,
	.pick = pick_next,
};
