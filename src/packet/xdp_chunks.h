// SPDX-License-Identifier: Apache-2.0
// Who has which chunk of the memory that is shared with the kernel:
//
//	free ──fill ring──► kernel ──rx ring──► packet ──tx ring──► kernel ──completion ring──┐
//	 ▲                                        └── dropped, or sent by other ways ──┐      │
//	 └────────────────────────────────────────────────────────────────────────────◄┴─home─┘
//
// A chunk is named by its offset. Capture has the free ones: a stack, so that what was just used is
// used next. What transmit gets back goes home by a ring that holds all there are.
#pragma once

#include "culvert/base/err.h"
#include "culvert/ds/ring.h"
#include "packet/xdp_ring.h"

struct xdp_chunks {
	uint8_t *start; // borrowed: the memory
	uint64_t *free; // owned; w, r: capture
	uint32_t n_free;
	uint32_t n;
	uint32_t bytes;    // of each; a power of two
	struct ring *home; // owned; transmit → capture
};

// `start` is memory of `n` times `bytes`. 0 or -errno.
int xdp_chunks_init(struct xdp_chunks *chunks, uint8_t *start, uint32_t n, uint32_t bytes,
		    struct err *err);
void xdp_chunks_fini(struct xdp_chunks *chunks);
// All are free again. Called when the kernel has none of them any more.
void xdp_chunks_reset(struct xdp_chunks *chunks);

// The chunk that an offset is in.
static inline uint64_t xdp_chunk_of(const struct xdp_chunks *chunks, uint64_t offset)
{
	return offset & ~(uint64_t)(chunks->bytes - 1);
}

// Called by: capture.
void xdp_chunks_free(struct xdp_chunks *chunks, uint64_t offset);
void xdp_chunks_take_home(struct xdp_chunks *chunks);
// Give free chunks to the kernel, as many as the ring has room for.
void xdp_chunks_fill(struct xdp_chunks *chunks, struct xdp_ring *fill);

// Send home what the kernel has sent. Called by: transmit.
void xdp_chunks_complete(struct xdp_chunks *chunks, struct xdp_ring *completion);
