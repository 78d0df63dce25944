// SPDX-License-Identifier: Apache-2.0
// Turns in proportion to weights, spread evenly (nginx's smooth weighted round robin): whoever is a
// candidate gathers its weight, the one that has gathered most takes the turn and pays for it what
// all have gathered. Without candidates that come and go, as many turns as the weights sum up to
// fall to each exactly by its weight.
//
// When backends or weights change, what has been gathered was gathered among others. Who comes
// begins with nothing, and nobody keeps more than one turn of credit or debt: else a backend that
// left a pool of a thousand just before its turn would come back to a pool of two with five hundred
// turns to its credit. What is less is kept, so that changes in quick succession do not favour
// those that a beginning favours.
#pragma once

#include "balance/sched.h"

struct sched_turn {
	int64_t gathered;
	uint64_t load;   // least connections: as asked for in this pick
	uint32_t weight; // 0: down
};

struct sched_smooth {
	uint64_t version; // of the snapshot that the weights are of
	uint32_t n;
	uint32_t start;           // who is first among equals, place in the pool
	struct sched_turn *turns; // borrowed; by place in the pool
};

// One turn being given.
struct sched_round {
	struct sched_turn *best; // NULL: no candidate so far
	int64_t sum;
};

// `turns` are zeroed and outlive `smooth`.
void sched_smooth_init(struct sched_smooth *smooth, struct sched_turn *turns, uint32_t n,
		       uint64_t seed);

// See that the weights are those of the snapshot. Before every turn.
void sched_smooth_update(struct sched_smooth *smooth, const struct snapshot *snapshot,
			 const uint16_t *members);

static inline void sched_smooth_follow(struct sched_smooth *smooth,
				       const struct scheduler_pick *pick)
{
	if (smooth->version != pick->snapshot->version)
		sched_smooth_update(smooth, pick->snapshot, sched_members(pick));
}

// For all places from `start` on: the i-th.
static inline uint32_t sched_smooth_place(const struct sched_smooth *smooth, uint32_t i)
{
	uint32_t place = smooth->start + i;
	return place < smooth->n ? place : place - smooth->n;
}

static inline void sched_smooth_gather(struct sched_round *round, struct sched_turn *turn)
{
	turn->gathered += turn->weight;
	round->sum += turn->weight;
	if (!round->best || turn->gathered > round->best->gathered)
		round->best = turn;
}

// The backend that takes the turn, or SCHEDULER_NO_BACKEND.
static inline int32_t sched_smooth_take(const struct sched_smooth *smooth,
					const struct sched_round *round, const uint16_t *members)
{
	if (!round->best)
		return SCHEDULER_NO_BACKEND;
	round->best->gathered -= round->sum;
	return members[round->best - smooth->turns];
}
