// SPDX-License-Identifier: Apache-2.0
// Keeps the kernel from answering packets that culvert forwards itself: an nftables table of the
// netdev family, hooked at ingress of the captured links, owned by this process (flags owner), so
// that the kernel removes it when the process ends in whatever way. Packet sockets see frames
// before that hook.
// Called by: control.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/net/addr.h"

struct firewall;

struct firewall_plan {
	const char *const *links; // names of the captured links
	size_t n_links;
	const struct endpoint *frontends; // client → VIP is dropped
	size_t n_frontends;
	// Replies: from one of `backends` (address, port, protocol) to one of `snat_addrs` with a
	// destination port in the NAT range are dropped; everything else reaches the kernel.
	const struct endpoint *backends;
	size_t n_backends;
	const struct ip_addr *snat_addrs;
	size_t n_snat_addrs;
	uint16_t nat_port_min; // host byte order, inclusive
	uint16_t nat_port_max;
	// 0: the rules are this process's, and go with it. Else they outlive it: they stop working
	// by themselves so many seconds after the last open or update.
	unsigned lapse_s;
};

// Install the rules in one transaction. The table is named "culvert_<pid>", or "culvert_restart" if
// its rules lapse: then it takes the place of one that an earlier process has left. 0 or -errno.
int firewall_open(struct firewall **firewall, const struct firewall_plan *plan, struct err *err);
// Put the rules of another plan in the place of the present ones, in one transaction: no packet
// meets the kernel in between. 0 or -errno; on failure the present rules stay.
int firewall_update(struct firewall *firewall, const struct firewall_plan *plan, struct err *err);
// Of its table, in the family netdev; borrowed.
const char *firewall_name(const struct firewall *firewall);
// Removes the rules, but for those that lapse. NULL is legal.
void firewall_close(struct firewall *firewall);

// Remove lapsing rules that an earlier process has left; harmless when there are none. 0 or -errno.
int firewall_remove_lapsing(struct err *err);

// The NAT range as part of net.ipv4.ip_local_reserved_ports, so that this host's own connections
// (health probes among them) never use a port of it. Open adds what is missing and remembers
// what it added; close takes exactly that away, keeping what others have added meanwhile.
// After a crash the range stays reserved; the next open then finds it there, and leaves it at
// close.
struct reserved_ports;
int reserved_ports_open(struct reserved_ports **ports, uint16_t min, uint16_t max, struct err *err);
void reserved_ports_close(struct reserved_ports *ports); // NULL is legal
