// SPDX-License-Identifier: Apache-2.0
#include "bench_parts.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "culvert/balance/maglev.h"
#include "culvert/ds/ring.h"
#include "meter.h"

enum { MAGLEV_SLOTS = 65537, BURST = 64, RING_SIZE = 1024, TRIES = 256 };

struct hand_over {
	struct ring *ring;
	uint32_t n_items;
};

__attribute__((noreturn)) static void give_up(const char *what)
{
	fprintf(stderr, "packet_path: %s\n", what);
	abort();
}

static struct maglev_backend *make_backends(uint32_t n)
{
	struct maglev_backend *backends = calloc(n, sizeof(*backends));
	if (!backends)
		give_up("not enough memory");
	for (uint32_t i = 0; i < n; i++) {
		char text[32];
		snprintf(text, sizeof(text), "10.1.%u.%u:80", i >> 8, i & 0xff);
		if (!endpoint_parse(text, &backends[i].endpoint))
			give_up("a backend's address is none");
		backends[i].endpoint.proto = IPPROTO_TCP;
		backends[i].weight = 1;
		backends[i].id = (uint16_t)i;
	}
	return backends;
}

uint64_t bench_maglev(uint32_t n_backends, const char *name)
{
	struct maglev_backend *backends = make_backends(n_backends);
	struct maglev *maglev = NULL;
	struct err err = {0};
	struct meter meter = {0};
	meter_start(&meter);
	int code = maglev_build(&maglev, backends, n_backends, MAGLEV_SLOTS, &err);
	meter_stop(&meter);
	meter_dump(name);
	if (code)
		give_up(err.message);
	maglev_unref(maglev);
	free(backends);
	return meter.ns;
}

// Where there is one processor only, spinning would take it from the other side.
static void pause_after(uint32_t *n_tries)
{
	if (++*n_tries % TRIES == 0)
		sched_yield();
}

static void *consume(void *arg)
{
	struct hand_over *work = arg;
	void *items[BURST];
	uint32_t n_tries = 0;
	for (uint32_t left = work->n_items; left;) {
		uint32_t n = ring_pop(work->ring, items, BURST);
		left -= n;
		if (n == 0)
			pause_after(&n_tries);
	}
	return NULL;
}

static void produce(struct hand_over *work)
{
	void *items[BURST];
	uint32_t n_tries = 0;
	for (int i = 0; i < BURST; i++)
		items[i] = work;
	for (uint32_t left = work->n_items; left;) {
		uint32_t n = ring_push(work->ring, items, left < BURST ? left : BURST);
		left -= n;
		if (n == 0)
			pause_after(&n_tries);
	}
}

uint64_t bench_ring(uint32_t n_items)
{
	struct hand_over work = {.n_items = n_items};
	struct err err = {0};
	pthread_t consumer;
	if (ring_create(&work.ring, RING_SIZE, &err))
		give_up(err.message);
	uint64_t started = clock_now_ns();
	if (pthread_create(&consumer, NULL, consume, &work))
		give_up("cannot start a thread");
	produce(&work);
	pthread_join(consumer, NULL);
	uint64_t ns = clock_now_ns() - started;
	ring_destroy(work.ring);
	return ns;
}
