// SPDX-License-Identifier: Apache-2.0
// What the packet modes add to health checks: new connections that are refused or not answered tell
// about their backend; in DSR mode backends may have to be ready before they get any, and
// connections are to outlive a restart.
// Called by: control.
#pragma once

#include "guard.h"
#include "passive.h"
#include "service.h"
#include "settling.h"

struct packet_health_params { // all borrowed until packet_health_close()
	struct service *service;
	struct netwatch *netwatch;
	struct engine *engine;
	struct guard *guard;
};

struct packet_health {
	struct packet_health_params with;
	struct readiness *readiness; // owned, as the next; NULL: what is healthy gets traffic
	struct passive *passive;
	struct settling *settling; // NULL in other modes than DSR, as the next
	struct event *guarding;
};

// Begins the service's health checks as well. 0 or -errno; a failure leaves what the two below
// undo.
int packet_health_open(struct packet_health *self, const struct packet_health_params *params,
		       struct err *err);
// Before service_close_outward(), and after it.
void packet_health_stop(struct packet_health *self);
void packet_health_close(struct packet_health *self);
