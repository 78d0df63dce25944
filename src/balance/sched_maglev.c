// SPDX-License-Identifier: Apache-2.0
// By the client's hash alone, so that several balancers choose alike, also when a backend fails a
// connection and another one has to be found.
#include <xxhash.h>

#include "balance/sched.h"

// Rehashes find backends in proportion to their weights; after these the untried ones are few.
enum { MAX_REHASHES = 16 };

// The untried backend with the greatest hash of itself and the client (highest random weight,
// Thaler and Ravishankar 1998): the order of the configuration decides nothing.
static int32_t scan(const struct scheduler *scheduler, const struct scheduler_pick *pick)
{
	const uint16_t *members = sched_members(pick);
	int32_t best = SCHEDULER_NO_BACKEND;
	uint64_t best_hash = 0;
	for (uint32_t i = 0; i < scheduler->n_members; i++) {
		if (!sched_is_eligible(pick, members[i]))
			continue;
		const struct endpoint *endpoint = &pick->snapshot->backends[members[i]].endpoint;
		uint64_t hash = XXH3_64bits_withSeed(endpoint, sizeof(*endpoint), pick->hash);
		if (best == SCHEDULER_NO_BACKEND || hash > best_hash) {
			best = members[i];
			best_hash = hash;
		}
	}
	return best;
}

static int32_t pick_untried(const struct scheduler *scheduler, const struct scheduler_pick *pick,
			    const struct maglev *table)
{
	uint32_t hash = pick->hash;
	for (uint64_t attempt = 1; attempt <= MAX_REHASHES; attempt++) {
		uint16_t backend = maglev_lookup(table, hash);
		if (!sched_was_tried(pick, backend))
			return backend;
		hash = (uint32_t)XXH3_64bits_withSeed(&pick->hash, sizeof(pick->hash), attempt);
	}
	return scan(scheduler, pick);
}

static int32_t pick_maglev(struct scheduler *scheduler, const struct scheduler_pick *pick)
{
	const struct maglev *table = pick->snapshot->pools[pick->pool].table;
	if (table->size == 0)
		return SCHEDULER_NO_BACKEND;
	if (pick->n_tried == 0)
		return maglev_lookup(table, pick->hash);
	return pick_untried(scheduler, pick, table);
}

const struct sched_ops sched_maglev = {
	.fixed_bytes = sizeof(struct scheduler),
	.pick = pick_maglev,
};
