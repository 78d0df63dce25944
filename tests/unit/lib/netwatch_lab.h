// SPDX-License-Identifier: Apache-2.0
// A host that watches its network: it has 10.9.0.1 and fd09::1 on link va, in a network namespace
// of the test's own; its neighbour with 10.9.0.2 and fd09::2 on vb lives in a second one. All
// vanishes with the test's process. What goes wrong fails the test.
#pragma once

#include <event2/event.h>
#include <sys/types.h>

#include "culvert/base/clock.h"
#include "culvert/control/netwatch.h"

#define VB_MAC                   "02:00:00:00:00:02"
#define OTHER_MAC                "02:00:00:00:00:99"

#define NETWATCH_LAB_PATIENCE_NS (15 * NS_PER_SEC)

struct netwatch_lab {
	pid_t peer;
	struct event_base *base;
	struct netwatch *watch;
	unsigned n_changes; // how often the watch has called
};

// With the watch started. Skips the test without root.
void netwatch_lab_enter(struct netwatch_lab *lab);
void netwatch_lab_start(struct netwatch_lab *lab); // a watch that begins now
void netwatch_lab_stop(struct netwatch_lab *lab);

struct ip_addr netwatch_lab_addr(const char *text);
unsigned netwatch_lab_index(const struct netwatch_lab *lab, const char *link);

void netwatch_lab_track(struct netwatch_lab *lab, const char *dst);
struct next_hop netwatch_lab_hop(const struct netwatch_lab *lab, const char *dst);

// Run the event loop until the next hop to `dst` reads "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC,
// "unreachable", "local".
void netwatch_lab_await_hop(struct netwatch_lab *lab, const char *dst, const char *expected);
// Run the event loop until a link that is made now is known and announced, in one call: all that
// happened before is known, too.
void netwatch_lab_settle(struct netwatch_lab *lab);
// Run the event loop for longer than any of the watch's timers, for a wrong call to happen.
void netwatch_lab_let_time_pass(struct netwatch_lab *lab);
