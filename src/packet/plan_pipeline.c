// SPDX-License-Identifier: Apache-2.0
// DESIGN. One thread captures, N work, one transmits; each hands packets on by single-producer
// single-consumer rings:
//
//	capture ──in──► worker 0..N-1 ──out──► transmit ──home──► capture
//	       └spares─►
//
// `in` is shorter than the pool, so that a worker which falls behind loses its own packets and not
// the buffers of all. `out`, `home` and `spares` can hold every packet there is: pushing to them
// never fails. A thread with nothing to do arms its doorbell, looks once more, and sleeps; capture
// sleeps in the driver instead, or on its doorbell when every buffer is out.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "culvert/balance/grace.h"
#include "culvert/base/clock.h"
#include "culvert/base/thread.h"
#include "packet/plan.h"

enum {
	IN_RING_SLOTS = 1024,
	SPARE_RING_SLOTS = WORKER_SPARES,
	BUFFER_WAIT_MS = 1, // a ceiling, should a buffer's way home be slow
};

static uint32_t ring_slots_for_all(const struct engine *engine)
{
	uint32_t slots = 1;
	while (slots < engine->capture.pool.n_packets)
		slots *= 2;
	return slots;
}

// At most PACKET_BURST of each; rings carry untyped pointers.
static uint32_t push(struct ring *ring, struct packet *const *packets, uint32_t n)
{
	void *items[PACKET_BURST];
	memcpy(items, packets, n * sizeof(items[0]));
	return ring_push(ring, items, n);
}

static uint32_t pop(struct ring *ring, struct packet **packets, uint32_t n)
{
	void *items[PACKET_BURST];
	n = ring_pop(ring, items, n);
	memcpy(packets, items, n * sizeof(items[0]));
	return n;
}

// ---- capture -----------------------------------------------------------------------------------

static void take_home(struct engine *engine)
{
	struct packet *packets[PACKET_BURST];
	uint32_t n;
	while ((n = pop(engine->home, packets, PACKET_BURST)))
		packet_pool_give_back(&engine->capture.pool, packets, n);
}

static void feed_spares(struct engine *engine)
{
	for (uint32_t i = 0; i < engine->n_workers; i++) {
		struct packet *spare;
		while ((spare = capture_spare(&engine->capture))) {
			if (push(engine->workers[i].spares, &spare, 1))
				continue;
			packet_pool_give_back(&engine->capture.pool, &spare, 1);
			break;
		}
	}
}

static void hand_over(struct engine *engine, struct plan_worker *to, struct packet **packets,
		      uint32_t n)
{
	if (n == 0)
		return;
	uint32_t taken = push(to->in, packets, n);
	doorbell_ring(&to->bell);
	counter_add(&engine->capture.ledger.verdicts[VERDICT_DROP_RING_FULL], n - taken);
	for (uint32_t i = taken; i < n; i++)
		sample_packet(&engine->capture.tap, packets[i], VERDICT_DROP_RING_FULL);
	packet_pool_give_back(&engine->capture.pool, packets + taken, n - taken);
}

// One pass per worker over a burst keeps the order of each worker's packets.
static void distribute(struct engine *engine, struct packet *const *packets, uint32_t n)
{
	for (uint32_t w = 0; w < engine->n_workers; w++) {
		struct packet *batch[PACKET_BURST];
		uint32_t n_batch = 0;
		for (uint32_t i = 0; i < n; i++) {
			if (packets[i]->worker == w)
				batch[n_batch++] = packets[i];
		}
		hand_over(engine, &engine->workers[w], batch, n_batch);
	}
}

static void capture_rest(struct engine *engine)
{
	grace_away();
	if (engine->capture.pool.n_free) {
		engine->driver->wait(engine->io, engine->capture_bell.fd,
				     capture_idle_ms(&engine->capture));
	} else {
		struct pollfd bell = {.fd = engine->capture_bell.fd, .events = POLLIN};
		doorbell_arm(&engine->capture_bell);
		if (ring_is_empty(engine->home))
			(void)poll(&bell, 1, BUFFER_WAIT_MS);
	}
	doorbell_disarm(&engine->capture_bell);
	grace_back();
}

