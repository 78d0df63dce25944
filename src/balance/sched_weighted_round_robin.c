// SPDX-License-Identifier: Apache-2.0
// One after another, in proportion to their weights: sched_smooth.h.
#include "balance/sched_smooth.h"

struct weighted_round_robin {
	struct scheduler base;
	struct sched_smooth smooth;
	struct sched_turn turns[];
};

static void init(struct scheduler *scheduler, uint64_t seed)
{
	struct weighted_round_robin *self = (struct weighted_round_robin *)scheduler;
	sched_smooth_init(&self->smooth, self->turns, scheduler->n_members, seed);
}

static int32_t pick_next(struct scheduler *scheduler, const struct scheduler_pick *pick)
{
	struct weighted_round_robin *self = (struct weighted_round_robin *)scheduler;
	const uint16_t *members = sched_members(pick);
	struct sched_round round = {0};
	sched_smooth_follow(&self->smooth, pick);
	for (uint32_t i = 0; i < self->smooth.n; i++) {
		uint32_t place = sched_smooth_place(&self->smooth, i);
		if (self->turns[place].weight && !sched_was_tried(pick, members[place]))
			sched_smooth_gather(&round, &self->turns[place]);
	}
	return sched_smooth_take(&self->smooth, &round, members);
}

const struct sched_ops sched_weighted_round_robin = {
	.fixed_bytes = sizeof(struct weighted_round_robin),
	.bytes_per_member = sizeof(struct sched_turn),
	.init = init,
	.pick = pick_next,
};
