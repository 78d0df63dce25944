// SPDX-License-Identifier: Apache-2.0
// Knows no test framework: thread sanitizers and Criterion do not go together, and this must run
// under both.
#include "ring_stress.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "culvert/ds/doorbell.h"
#include "culvert/ds/ring.h"

enum { BATCH_MAX = 5, LOST_AFTER_MS = 20000 };

struct producer {
	struct ring *ring;
	struct doorbell *bell;
	uintptr_t n_items;
	atomic_bool *is_over; // w: consumer, r: producers; the consumer has given up
	unsigned seed;
	unsigned n_refused; // pushes in a row that found no room
};

struct consumer {
	struct producer producers[RING_STRESS_MAX_PRODUCERS];
	uintptr_t seen[RING_STRESS_MAX_PRODUCERS];
	uint32_t n_producers;
	struct doorbell bell;
	atomic_bool is_over;
};

// Numbers travel as pointers.
static void *as_item(uintptr_t number)
{
	return (void *)number; // NOLINT(performance-no-int-to-ptr): never dereferenced
}

// For a random while, so that pushes meet the consumer at every point on its way to sleep. Mostly
// without a system call: one takes longer than the moments that matter.
static void pause_briefly(struct producer *producer, uint32_t n_taken)
{
	int n_spins = rand_r(&producer->seed) % 256;
	for (int i = 0; i < n_spins; i++)
		atomic_load_explicit(producer->is_over, memory_order_relaxed);
	producer->n_refused = n_taken ? 0 : producer->n_refused + 1;
	if (producer->n_refused % 64 == 63)
		sched_yield();
}

// Batches of changing size, with pauses in which the consumer falls asleep.
static void *run_producer(void *arg)
{
	struct producer *producer = arg;
	uintptr_t next = 1;
	// Relaxed: a flag that orders nothing.
	while (next <= producer->n_items &&
	       !atomic_load_explicit(producer->is_over, memory_order_relaxed)) {
		void *items[BATCH_MAX];
		uint32_t n = 1 + (uint32_t)rand_r(&producer->seed) % BATCH_MAX;
		if (n > producer->n_items - next + 1)
			n = (uint32_t)(producer->n_items - next + 1);
		for (uint32_t i = 0; i < n; i++)
			items[i] = as_item(next + i);
		uint32_t taken = ring_push(producer->ring, items, n);
		if (taken)
			doorbell_ring(producer->bell);
		next += taken;
		pause_briefly(producer, taken);
	}
	return NULL;
}

// A lost wake-up leaves the consumer in poll() for good; the limit turns that into a finding.
static const char *sleep_until_rung(struct consumer *consumer)
{
	const char *wrong = NULL;
	bool is_empty = true;
	doorbell_arm(&consumer->bell);
	for (uint32_t i = 0; i < consumer->n_producers; i++)
		is_empty = is_empty && ring_is_empty(consumer->producers[i].ring);
	if (is_empty) {
		struct pollfd poll_fd = {.fd = consumer->bell.fd, .events = POLLIN};
		if (poll(&poll_fd, 1, LOST_AFTER_MS) != 1)
			wrong = "a wake-up was lost";
	}
	doorbell_disarm(&consumer->bell);
	return wrong;
}

static const char *consume(struct consumer *consumer, uintptr_t n_items)
{
	uintptr_t n_left = n_items * consumer->n_producers;
	while (n_left > 0) {
		uint32_t n_taken = 0;
		for (uint32_t i = 0; i < consumer->n_producers; i++) {
			void *items[BATCH_MAX + 3];
			uint32_t n = ring_pop(consumer->producers[i].ring, items, BATCH_MAX + 3);
			for (uint32_t k = 0; k < n; k++) {
				if ((uintptr_t)items[k] != ++consumer->seen[i])
					return "an item is out of order";
			}
			n_taken += n;
		}
		n_left -= n_taken;
		const char *wrong = n_taken ? NULL : sleep_until_rung(consumer);
		if (wrong)
			return wrong;
	}
	return NULL;
}

static void start(struct consumer *consumer, const struct ring_stress *stress, pthread_t *threads)
{
	for (uint32_t i = 0; i < stress->n_producers; i++) {
		struct producer *producer = &consumer->producers[i];
		*producer = (struct producer){.bell = &consumer->bell,
					      .n_items = stress->n_items,
					      .is_over = &consumer->is_over,
					      .seed = i + 1};
		if (ring_create(&producer->ring, stress->ring_size, NULL) ||
		    pthread_create(&threads[i], NULL, run_producer, producer))
			abort();
	}
}

const char *ring_stress_run(const struct ring_stress *stress)
{
	struct consumer consumer = {.n_producers = stress->n_producers};
	pthread_t threads[RING_STRESS_MAX_PRODUCERS];
	if (doorbell_open(&consumer.bell, NULL))
		return "cannot open the doorbell";
	start(&consumer, stress, threads);
	const char *wrong = consume(&consumer, stress->n_items);
	atomic_store_explicit(&consumer.is_over, true, memory_order_relaxed);
	for (uint32_t i = 0; i < stress->n_producers; i++) {
		pthread_join(threads[i], NULL);
		ring_destroy(consumer.producers[i].ring);
	}
	doorbell_close(&consumer.bell);
	return wrong;
}
