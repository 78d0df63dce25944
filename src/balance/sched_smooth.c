// SPDX-License-Identifier: Apache-2.0
#include "balance/sched_smooth.h"

void sched_smooth_init(struct sched_smooth *smooth, struct sched_turn *turns, uint32_t n,
		       uint64_t seed)
{
	*smooth = (struct sched_smooth){
		.n = n,
		.start = n ? (uint32_t)(seed % n) : 0,
		.turns = turns,
	};
}

// Returns whether that was news.
static bool set_weight(struct sched_turn *turn, uint32_t weight)
{
	bool is_news = turn->weight != weight;
	if (turn->weight == 0 || weight == 0)
		turn->gathered = 0;
	turn->weight = weight;
	return is_news;
}

static int64_t within(int64_t value, int64_t bound)
{
	if (value > bound)
		return bound;
	return value < -bound ? -bound : value;
}

// Leave each no more than a turn of credit or debt.
static void settle(struct sched_smooth *smooth)
{
	int64_t turn_costs = 0;
	for (uint32_t i = 0; i < smooth->n; i++)
		turn_costs += smooth->turns[i].weight;
	for (uint32_t i = 0; i < smooth->n; i++)
		smooth->turns[i].gathered = within(smooth->turns[i].gathered, turn_costs);
}

void sched_smooth_update(struct sched_smooth *smooth, const struct snapshot *snapshot,
			 const uint16_t *members)
{
	const struct snapshot_backend *backends = snapshot->backends;
	bool has_changed = false;
	for (uint32_t i = 0; i < smooth->n; i++)
		has_changed |= set_weight(&smooth->turns[i], sched_weight(&backends[members[i]]));
	if (has_changed)
		settle(smooth);
	smooth->version = snapshot->version;
}
