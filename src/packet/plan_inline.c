// SPDX-License-Identifier: Apache-2.0
// Run to completion: one thread captures a burst, works on it, transmits it, and takes the buffers
// home. On few processors this beats the pipeline: waking another thread costs more than the work.
#include "culvert/balance/grace.h"
#include "culvert/base/clock.h"
#include "culvert/base/thread.h"
#include "packet/plan.h"

static void refill_spares(struct engine *engine)
{
	struct worker *worker = &engine->workers[0].worker;
	while (worker->n_spares < WORKER_SPARES) {
		struct packet *spare = capture_spare(&engine->capture);
		if (!spare)
			return;
		worker->spares[worker->n_spares++] = spare;
	}
}

static void send_home(struct engine *engine, struct packet **packets, uint32_t n)
{
	if (n == 0)
		return;
	transmit_burst(&engine->transmit, packets, n);
	packet_pool_give_back(&engine->capture.pool, packets, n);
}

static void run_link(struct engine *engine, const struct snapshot *snapshot, uint32_t link,
		     bool *is_idle)
{
	struct packet *packets[PACKET_BURST];
	refill_spares(engine);
	uint32_t n = capture_burst(&engine->capture, snapshot, link, packets, is_idle);
	worker_process(&engine->workers[0].worker, packets, n);
	send_home(engine, packets, n);
}

// Returns false when there was nothing to do.
static bool run_once(struct engine *engine)
{
	struct worker *worker = &engine->workers[0].worker;
	const struct snapshot *snapshot = plan_snapshot(engine);
	bool is_idle = true;
	refill_spares(engine);
	worker_begin(worker, snapshot, engine->now_ns());
	for (uint32_t link = 0; link < engine->n_links; link++)
		run_link(engine, snapshot, link, &is_idle);
	send_home(engine, worker->made, worker->n_made);
	worker->n_made = 0;
	plan_tell_activity(engine, is_idle);
	if (is_idle)
		plan_tell_of_flows(&engine->workers[0]);
	return !is_idle || worker_is_busy(worker);
}

static void rest(struct engine *engine)
{
	int idle_ms = capture_idle_ms(&engine->capture);
	if (idle_ms < 0)
		idle_ms = worker_idle_ms(&engine->workers[0].worker);
	grace_away();
	engine->driver->wait(engine->io, engine->capture_bell.fd, idle_ms);
	doorbell_disarm(&engine->capture_bell);
	grace_back();
}

static void *run(void *arg)
{
	struct engine *engine = arg;
	grace_join();
	while (!plan_is_set(&engine->is_capture_stopping)) {
		bool was_busy = run_once(engine);
		grace_quiescent();
		if (was_busy)
			busy_poll_found(&engine->capture_poll, clock_now_ns());
		else if (capture_is_finished(&engine->capture, engine->n_links))
			break;
		else if (!busy_poll_goes_on(&engine->capture_poll, clock_now_ns()))
			rest(engine);
	}
	capture_end(&engine->capture);
	atomic_store_explicit(&engine->is_finished, true, memory_order_release);
	grace_leave();
	return NULL;
}

int plan_inline_start(struct engine *engine, struct err *err)
{
	int code = thread_start(&engine->capture_thread, "culvert-inline", run, engine, err);
	engine->has_capture_thread = code == 0;
	return code;
}

void plan_inline_stop(struct engine *engine)
{
	if (!engine->has_capture_thread)
		return;
	// Pairs with plan_is_set().
	atomic_store_explicit(&engine->is_capture_stopping, true, memory_order_release);
	doorbell_wake(&engine->capture_bell);
	pthread_join(engine->capture_thread, NULL);
	engine->has_capture_thread = false;
}
