// SPDX-License-Identifier: Apache-2.0
// Single-producer single-consumer ring.
//
// Two free-running 32-bit positions: `tail` counts what was ever pushed, `head` what was ever
// popped; tail - head is the fill, from 0 to the capacity, also across the wrap at 2^32. Each side
// owns one position and keeps a copy of the other's as last seen, so that while the ring is
// neither full nor empty the threads share no cache line but those of the slots.
#include "culvert/ds/ring.h"

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

// Not 64: the hardware fetches lines in pairs, and would share them again.
enum { LINE_PAIR = 128 };

struct ring {
	alignas(LINE_PAIR) uint32_t mask; // w: nobody after creation

	alignas(LINE_PAIR) _Atomic uint32_t tail; // w: producer, r: consumer
	uint32_t head_seen;                       // producer only; never ahead of `head`

	alignas(LINE_PAIR) _Atomic uint32_t head; // w: consumer, r: producer
	uint32_t tail_seen;                       // consumer only; never ahead of `tail`

	alignas(LINE_PAIR) void *slots[]; // w: producer, r: consumer
};

int ring_create(struct ring **ring, uint32_t capacity, struct err *err)
{
	if (capacity == 0 || (capacity & (capacity - 1)) != 0)
		return err_set(err, -EINVAL, "ring capacity %u is not a power of two", capacity);

	size_t size = offsetof(struct ring, slots) + (size_t)capacity * sizeof(void *);
	size = (size + LINE_PAIR - 1) / LINE_PAIR * LINE_PAIR;
	struct ring *created = aligned_alloc(LINE_PAIR, size);
	if (!created)
		return err_sys(err, -ENOMEM, "cannot make a ring of %u entries", capacity);
	created->mask = capacity - 1;
	created->head_seen = 0;
	created->tail_seen = 0;
	atomic_init(&created->tail, 0);
	atomic_init(&created->head, 0);
	*ring = created;
	return 0;
}

void ring_destroy(struct ring *ring)
{
	free(ring);
}

uint32_t ring_push(struct ring *ring, void *const *items, uint32_t n)
{
	uint32_t capacity = ring->mask + 1;
	// Relaxed: only this thread writes `tail`.
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	uint32_t room = capacity - (tail - ring->head_seen);
	if (room < n) {
		// Acquire, pairs with the release in ring_pop(): the consumer has read the slots
		// it gives back before they are written again below.
		ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
		room = capacity - (tail - ring->head_seen);
		if (room < n)
			n = room;
	}
	for (uint32_t i = 0; i < n; i++)
		ring->slots[(tail + i) & ring->mask] = items[i];
	// Release, pairs with the acquire in ring_pop(): the slots, and what they point to, are
	// written before the consumer learns of them.
	atomic_store_explicit(&ring->tail, tail + n, memory_order_release);
	return n;
}

uint32_t ring_pop(struct ring *ring, void **items, uint32_t n)
{
	// Relaxed: only this thread writes `head`.
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint32_t filled = ring->tail_seen - head;
	if (filled < n) {
		// Acquire, pairs with the release in ring_push(): see there.
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
		filled = ring->tail_seen - head;
		if (filled < n)
			n = filled;
	}
	for (uint32_t i = 0; i < n; i++)
		items[i] = ring->slots[(head + i) & ring->mask];
	// Release, pairs with the acquire in ring_push(): the slots are read before the producer
	// may use them again.
	atomic_store_explicit(&ring->head, head + n, memory_order_release);
	return n;
}

bool ring_is_empty(const struct ring *ring)
{
	// Relaxed twice: `head` is this thread's own, and the acquire that the items need is in
	// ring_pop().
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	return atomic_load_explicit(&ring->tail, memory_order_relaxed) == head;
}
