// SPDX-License-Identifier: Apache-2.0
// Producers and one consumer on rings, the consumer asleep on a doorbell between batches.
#pragma once

#include <stdint.h>

enum { RING_STRESS_MAX_PRODUCERS = 4 };

// One producer and a ring of one entry find lost wake-ups best: nobody else rings by chance.
struct ring_stress {
	uint32_t n_producers;
	uint32_t ring_size;
	uintptr_t n_items; // each producer sends 1 .. n_items
};

// Returns NULL when all came, in order and with no wake-up lost; else what went wrong.
const char *ring_stress_run(const struct ring_stress *stress);
