// SPDX-License-Identifier: Apache-2.0
// Health checks under test, of one pool, and what they have told. What goes wrong fails the test.
#pragma once

#include <event2/event.h>

#include "culvert/control/health.h"

enum { HEALTH_LAB_BACKENDS = 64 };

struct health_lab {
	struct config_backend backends[HEALTH_LAB_BACKENDS];
	struct config_pool pool;
	struct config config;
	struct event_base *base;
	struct health *health;
	struct err err;
	unsigned n_changes;
	size_t changed; // the backend of the last change
	bool is_up;
	char reason[256];
	bool is_stopping; // a change stops health
};

// A pool without backends, checked every 10 ms; nothing has begun.
void health_lab_init(struct health_lab *lab);
void health_lab_add(struct health_lab *lab, const char *addr, uint16_t port);
void health_lab_start(struct health_lab *lab);
void health_lab_fini(struct health_lab *lab);

// Run the loop until `n` changes have been told in all.
void health_lab_await(struct health_lab *lab, unsigned n);
// Run the loop for many intervals, to see that something does not happen.
void health_lab_run_for_ms(struct health_lab *lab, unsigned ms);

// A listener on the loopback; *port is 0 for any, and then that which it got.
int health_lab_listen(uint16_t *port, int backlog);
// Fills the queue of a listener with backlog 0: from then on it drops every SYN.
int health_lab_connect(uint16_t port);
