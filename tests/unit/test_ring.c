// SPDX-License-Identifier: Apache-2.0
// The ring by itself, and two threads that sleep on it through a doorbell.
#include "culvert/ds/ring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "../support/lib/ring_stress.h"
#include "culvert/ds/doorbell.h"

static struct ring *make_ring(uint32_t capacity)
{
	struct ring *ring = NULL;
	struct err err = {0};
	cr_assert_eq(ring_create(&ring, capacity, &err), 0, "%s", err.message);
	return ring;
}

// Numbers travel as pointers.
static void *as_item(uintptr_t number)
{
	return (void *)number; // NOLINT(performance-no-int-to-ptr): never dereferenced
}

Test(ring, refuses_a_capacity_that_is_no_power_of_two)
{
	static const uint32_t wrong[] = {0, 3, 6, 1000, UINT32_MAX};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ring *ring = NULL;
		struct err err = {0};
		cr_expect_eq(ring_create(&ring, wrong[i], &err), -EINVAL);
		cr_expect_null(ring);
		cr_expect_neq(err.message[0], '\0');
	}
	ring_destroy(NULL);
}

Test(ring, takes_its_whole_capacity_and_no_more)
{
	static const uint32_t capacities[] = {1, 2, 8};
	for (size_t c = 0; c < sizeof(capacities) / sizeof(capacities[0]); c++) {
		struct ring *ring = make_ring(capacities[c]);
		void *items[16] = {NULL};
		cr_expect(ring_is_empty(ring));
		cr_expect_eq(ring_push(ring, items, 16), capacities[c]);
		cr_expect_not(ring_is_empty(ring));
		cr_expect_eq(ring_push(ring, items, 1), 0);
		cr_expect_eq(ring_pop(ring, items, 16), capacities[c]);
		cr_expect_eq(ring_pop(ring, items, 16), 0);
		cr_expect(ring_is_empty(ring));
		ring_destroy(ring);
	}
}

Test(ring, keeps_the_order_over_many_rounds)
{
	struct ring *ring = make_ring(8);
	uintptr_t pushed = 0;
	uintptr_t popped = 0;
	srand(1);
	while (popped < 10000) {
		void *in[5];
		void *out[7];
		uint32_t n = (uint32_t)rand() % 6;
		for (uint32_t i = 0; i < n; i++)
			in[i] = as_item(pushed + i);
		pushed += ring_push(ring, in, n);
		n = ring_pop(ring, out, (uint32_t)rand() % 8);
		for (uint32_t i = 0; i < n; i++)
			cr_assert_eq((uintptr_t)out[i], popped++);
		cr_assert_eq(ring_is_empty(ring), pushed == popped);
	}
	ring_destroy(ring);
}

Test(ring, threads_lose_no_item_no_order_and_no_wake_up, .timeout = 120)
{
	static const struct ring_stress runs[] = {
		{.n_producers = 1, .ring_size = 1, .n_items = 100000},
		{.n_producers = 2, .ring_size = 16, .n_items = 100000},
	};
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		const char *wrong = ring_stress_run(&runs[i]);
		cr_expect_null(wrong, "run %zu: %s", i, wrong);
	}
}

static bool is_readable(const struct doorbell *bell)
{
	struct pollfd poll_fd = {.fd = bell->fd, .events = POLLIN};
	return poll(&poll_fd, 1, 0) == 1;
}

Test(doorbell, is_silent_unless_somebody_waits)
{
	struct doorbell bell;
	cr_assert_eq(doorbell_open(&bell, NULL), 0);
	doorbell_ring(&bell);
	cr_expect_not(is_readable(&bell));

	doorbell_arm(&bell);
	cr_expect_not(is_readable(&bell));
	doorbell_ring(&bell);
	cr_expect(is_readable(&bell));
	doorbell_disarm(&bell);
	cr_expect_not(is_readable(&bell));

	doorbell_ring(&bell);
	cr_expect_not(is_readable(&bell));
	doorbell_close(&bell);
}

Test(doorbell, is_written_once_per_wait)
{
	struct doorbell bell;
	cr_assert_eq(doorbell_open(&bell, NULL), 0);
	doorbell_arm(&bell);
	doorbell_ring(&bell);
	doorbell_ring(&bell);
	doorbell_ring(&bell);
	eventfd_t count = 0;
	cr_assert_eq(eventfd_read(bell.fd, &count), 0);
	cr_expect_eq(count, 1);
	doorbell_close(&bell);
}
