// SPDX-License-Identifier: Apache-2.0
// Health of backends: parallel non-blocking TCP connects on the event loop, spread over the
// interval. A backend starts as down and is used only after `rise` passes; `fall` failures in a
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

// `backend` is the running number of the backend over all pools, in the order of config.pools and
// of config_pool.backends. `reason` is a sentence for the log, borrowed for the call.
typedef void (*health_change_fn)(void *arg, size_t backend, bool is_up, const char *reason);

// `base` and `config` are borrowed and outlive the object. The first probes leave at once.
// on_change is called from the event loop, and for pools without checks from health_start() itself,
// when *health is set already. A probe that this host lacks the means for changes nothing.
int health_start(struct health **health, struct event_base *base, const struct config *config,
		 health_change_fn on_change, void *arg, struct err *err);
// NULL is legal; closes every probe. Legal in on_change when the event loop calls that.
void health_stop(struct health *health);

// The data path has met failures enough: the backend is down until `rise` probes have passed.
// Nothing happens to a backend that is down already, or whose pool has no checks: who would ever
// bring it up again? Calls on_change.
void health_report_failure(struct health *health, size_t backend, const char *reason);

bool health_is_up(const struct health *health, size_t backend);
// Is the state more than the one it started with: has the backend been up once, or failed `fall`
// times in a row?
bool health_is_known(const struct health *health, size_t backend);
