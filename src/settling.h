// SPDX-License-Identifier: Apache-2.0
// The time after a start in which not every backend has been checked yet. What belongs to no flow
// and is placed by the hash alone waits until it is over (packet/forward_dsr.c), but not for a
// backend that can never be checked. Called by: control.
#pragma once

#include "culvert/balance/registry.h"
#include "culvert/control/health.h"
#include "culvert/control/readiness.h"

struct settling;

// Everything is borrowed, as long as the object.
struct settling_params {
	struct event_base *base;
	struct registry *registry;
	const struct health *health;
	const struct readiness *readiness; // NULL: what is healthy is used
	void (*on_news)(void *arg);        // the registry knows more than the packet path
	void *arg;
};

int settling_start(struct settling **settling, const struct settling_params *params,
		   struct err *err);
void settling_stop(struct settling *settling); // NULL is legal
