// SPDX-License-Identifier: Apache-2.0
// Who takes a new connection. One scheduler belongs to one frontend in one thread: its state is
// private, its decisions come from the snapshot of the moment. As long as it lives its pool has the
// same members: generation.h.
// Called by: the thread that owns it.
#pragma once

#include "culvert/balance/snapshot.h"

struct scheduler;

// Live connections of a backend, as far as the caller counts them: its own, or those of all
// threads; below 2^48, so that the product with a weight fits. Least connections asks about every
// candidate of a pick once, random two choices about two; the others never ask.
typedef uint64_t (*scheduler_load_fn)(const void *arg, uint32_t backend);

struct scheduler_pick {
	const struct snapshot *snapshot;
	uint16_t pool;          // always of the same members
	uint32_t hash;          // of the client, well mixed: what Maglev decides by
	scheduler_load_fn load; // NULL is legal for kinds that never ask
	const void *load_arg;
	const uint16_t *tried; // slots that this connection has tried in vain; NULL: none
	uint32_t n_tried;
};

enum { SCHEDULER_NO_BACKEND = -1 };

// `n_members` of the pool, as in its snapshots. `seed` is random: it decides who takes the first
// turn, and all that is left to chance. 0 or -errno.
int scheduler_create(struct scheduler **scheduler, enum scheduler_kind kind, uint32_t n_members,
		     uint64_t seed, struct err *err);
void scheduler_destroy(struct scheduler *scheduler); // NULL is legal

// A backend's slot: up, of a weight above 0, not among the tried; or
// SCHEDULER_NO_BACKEND when there is none. Never allocates. Maglev answers alike in every
// scheduler, process and host: by the hash, and by which backends were tried.
int32_t scheduler_pick(struct scheduler *scheduler, const struct scheduler_pick *pick);

// The same for a frontend that has no scheduler any more: as Maglev picks. Any thread.
int32_t scheduler_pick_by_hash(const struct scheduler_pick *pick);
