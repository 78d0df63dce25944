// SPDX-License-Identifier: Apache-2.0
// A host behind firewall rules: it is 10.9.0.1 and fd09::1 on link va, in a network namespace of
// the test's own; its neighbour, 10.9.0.2 and fd09::2 on vb, lives in a second one and plays
// clients and backends. All vanishes with the test's process. What goes wrong fails the test.
#pragma once

#include <sys/types.h>

#include "culvert/control/firewall.h"

enum { FIREWALL_LAB_AWAIT_MS = 5000 };

struct firewall_lab {
	struct endpoint frontends[2];
	struct endpoint backends[2];
	struct ip_addr snat_addrs[2];
	struct firewall_plan plan;
};

// Returns the peer. Skips the test without root.
pid_t firewall_lab_enter(void);

// 10.9.0.1:53 and [fd09::1]:53 in front of 10.9.0.2:8080 and [fd09::2]:8080, NAT ports 40000 to
// 40010; all by UDP.
void firewall_lab_plan(struct firewall_lab *lab);
struct firewall *firewall_lab_open(const struct firewall_plan *plan);

// A UDP socket of namespace `peer` (0: this one), bound to "address:port".
int firewall_lab_socket(pid_t peer, const char *text);
void firewall_lab_send(int fd, const char *to, const void *bytes, size_t n);
bool firewall_lab_has_input(int fd, int timeout_ms);

// Does a datagram from the peer's `from` to our `to` reach a socket? Another one is sent behind it
// between ports that no rule names, over the same link: once that is here, so would be the first.
bool firewall_lab_does_reach(pid_t peer, const char *from, const char *to);
