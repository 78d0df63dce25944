// SPDX-License-Identifier: Apache-2.0
#include "packet/xdp_chunks.h"

#include <errno.h>
#include <stdlib.h>

enum { AT_ONCE = 64 };

void xdp_chunks_reset(struct xdp_chunks *chunks)
{
	chunks->n_free = 0;
	for (uint32_t i = chunks->n; i > 0; i--)
		chunks->free[chunks->n_free++] = (uint64_t)(i - 1) * chunks->bytes;
}

int xdp_chunks_init(struct xdp_chunks *chunks, uint8_t *start, uint32_t n, uint32_t bytes,
		    struct err *err)
{
	uint32_t slots = 1;
	while (slots < n)
		slots *= 2;
	*chunks = (struct xdp_chunks){.start = start, .n = n, .bytes = bytes};
	chunks->free = calloc(n, sizeof(*chunks->free));
	if (!chunks->free)
		return err_set(err, -ENOMEM, "not enough memory for %u chunks", n);
	int code = ring_create(&chunks->home, slots, err);
	if (code) {
		xdp_chunks_fini(chunks);
		return code;
	}
	xdp_chunks_reset(chunks);
	return 0;
}

void xdp_chunks_fini(struct xdp_chunks *chunks)
{
	ring_destroy(chunks->home);
	free(chunks->free);
	*chunks = (struct xdp_chunks){0};
}

void xdp_chunks_free(struct xdp_chunks *chunks, uint64_t offset)
{
	chunks->free[chunks->n_free++] = xdp_chunk_of(chunks, offset);
}

void xdp_chunks_take_home(struct xdp_chunks *chunks)
{
	void *items[AT_ONCE];
	uint32_t n;
	do {
		n = ring_pop(chunks->home, items, AT_ONCE);
		for (uint32_t i = 0; i < n; i++)
			chunks->free[chunks->n_free++] =
				(uint64_t)((uint8_t *)items[i] - chunks->start);
	} while (n == AT_ONCE);
}

void xdp_chunks_fill(struct xdp_chunks *chunks, struct xdp_ring *fill)
{
	uint32_t room = xdp_ring_room(fill);
	uint32_t n = room < chunks->n_free ? room : chunks->n_free;
	for (uint32_t i = 0; i < n; i++)
		*xdp_ring_addr(fill, fill->at++) = chunks->free[--chunks->n_free];
	if (n)
		xdp_ring_publish(fill);
}

// The ring has room for every chunk there is.
static void send_home(struct xdp_chunks *chunks, struct xdp_ring *completion, uint32_t n)
{
	void *items[AT_ONCE];
	for (uint32_t i = 0; i < n; i++) {
		uint64_t offset = *xdp_ring_addr(completion, completion->at++);
		items[i] = chunks->start + xdp_chunk_of(chunks, offset);
	}
	ring_push(chunks->home, items, n);
}

void xdp_chunks_complete(struct xdp_chunks *chunks, struct xdp_ring *completion)
{
	uint32_t left = xdp_ring_filled(completion);
	if (left == 0)
		return;
	while (left) {
		uint32_t n = left < AT_ONCE ? left : (uint32_t)AT_ONCE;
		send_home(chunks, completion, n);
		left -= n;
	}
	xdp_ring_release(completion);
}
