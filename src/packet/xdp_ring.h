// SPDX-License-Identifier: Apache-2.0
// Our side of a ring that is shared with the kernel: one of us produces, the other consumes.
// Indexes run freely and are masked on use. Nothing is seen by the kernel before it is published or
// released.
// Called by: the one thread that has this side of the ring, but where it says otherwise.
#pragma once

#include <linux/if_xdp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xdp_ring {
	_Atomic uint32_t *producer; // w: who fills, r: who empties; release and acquire
	_Atomic uint32_t *consumer; // the other way round, likewise
	_Atomic uint32_t *flags;    // w: the kernel
	void *items;                // struct xdp_desc, or uint64_t in fill and completion rings
	uint32_t size;              // a power of two; 0: there is no ring
	uint32_t at;                // our own index: what it is about to fill or to empty
	void *map;                  // owned
	size_t map_bytes;
};

static inline uint64_t *xdp_ring_addr(const struct xdp_ring *ring, uint32_t index)
{
	return (uint64_t *)ring->items + (index & (ring->size - 1));
}

static inline struct xdp_desc *xdp_ring_desc(const struct xdp_ring *ring, uint32_t index)
{
	return (struct xdp_desc *)ring->items + (index & (ring->size - 1));
}

// Places to fill. The kernel has emptied them: pairs with its release of the consumer's index.
static inline uint32_t xdp_ring_room(const struct xdp_ring *ring)
{
	return ring->size - (ring->at - atomic_load_explicit(ring->consumer, memory_order_acquire));
}

// The places before `at` are filled. The kernel's acquire of the producer's index pairs with this.
static inline void xdp_ring_publish(struct xdp_ring *ring)
{
	atomic_store_explicit(ring->producer, ring->at, memory_order_release);
}

// Places to empty. Pairs with the kernel's release of the producer's index.
static inline uint32_t xdp_ring_filled(const struct xdp_ring *ring)
{
	return atomic_load_explicit(ring->producer, memory_order_acquire) - ring->at;
}

// The places before `at` are empty. The kernel's acquire of the consumer's index pairs with this.
static inline void xdp_ring_release(struct xdp_ring *ring)
{
	atomic_store_explicit(ring->consumer, ring->at, memory_order_release);
}

// What has been published and not taken yet; orders nothing. Called by: any thread.
static inline uint32_t xdp_ring_backlog(const struct xdp_ring *ring)
{
	uint32_t taken = atomic_load_explicit(ring->consumer, memory_order_relaxed);
	return atomic_load_explicit(ring->producer, memory_order_relaxed) - taken;
}

// Does the kernel want a call before it looks at the ring again?
static inline bool xdp_ring_wants_call(const struct xdp_ring *ring)
{
	return atomic_load_explicit(ring->flags, memory_order_relaxed) & XDP_RING_NEED_WAKEUP;
}
