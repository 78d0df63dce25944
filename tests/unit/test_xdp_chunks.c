// SPDX-License-Identifier: Apache-2.0
// The rings lie in ordinary memory, and the test is the kernel.
#include "packet/xdp_chunks.h"

#include <criterion/criterion.h>
#include <string.h>

enum { N_CHUNKS = 12, CHUNK_BYTES = 2048, RING_SIZE = 8 };

struct shared {
	_Atomic uint32_t producer;
	_Atomic uint32_t consumer;
	_Atomic uint32_t flags;
	uint64_t addrs[RING_SIZE];
};

static struct xdp_ring ring_of(struct shared *shared)
{
	return (struct xdp_ring){
		.producer = &shared->producer,
		.consumer = &shared->consumer,
		.flags = &shared->flags,
		.items = shared->addrs,
		.size = RING_SIZE,
	};
}

static uint8_t memory[N_CHUNKS * CHUNK_BYTES];

static void open_chunks(struct xdp_chunks *chunks)
{
	struct err err = {0};
	cr_assert_eq(xdp_chunks_init(chunks, memory, N_CHUNKS, CHUNK_BYTES, &err), 0, "%s",
		     err.message);
}

// What the kernel finds in the fill ring, in order.
static uint32_t kernel_takes(struct shared *fill, uint64_t *chunks)
{
	uint32_t n = 0;
	while (fill->consumer != fill->producer)
		chunks[n++] = fill->addrs[fill->consumer++ % RING_SIZE];
	return n;
}

static void kernel_completes(struct shared *completion, const uint64_t *offsets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		completion->addrs[completion->producer++ % RING_SIZE] = offsets[i];
}

Test(xdp_chunks, every_chunk_is_given_to_the_kernel_once)
{
	struct shared shared = {0};
	struct xdp_ring fill = ring_of(&shared);
	struct xdp_chunks chunks;
	uint64_t taken[N_CHUNKS];
	bool is_seen[N_CHUNKS] = {false};
	open_chunks(&chunks);
	xdp_chunks_fill(&chunks, &fill);
	cr_assert_eq(xdp_ring_room(&fill), 0);
	cr_expect_eq(chunks.n_free, N_CHUNKS - RING_SIZE);
	uint32_t n = kernel_takes(&shared, taken);
	cr_assert_eq(n, RING_SIZE);
	xdp_chunks_fill(&chunks, &fill);
	n += kernel_takes(&shared, taken + n);
	cr_assert_eq(n, N_CHUNKS);
	xdp_chunks_fill(&chunks, &fill);
	cr_expect_eq(kernel_takes(&shared, taken), 0, "none is left");
	for (uint32_t i = 0; i < n; i++) {
		cr_assert_eq(taken[i] % CHUNK_BYTES, 0);
		cr_assert_lt(taken[i], sizeof(memory));
		cr_expect_not(is_seen[taken[i] / CHUNK_BYTES]);
		is_seen[taken[i] / CHUNK_BYTES] = true;
	}
	xdp_chunks_fini(&chunks);
}

Test(xdp_chunks, the_one_that_came_back_last_is_used_next_whatever_offset_names_it)
{
	struct shared shared = {0};
	struct xdp_ring fill = ring_of(&shared);
	struct xdp_chunks chunks;
	uint64_t taken[N_CHUNKS];
	open_chunks(&chunks);
	xdp_chunks_fill(&chunks, &fill);
	kernel_takes(&shared, taken);
	xdp_chunks_free(&chunks, taken[3] + 320);
	xdp_chunks_fill(&chunks, &fill);
	cr_expect_eq(shared.addrs[0], taken[3]);
	xdp_chunks_fini(&chunks);
}

Test(xdp_chunks, what_was_sent_comes_home_and_circles_on)
{
	struct shared shared_fill = {0};
	struct shared shared_completion = {0};
	struct xdp_ring fill = ring_of(&shared_fill);
	struct xdp_ring completion = ring_of(&shared_completion);
	struct xdp_chunks chunks;
	uint64_t taken[N_CHUNKS];
	open_chunks(&chunks);
	for (int round = 0; round < 100; round++) {
		xdp_chunks_take_home(&chunks);
		cr_assert_eq(chunks.n_free, N_CHUNKS);
		xdp_chunks_fill(&chunks, &fill);
		uint32_t n = kernel_takes(&shared_fill, taken);
		cr_assert_eq(n, RING_SIZE);
		for (uint32_t i = 0; i < n; i++)
			taken[i] += 300 + i;
		kernel_completes(&shared_completion, taken, n);
		xdp_chunks_complete(&chunks, &completion);
		cr_assert_eq(shared_completion.consumer, shared_completion.producer);
	}
	xdp_chunks_fini(&chunks);
}

Test(xdp_chunks, all_are_free_again_when_they_are_reset)
{
	struct shared shared = {0};
	struct xdp_ring fill = ring_of(&shared);
	struct xdp_chunks chunks;
	open_chunks(&chunks);
	xdp_chunks_fill(&chunks, &fill);
	xdp_chunks_reset(&chunks);
	cr_expect_eq(chunks.n_free, N_CHUNKS);
	xdp_chunks_fini(&chunks);
}
