// SPDX-License-Identifier: Apache-2.0
// A scheduler under test, with a pool of its own that is not the first one of its scene. Backends
// are named by their place in the pool. What cannot fail in a test aborts it.
#pragma once

#include "culvert/balance/scheduler.h"
#include "scene.h"

enum { PICKER_MAX = 256 };

struct picker {
	struct scene scene;
	struct snapshot *snapshot;
	struct scheduler *scheduler;
	uint32_t n;
	uint64_t loads[PICKER_MAX]; // what the scheduler is told
	uint64_t n_asked;           // how often
};

// Every backend is up, and nobody has a connection.
void picker_open(struct picker *picker, enum scheduler_kind kind, const uint16_t *weights,
		 uint32_t n, uint64_t seed);
// A second scheduler in the place of the first, over the same pool.
void picker_renew(struct picker *picker, enum scheduler_kind kind, uint64_t seed);
void picker_close(struct picker *picker);

void picker_set_up(struct picker *picker, uint32_t place, bool is_up);
void picker_set_all_up(struct picker *picker, bool is_up);

// SCHEDULER_NO_BACKEND, or a place.
int32_t picker_pick(struct picker *picker, uint32_t hash);
int32_t picker_pick_besides(struct picker *picker, uint32_t hash, const uint16_t *tried,
			    uint32_t n_tried);
// `n` picks by hashes that differ, counted by place.
void picker_count(struct picker *picker, uint32_t n, uint32_t *counts);

// Pearson's sum of (counted - expected)^2 / expected, where expected is in proportion to the
// weights; who has none must not have been counted.
double picker_chi_square(const uint32_t *counts, const uint16_t *weights, uint32_t n);
