// SPDX-License-Identifier: Apache-2.0
// Between health and the registry, for dsr.require_ready: a backend that health finds up goes by as
// up only once it has passed the readiness check of every frontend that it serves, and is checked
// again until it does. Health takes it down at once.
//
// A frontend that comes to a pool later waits at its gate until every backend that is up there has
// passed its check: the other frontends' connections are not to suffer from one that has not.
// Called by: control.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "culvert/balance/snapshot.h"
#include "culvert/base/err.h"
#include "culvert/control/health.h"
#include "culvert/control/netwatch.h"

struct readiness;
struct registry;

// All borrowed; they outlive the object.
struct readiness_params {
	struct event_base *base;
	struct netwatch *netwatch;
	const struct config *config; // of the start: dsr.check_source is needed
	const struct registry *registry;
	health_change_fn on_change; // of what the two together say
	// Of a frontend, by slot.
	void (*on_gate)(void *arg, size_t frontend, enum frontend_gate gate);
	void *arg;
};

// Before health starts. 0, or -errno when the check cannot be made from here.
int readiness_open(struct readiness **readiness, const struct readiness_params *params,
		   struct err *err);
// NULL is legal. Legal in on_change.
void readiness_close(struct readiness *readiness);

// A change of health: health_start() may call this itself, with `readiness` as its argument. When a
// backend goes down on_change follows before the return, when it was passed on as up.
void readiness_take_health(void *readiness, size_t backend, bool is_up, const char *reason);

// Could it follow this configuration? 0, or -errno with the place in the file.
int readiness_check_config(const struct readiness *readiness, const struct config *config,
			   struct err *err);
// The registry has taken over another configuration; on_gate may follow before the return.
void readiness_follow(struct readiness *readiness);
// Forget the slot's backend.
void readiness_forget(struct readiness *readiness, size_t backend);

// Whether health has found the backend up, and the first round of checks since then is under way.
bool readiness_is_awaited(const struct readiness *readiness, size_t backend);
// As on_change said last.
bool readiness_is_up(const struct readiness *readiness, size_t backend);
