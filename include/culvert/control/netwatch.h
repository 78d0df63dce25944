// SPDX-License-Identifier: Apache-2.0
// The kernel's view of the network, dumped at start and watched over rtnetlink: links, addresses,
// neighbours, and for each tracked destination the next hop that the kernel's own route lookup
// gives (so policy rules and metrics hold without a copy of them here).
// Called by: control. Every answer is a copy.
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/net/addr.h"

struct event_base;
struct netwatch;

struct link_info {
	unsigned ifindex;
	char name[IFNAMSIZ];
	struct mac_addr mac;
	uint32_t mtu; // bytes of IP packet
	bool is_up;   // administratively up and with carrier
	bool is_loopback;
	bool is_ethernet; // frames with Ethernet headers
};

struct link_addr {
	struct ip_addr addr;
	// Others will still know it as this host's later on. Of IPv6, not: a temporary address (RFC
	// 8981), one that is not yet known to be this host's alone or known not to be (RFC 4862
	// section 5.4), and one that nothing new should come from (section 5.5.4).
	bool is_lasting;
};

struct next_hop {
	bool has_route;   // false: the other fields mean nothing
	bool is_local;    // the destination is an address of this host
	bool is_resolved; // `mac` may be used now (neighbour reachable, stale, delay, probe or
			  // permanent)
	unsigned ifindex;
	struct ip_addr source;  // the address this host would speak from
	struct ip_addr gateway; // the neighbour to resolve: the gateway, or the destination itself
	struct mac_addr mac;
};

// An answer below is another one now (or may be: after events were lost and everything was dumped
// again). Called from the event loop; bursts of changes are gathered into one call.
typedef void (*netwatch_change_fn)(void *arg);

// Open the sockets, dump, and begin to watch on `base` (borrowed, outlives the watch).
int netwatch_create(struct netwatch **watch, struct event_base *base, netwatch_change_fn on_change,
		    void *arg, struct err *err);
void netwatch_destroy(struct netwatch *watch); // NULL is legal

// Keep the next hop to `dst` known and its neighbour fresh: an unresolved or stale one is provoked
// (NTF_USE) now and again until it answers. Tracking twice is harmless. Synchronous: the route
// is known on return; the neighbour may follow by on_change.
int netwatch_track(struct netwatch *watch, const struct ip_addr *dst, struct err *err);
void netwatch_untrack(struct netwatch *watch, const struct ip_addr *dst); // if it is tracked
// False when `dst` is not tracked.
bool netwatch_next_hop(const struct netwatch *watch, const struct ip_addr *dst,
		       struct next_hop *hop);

// The route to `dst` as it is now, once: nothing is tracked, no neighbour is looked for, and
// is_resolved and mac are not filled in. 0 or -errno; that there is no route is an answer.
int netwatch_look_up(struct netwatch *watch, const struct ip_addr *dst, struct next_hop *hop,
		     struct err *err);

bool netwatch_link(const struct netwatch *watch, unsigned ifindex, struct link_info *link);
bool netwatch_link_by_name(const struct netwatch *watch, const char *name, struct link_info *link);
// The link that holds the local address `addr`.
bool netwatch_addr_link(const struct netwatch *watch, const struct ip_addr *addr,
			unsigned *ifindex);
// The `i`-th (from 0) address of this host on the link, of any family and scope. False: there are
// not as many.
bool netwatch_link_addr(const struct netwatch *watch, unsigned ifindex, size_t i,
			struct link_addr *addr);
