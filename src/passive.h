// SPDX-License-Identifier: Apache-2.0
// Passive checks of the packet modes: looks at what the packet path has counted about new
// connections, and tells health. Called by: control.
#pragma once

#include "culvert/balance/registry.h"
#include "culvert/control/health.h"
#include "culvert/packet/engine.h"

struct activity;
struct passive;

// Everything is borrowed, as long as the object.
struct passive_params {
	struct activity *activity;
	const struct registry *registry;
	const struct engine *engine;
	struct health *health;
};

int passive_start(struct passive **passive, const struct passive_params *params, struct err *err);
void passive_stop(struct passive *passive); // NULL is legal
