// SPDX-License-Identifier: Apache-2.0
// Two producers and one consumer on rings, the consumer asleep on a doorbell between batches.
#pragma once

#include <stdint.h>

// Each producer sends 1 .. n_items; any number of items fits a test or a long run.
// Returns NULL when all came, in order and with no wake-up lost; else what went wrong.
const char *ring_stress_run(uintptr_t n_items);
