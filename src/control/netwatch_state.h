// SPDX-License-Identifier: Apache-2.0
// What rtnetlink has told: links, local addresses, neighbours. Fed by the dump and then by each
// event in its order. Called by: control.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/control/netwatch.h"

struct nlmsghdr;
struct rtnl;

struct net_link {
	struct link_info info;
	bool has_mac;  // an Ethernet address; else info.mac is zero
	bool is_noarp; // does not resolve neighbours (IFF_NOARP)
};

struct net_addr {
	struct ip_addr addr;
	unsigned ifindex;
	uint8_t prefix_len; // one address can be there with several
	bool is_lasting;    // netwatch.h
};

struct neighbour {
	struct ip_addr addr; // with ifindex: the key
	unsigned ifindex;
	uint16_t state; // NUD_*; 0: nothing known
	bool has_mac;
	struct mac_addr mac;
	uint64_t provoke_at_ns; // for the user of the table: not before
};

// Zero-initialised is empty.
struct net_state {
	struct net_link *links; // owned
	size_t n_links;
	struct net_addr *addrs; // owned
	size_t n_addrs;
	void *neighbours; // owned: a tree of search.h
};

// What a message has changed.
enum {
	NET_LINKS = 1,
	NET_ADDRS = 2,
	NET_NEIGHBOURS = 4,
	NET_ROUTES = 8, // routes, rules or nexthop objects, none of which is kept here
	NET_LOST = 16,  // something could not be noted: only a new dump helps
};

// Replace *state by a dump of the kernel's; on failure it stays as it was. 0 or -errno.
int net_state_load(struct net_state *state, struct rtnl *rtnl);
void net_state_fini(struct net_state *state);

// Note one message. Returns a set of NET_*; 0 when nothing is different from before.
unsigned net_state_apply(struct net_state *state, const struct nlmsghdr *message);

// Borrowed until the next change of the state, or NULL.
const struct net_link *net_state_link(const struct net_state *state, unsigned ifindex);
const struct net_link *net_state_link_by_name(const struct net_state *state, const char *name);
const struct net_addr *net_state_addr(const struct net_state *state, const struct ip_addr *addr);
struct neighbour *net_state_neighbour(const struct net_state *state, unsigned ifindex,
				      const struct ip_addr *addr);

// The entry, made with state 0 when it is not there. NULL: no memory.
struct neighbour *net_state_neighbour_add(struct net_state *state, unsigned ifindex,
					  const struct ip_addr *addr);
