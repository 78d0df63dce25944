// SPDX-License-Identifier: Apache-2.0
// After a reload a pool may consist of new backends alone, which are used when their first check
// has passed. Until then, though not for long, clients of its frontends wait in the listen queues
// instead of being turned away.
// Called by: control.
#pragma once

#include "culvert/proxy/proxy.h"
#include "service.h"

struct event;

struct proxy_hold {
	struct service *service; // borrowed, as the proxy
	struct proxy *proxy;
	struct event *event; // owned; pending: some frontend is held
	uint64_t deadline_ns;
};

// 0 or -ENOMEM.
int proxy_hold_open(struct proxy_hold *hold, struct service *service, struct proxy *proxy,
		    struct err *err);
void proxy_hold_close(struct proxy_hold *hold);

// The registry has taken over another configuration, and the data path has not seen it yet.
void proxy_hold_start(struct proxy_hold *hold);
