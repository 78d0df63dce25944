// SPDX-License-Identifier: Apache-2.0
// What one configuration brings and snapshots share for as long as it is in force: who is a member
// of which pool, and the schedulers of every thread. A scheduler's insides are its thread's own; a
// new configuration comes with new ones, so that none ever has to follow a change of membership.
// Called by: control, but for generation_scheduler().
#pragma once

#include "culvert/balance/scheduler.h"

struct generation {
	uint32_t n_refs;       // w, r: control; references besides the first
	uint64_t number;       // counts from 1
	struct config *config; // counted
	uint16_t *members;     // owned; slots of all pools' backends, one pool after another
	uint32_t n_frontends;  // slots
	uint32_t n_schedulers;
	struct scheduler *schedulers[]; // owned; by thread, and by frontend
};

struct generation_params {
	struct config *config;
	uint64_t number;
	const uint32_t *frontend_slots; // by index in the configuration
	const uint32_t *backend_slots;  // by running number over all pools
	uint32_t n_frontends;           // slots in use, or more
	uint32_t n_threads;
	uint64_t seed;
};

// 0 or -errno.
int generation_create(struct generation **generation, const struct generation_params *params,
		      struct err *err);
struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation); // NULL is legal

// Of a thread and frontend. A frontend that has been removed has one too, for its pool of nobody.
// Called by: that thread.
static inline struct scheduler *generation_scheduler(const struct snapshot *snapshot,
						     uint32_t thread, uint32_t frontend)
{
	const struct generation *generation = snapshot->generation;
	return generation->schedulers[thread * generation->n_frontends + frontend];
}
