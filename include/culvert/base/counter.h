// SPDX-License-Identifier: Apache-2.0
// Counters with one writing thread and any number of readers. A writer pays for a plain add; a
// reader sees each counter whole, but not a set of counters at one instant.
#pragma once

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter_t; // one writer; readers: any thread

// Called by: the counter's only writer. Relaxed: a counter orders nothing else.
static inline void counter_add(counter_t *counter, uint64_t amount)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

// Called by: any thread.
static inline uint64_t counter_read(const counter_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}
