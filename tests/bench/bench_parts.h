// SPDX-License-Identifier: Apache-2.0
// The costs of parts that no packet of the packet path shows by itself.
#pragma once

#include <stdint.h>

// Build a Maglev table of 65537 slots for so many backends. Returns nanoseconds.
uint64_t bench_maglev(uint32_t n_backends, const char *name);

// Hand `n_items` pointers from one thread to another over a ring, in bursts as the packet path has
// them, neither asleep. Returns nanoseconds.
uint64_t bench_ring(uint32_t n_items);
