// SPDX-License-Identifier: Apache-2.0
// Health of backends: parallel non-blocking probes on the event loop, spread over the interval. A
// backend starts as down and is used only after `rise` passes; `fall` failures in a
// row take it down. Pools with health_check = "none" are up at once and stay so.
// Called by: control.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/config/config.h"

struct event_base;
struct health;

// `backend` is the slot (balance/snapshot.h). `reason` is a sentence for the log, borrowed for the
// call.
typedef void (*health_change_fn)(void *arg, size_t backend, bool is_up, const char *reason);

// No backend is checked yet; there is room for slots below `n_slots`. `base` is borrowed and
// outlives the object. A probe that this host lacks the means for changes nothing.
int health_create(struct health **health, struct event_base *base, size_t n_slots,
		  health_change_fn on_change, void *arg, struct err *err);
// Check a backend from now on, in a slot that has none. The first probe leaves at once, and the
// second one after a part of the interval, which its place in the pool decides. `pool` and
// `backend` are borrowed until health_change() or health_remove(). on_change is called from the
// event loop, and for pools without checks from here. 0 or -ENOMEM.
int health_add(struct health *health, size_t slot, const struct config_pool *pool,
	       const struct config_backend *backend, struct err *err);
// The same backend, but pool and backend are to be read elsewhere from now on. What is known of it
// stays until its next checks say otherwise, but for a pool whose checks end: then it is up. A
// check under way begins again, unless it asks the same.
int health_change(struct health *health, size_t slot, const struct config_pool *pool,
		  const struct config_backend *backend, struct err *err);
// Forget the slot's backend; legal when there is none. Does not call on_change.
void health_remove(struct health *health, size_t slot);
bool health_has(const struct health *health, size_t slot);

// health_create() and health_add() for every backend, whose slots are their running numbers over
// all pools. on_change may be called before the return, when *health is set already.
int health_start(struct health **health, struct event_base *base, const struct config *config,
		 health_change_fn on_change, void *arg, struct err *err);
// NULL is legal; closes every probe. Legal in on_change when the event loop calls that.
void health_stop(struct health *health);

// The data path has met failures enough: the backend is down until `rise` probes have passed.
// Nothing happens to a backend that is down already, or whose pool wants no passive checks or has
// no others: who would ever bring it up again? Calls on_change.
void health_report_failure(struct health *health, size_t slot, const char *reason);

// The data path hears nothing from the backend. It is probed at once, unless it is being probed,
// and that probe decides alone: failing it takes the backend down. Nothing happens where
// health_report_failure() would do nothing.
void health_report_silence(struct health *health, size_t slot);

struct health_report {
	bool is_up;
	bool is_known;
	bool is_checked;
	const char *reason; // UTF-8, of the last change; "" before one. Borrowed until the next
	int64_t since_ms;   // when that was, by the wall clock
};

// All zero, but for the reason, in a slot without a backend.
void health_describe(const struct health *health, size_t slot, struct health_report *report);

// A slot without a backend is neither up nor known.
bool health_is_up(const struct health *health, size_t slot);
// Is the state more than the one it started with: has the backend been up once, or failed `fall`
// times in a row?
bool health_is_known(const struct health *health, size_t slot);
// What the slot's last check said, borrowed until the next one; empty before the first. "connect
// refused".
const char *health_last_result(const struct health *health, size_t slot);