static void *run_capture(void *arg)
{
	struct engine *engine = arg;
	grace_join();
	while (!plan_is_set(&engine->is_capture_stopping)) {
		bool is_idle = true;
		take_home(engine);
		feed_spares(engine);
		const struct snapshot *snapshot = plan_snapshot(engine);
		for (uint32_t link = 0; link < engine->n_links; link++) {
			struct packet *packets[PACKET_BURST];
			uint32_t n =
				capture_burst(&engine->capture, snapshot, link, packets, &is_idle);
			distribute(engine, packets, n);
		}
		plan_tell_activity(engine, is_idle);
		grace_quiescent();
		if (is_idle && capture_is_finished(&engine->capture, engine->n_links))
			break;
		if (!is_idle)
			busy_poll_found(&engine->capture_poll, clock_now_ns());
		else if (!busy_poll_goes_on(&engine->capture_poll, clock_now_ns()))
			capture_rest(engine);
	}
	capture_end(&engine->capture);
	atomic_store_explicit(&engine->is_finished, true, memory_order_release);
	grace_leave();
	return NULL;
}

// ---- worker ------------------------------------------------------------------------------------

static void refill_spares(struct plan_worker *self)
{
	struct worker *worker = &self->worker;
	worker->n_spares += pop(self->spares, worker->spares + worker->n_spares,
				WORKER_SPARES - worker->n_spares);
}

// Returns false when there was nothing to do.
static bool work_once(struct plan_worker *self)
{
	struct engine *engine = self->engine;
	struct worker *worker = &self->worker;
	struct packet *packets[PACKET_BURST];
	refill_spares(self);
	worker_begin(worker, plan_snapshot(engine), engine->now_ns());
	uint32_t n = pop(self->in, packets, PACKET_BURST);
	// Capture has brought empty packets before it brought these.
	refill_spares(self);
	worker_process(worker, packets, n);
	// These rings hold as many as there are packets: all is taken.
	(void)push(self->out, packets, n);
	(void)push(self->out, worker->made, worker->n_made);
	if (n + worker->n_made)
		doorbell_ring(&engine->transmit_bell);
	worker->n_made = 0;
	if (n == 0)
		plan_tell_of_flows(self);
	// Short of empty packets, with others to be cut or resets still to be written. Capture has
	// more, and may be asleep on links where nothing comes in.
	bool is_short = worker->n_spares < (n ? PACKET_BURST / 2 : 1);
	if (is_short && (n || worker->n_to_sweep))
		doorbell_wake(&engine->capture_bell);
	return n || worker_is_busy(worker);
}

static void worker_rest(struct plan_worker *self)
{
	struct pollfd bell = {.fd = self->bell.fd, .events = POLLIN};
	doorbell_arm(&self->bell);
	grace_away();
	if (ring_is_empty(self->in))
		(void)poll(&bell, 1, worker_idle_ms(&self->worker));
	grace_back();
	doorbell_disarm(&self->bell);
}

static void *run_worker(void *arg)
{
	struct plan_worker *self = arg;
	grace_join();
	for (;;) {
		// Read before the last look at the ring: what capture pushed before it stopped is
		// seen.
		bool is_last = plan_is_set(&self->engine->is_worker_stopping);
		bool was_busy = work_once(self);
		grace_quiescent();
		if (is_last && ring_is_empty(self->in))
			break;
		if (was_busy)
			busy_poll_found(&self->poll, clock_now_ns());
		else if (!is_last && !busy_poll_goes_on(&self->poll, clock_now_ns()))
			worker_rest(self);
	}
	grace_leave();
	return NULL;
}

// ---- transmit ----------------------------------------------------------------------------------

static bool transmit_once(struct engine *engine)
{
	bool was_busy = false;
	for (uint32_t i = 0; i < engine->n_workers; i++) {
		struct packet *packets[PACKET_BURST];
		uint32_t n = pop(engine->workers[i].out, packets, PACKET_BURST);
		if (n == 0)
			continue;
		transmit_burst(&engine->transmit, packets, n);
		(void)push(engine->home, packets, n);
		doorbell_ring(&engine->capture_bell);
		was_busy = true;
	}
	return was_busy;
}

