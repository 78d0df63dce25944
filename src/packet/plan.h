// SPDX-License-Identifier: Apache-2.0
// The engine's insides, and the two ways to lay its stages over threads.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "culvert/ds/doorbell.h"
#include "culvert/ds/ring.h"
#include "culvert/packet/engine.h"
#include "packet/busy_poll.h"
#include "packet/capture.h"
#include "packet/fast_program.h"
#include "packet/transmit.h"
#include "packet/worker.h"

enum { CACHE_LINE = 64 };

// One worker with its thread, and its rings where it has a thread of its own.
struct plan_worker {
	_Alignas(CACHE_LINE) struct worker worker;
	struct engine *engine; // borrowed
	struct ring *in;       // capture → worker
	struct ring *spares;   // capture → worker: empty packets
	struct ring *out;      // worker → transmit
	struct doorbell bell;  // rung for `in`, for a new snapshot, and to stop
	struct busy_poll poll;
	uint64_t told; // plan_tell_of_flows(); w, r: the worker
	pthread_t thread;
	bool has_thread;
};

struct engine {
	const struct config *config; // borrowed
	const struct io_driver *driver;
	struct io *io;
	struct fast_program fast;
	uint64_t (*now_ns)(void);
	uint32_t n_links;
	uint32_t n_workers; // tables; 1 with is_inline
	bool is_inline;

	_Atomic(struct snapshot *) snapshot; // w: control, r: all; acquire and release
	_Atomic bool is_capture_stopping;    // w: control, r: the thread named; likewise
	_Atomic bool is_worker_stopping;
	_Atomic bool is_transmit_stopping;
	_Atomic bool is_finished; // w: capture, r: control
	// Borrowed; NULL: nobody wants to hear it; w: control before start.
	struct doorbell *activity;

	_Alignas(CACHE_LINE) struct capture capture;
	struct doorbell capture_bell; // wakes the capturing thread out of the driver's wait
	struct busy_poll capture_poll;
	bool was_idle;     // the last look at the links found nothing; w, r: capture
	struct ring *home; // transmit → capture
	pthread_t capture_thread;
	bool has_capture_thread;

	_Alignas(CACHE_LINE) struct transmit transmit;
	struct doorbell transmit_bell;
	struct busy_poll transmit_poll;
	pthread_t transmit_thread;
	bool has_transmit_thread;

	struct plan_worker *workers; // owned
	// What slots had counted when they were given back: not of those who have them now.
	struct packet_stats before; // w, r: control
	uint64_t kernel_dropped;    // as read last; w, r: control
};

static inline const struct snapshot *plan_snapshot(struct engine *engine)
{
	// Pairs with the exchange in engine_publish().
	return atomic_load_explicit(&engine->snapshot, memory_order_acquire);
}

static inline bool plan_is_set(const _Atomic bool *flag)
{
	return atomic_load_explicit(flag, memory_order_acquire);
}

// After a look at all links. What comes without a pause was told when it began: control sees that
// it goes on. Called by: capture.
static inline void plan_tell_activity(struct engine *engine, bool is_idle)
{
	if (!is_idle && engine->was_idle && engine->activity)
		doorbell_ring(engine->activity);
	engine->was_idle = is_idle;
}

// After a look that brought no packets. The time of flows may be over, or the kernel has forwarded
// for them: no packet comes to tell of either. Called by: the worker.
static inline void plan_tell_of_flows(struct plan_worker *self)
{
	const struct worker *worker = &self->worker;
	// Both make it larger: packets of the kernel that become more, flows that become fewer.
	uint64_t now = counter_read(&worker->fast.ledger.received) -
		       counter_read(&worker->flows->flows_current);
	if (now != self->told && self->engine->activity)
		doorbell_ring(self->engine->activity);
	self->told = now;
}

// plan_inline.c: everything to completion in one thread.
int plan_inline_start(struct engine *engine, struct err *err);
void plan_inline_stop(struct engine *engine);

// plan_pipeline.c: capture, N workers, transmit.
int plan_pipeline_open(struct engine *engine, struct err *err); // rings and doorbells
int plan_pipeline_start(struct engine *engine, struct err *err);
void plan_pipeline_stop(struct engine *engine);
void plan_pipeline_close(struct engine *engine);
