// SPDX-License-Identifier: Apache-2.0
// Whoever has the fewest connections for its weight. Those that are equal take turns by weight:
// sched_smooth.h. Loads are asked for once, since they may change while a pick goes on.
#include "balance/sched_smooth.h"

static const uint64_t not_a_candidate = UINT64_MAX; // as a load

struct least_connections {
	struct scheduler base;
	struct sched_smooth smooth;
	struct sched_turn turns[];
};

static void init(struct scheduler *scheduler, uint64_t seed)
{
	struct least_connections *self = (struct least_connections *)scheduler;
	sched_smooth_init(&self->smooth, self->turns, scheduler->n_members, seed);
}

// Notes all loads. NULL: there is no candidate.
static const struct sched_turn *find_least(struct least_connections *self,
					   const struct scheduler_pick *pick)
{
	const struct sched_turn *least = NULL;
	const uint16_t *members = sched_members(pick);
	for (uint32_t i = 0; i < self->smooth.n; i++) {
		struct sched_turn *turn = &self->turns[i];
		turn->load = not_a_candidate;
		if (turn->weight == 0 || sched_was_tried(pick, members[i]))
			continue;
		turn->load = pick->load(pick->load_arg, members[i]);
		if (!least ||
		    sched_is_less_loaded(turn->load, turn->weight, least->load, least->weight))
			least = turn;
	}
	return least;
}

static int32_t pick_least(struct scheduler *scheduler, const struct scheduler_pick *pick)
{
	struct least_connections *self = (struct least_connections *)scheduler;
	struct sched_round round = {0};
	sched_smooth_follow(&self->smooth, pick);
	const struct sched_turn *least = find_least(self, pick);
	if (!least)
		return SCHEDULER_NO_BACKEND;
	for (uint32_t i = 0; i < self->smooth.n; i++) {
		struct sched_turn *turn = &self->turns[sched_smooth_place(&self->smooth, i)];
		if (turn->load != not_a_candidate &&
		    turn->load * least->weight == least->load * turn->weight)
			sched_smooth_gather(&round, turn);
	}
	return sched_smooth_take(&self->smooth, &round, sched_members(pick));
}

const struct sched_ops sched_least_connections = {
	.fixed_bytes = sizeof(struct least_connections),
	.bytes_per_member = sizeof(struct sched_turn),
	.init = init,
	.pick = pick_least,
};