static bool has_output(const struct engine *engine)
{
	for (uint32_t i = 0; i < engine->n_workers; i++) {
		if (!ring_is_empty(engine->workers[i].out))
			return true;
	}
	return false;
}

static void *run_transmit(void *arg)
{
	struct engine *engine = arg;
	struct pollfd bell = {.fd = engine->transmit_bell.fd, .events = POLLIN};
	for (;;) {
		bool is_last = plan_is_set(&engine->is_transmit_stopping);
		if (transmit_once(engine)) {
			busy_poll_found(&engine->transmit_poll, clock_now_ns());
			continue;
		}
		if (is_last)
			return NULL;
		if (busy_poll_goes_on(&engine->transmit_poll, clock_now_ns()))
			continue;
		doorbell_arm(&engine->transmit_bell);
		if (!has_output(engine))
			(void)poll(&bell, 1, -1);
		doorbell_disarm(&engine->transmit_bell);
	}
}

// ---- start and stop ----------------------------------------------------------------------------

static int open_worker(struct engine *engine, struct plan_worker *worker, struct err *err)
{
	int code = ring_create(&worker->in, IN_RING_SLOTS, err);
	if (!code)
		code = ring_create(&worker->spares, SPARE_RING_SLOTS, err);
	if (!code)
		code = ring_create(&worker->out, ring_slots_for_all(engine), err);
	return code;
}

int plan_pipeline_open(struct engine *engine, struct err *err)
{
	for (uint32_t i = 0; i < engine->n_workers; i++) {
		int code = open_worker(engine, &engine->workers[i], err);
		if (code)
			return code;
	}
	return ring_create(&engine->home, ring_slots_for_all(engine), err);
}

void plan_pipeline_close(struct engine *engine)
{
	for (uint32_t i = 0; engine->workers && i < engine->n_workers; i++) {
		ring_destroy(engine->workers[i].in);
		ring_destroy(engine->workers[i].spares);
		ring_destroy(engine->workers[i].out);
	}
	ring_destroy(engine->home);
}

static int start_worker(struct engine *engine, uint32_t i, struct err *err)
{
	char name[16];
	struct plan_worker *worker = &engine->workers[i];
	snprintf(name, sizeof(name), "culvert-work%u", i % 100);
	int code = thread_start(&worker->thread, name, run_worker, worker, err);
	worker->has_thread = code == 0;
	return code;
}

// From the last stage to the first, so that nobody hands over to a thread that is not there.
int plan_pipeline_start(struct engine *engine, struct err *err)
{
	int code = thread_start(&engine->transmit_thread, "culvert-tx", run_transmit, engine, err);
	engine->has_transmit_thread = code == 0;
	for (uint32_t i = 0; !code && i < engine->n_workers; i++)
		code = start_worker(engine, i, err);
	if (!code) {
		code = thread_start(&engine->capture_thread, "culvert-rx", run_capture, engine,
				    err);
		engine->has_capture_thread = code == 0;
	}
	if (code)
		plan_pipeline_stop(engine);
	return code;
}

static void stop_thread(_Atomic bool *flag, struct doorbell *bell, pthread_t thread, bool *has)
{
	if (!*has)
		return;
	// Pairs with plan_is_set().
	atomic_store_explicit(flag, true, memory_order_release);
	doorbell_wake(bell);
	pthread_join(thread, NULL);
	*has = false;
}

void plan_pipeline_stop(struct engine *engine)
{
	stop_thread(&engine->is_capture_stopping, &engine->capture_bell, engine->capture_thread,
		    &engine->has_capture_thread);
	for (uint32_t i = 0; i < engine->n_workers; i++) {
		struct plan_worker *worker = &engine->workers[i];
		stop_thread(&engine->is_worker_stopping, &worker->bell, worker->thread,
			    &worker->has_thread);
	}
	stop_thread(&engine->is_transmit_stopping, &engine->transmit_bell, engine->transmit_thread,
		    &engine->has_transmit_thread);
}
