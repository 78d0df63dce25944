// SPDX-License-Identifier: Apache-2.0
// A bounded queue of pointers from one thread to one other. Neither side ever waits; to sleep until
// something comes, see doorbell.h.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"

struct ring;

// `capacity` is a power of two, at most 2^31; all of it can be used. 0 or -errno. The two threads
// may start to use the ring once they have its pointer by a synchronising way (thread creation
// is one).
int ring_create(struct ring **ring, uint32_t capacity, struct err *err);

// Pointers still inside are forgotten: drain first what they own. NULL is legal.
// Called when neither side runs any more.
void ring_destroy(struct ring *ring);

// Append the first items of `items`, in order, and return how many there was room for (0 to `n`).
// What was taken belongs to the consumer, the rest stays with the caller. What the producer wrote
// before is visible to the consumer after its ring_pop().
// Called by: the producer.
uint32_t ring_push(struct ring *ring, void *const *items, uint32_t n);

// Take up to `n` of the oldest items and return how many. Called by: the consumer.
uint32_t ring_pop(struct ring *ring, void **items, uint32_t n);

// Called by: the consumer.
bool ring_is_empty(const struct ring *ring);
