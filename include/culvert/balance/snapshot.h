// SPDX-License-Identifier: Apache-2.0
// Everything the data path decides by, as one immutable object: made by control, published whole,
// freed when no thread can see it any more.
//
// Frontends and backends are named by slots: numbers that stay theirs as long as a flow or session
// refers to them, across every reload of the configuration, and are given to others only then. A
// flow stores them. Pools are numbered by the configuration in force.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/balance/endpoint_map.h"
#include "culvert/balance/maglev.h"
#include "culvert/config/config.h"
#include "culvert/net/addr.h"

struct generation;
struct snapshot_maps;

enum { SNAPSHOT_TENTHS = 10 }; // in which parts of a weight are counted

struct snapshot_link {
	unsigned ifindex;
	struct mac_addr mac;
	uint32_t mtu; // bytes of IP packet
	// Of this host on this link, not virtual; zero: there is none. Where its errors come from.
	struct ip_addr own_v4;
	struct ip_addr own_v6;
};

enum hop_state { HOP_NO_ROUTE, HOP_UNRESOLVED, HOP_READY };

struct snapshot_hop {
	enum hop_state state;
	uint16_t link; // index in snapshot.links
	struct mac_addr mac;
	struct ip_addr source; // the address of ours that the route speaks from
};

enum slot_state {
	SLOT_FREE,
	SLOT_ACTIVE,  // in the configuration
	SLOT_REMOVED, // not any more: nothing new, what there is goes on
	SLOT_OVER,    // its time is over: what there is is ended
};

// What an operator has said at run time.
enum admin_state {
	ADMIN_READY,
	ADMIN_DRAIN, // nothing new, what there is goes on
	ADMIN_MAINT, // as if it were down
};

// Whether new connections come in by a frontend.
enum frontend_gate {
	GATE_OPEN,
	GATE_AWAITED, // not yet: it is being found out whether its backends are ready for it
	GATE_SHUT,    // no: some backend is not
};

struct snapshot_frontend {
	const struct config_frontend *config; // kept alive by `owner`; NULL: the slot is free
	struct config *owner;                 // counted
	enum slot_state state;
	struct endpoint endpoint; // the VIP
	enum frontend_gate gate;
	// In snapshot.pools; removed, and in snapshots with the gate not open: the one without
	// members.
	uint16_t pool;
	enum hash_kind hash;
	enum scheduler_kind scheduler;
};

struct snapshot_pool {
	const struct config_pool *config; // NULL: the one without members
	const uint16_t *members;          // slots, in the order of the configuration
	uint32_t n_members;
	bool is_in_panic;     // too few are up: all are used
	uint32_t n_unknown;   // not checked yet: whether they are up is open
	struct maglev *table; // shared; of the members that are up and have a weight
};

struct snapshot_backend {
	const struct config_backend *config; // kept alive by `owner`; NULL: the slot is free
	const struct config_pool *pool_config;
	struct config *owner; // counted
	enum slot_state state;
	enum admin_state admin;
	struct endpoint endpoint;
	uint32_t endpoint_id; // two pools that list the same endpoint share its NAT ports
	uint16_t pool;        // as of a frontend
	uint16_t weight;      // 0: takes no new flows
	uint8_t held_back;    // tenths of the weight, while it starts slowly
	bool is_up;
	bool is_known;       // false: not checked yet
	bool resets_on_down; // when down: its flows are reset towards their clients
	uint64_t snat_mask;  // source addresses to speak to it from, as bits over snapshot.snats;
			     // in DSR mode bit 0 stands for the client's own
	struct snapshot_hop hop;
};

struct snapshot {
	uint64_t version; // counts from 1
	uint32_t n_links;
	uint32_t n_frontends; // slots that have ever been used: no number is greater
	uint32_t n_backends;
	uint32_t n_pools; // another one follows, which has no members: that of removed frontends
	uint32_t n_over;  // frontends and backends whose flows are to be ended
	uint32_t n_snats;
	uint32_t snats_per_endpoint; // NAT pool number = endpoint_id * this + snat
	uint16_t nat_port_min;       // host byte order, inclusive
	uint16_t nat_port_max;
	struct snapshot_link links[CONFIG_MAX_INTERFACES];
	struct ip_addr snats[CONFIG_MAX_SNAT_ADDRS]; // zeros: none
	struct snapshot_frontend *frontends;         // owned
	struct snapshot_backend *backends;           // owned
	struct snapshot_pool *pools;                 // owned
	const struct config *config;                 // in force; `generation` keeps it alive
	struct generation *generation;               // counted
	struct snapshot_maps *maps;                  // counted; the next three are in it
	const struct endpoint_map *vips;             // number: frontend
	const struct endpoint_map *vip_addrs;        // addresses alone, port and protocol 0
	const struct endpoint_map *backend_ids;      // number: endpoint_id
};

// Called by: control, when no thread can see the snapshot any more. NULL is legal.
void snapshot_destroy(struct snapshot *snapshot);

static inline uint32_t snapshot_nat_pool(const struct snapshot *snapshot, uint32_t endpoint_id,
					 uint32_t snat)
{
	return endpoint_id * snapshot->snats_per_endpoint + snat;
}

// What it counts for among its pool's, in tenths of weights; 0: nothing new goes to it.
static inline uint16_t snapshot_share(const struct snapshot_backend *backend)
{
	return backend->is_up ? (uint16_t)(backend->weight * (SNAPSHOT_TENTHS - backend->held_back))
			      : 0;
}

// May a new flow go to it?
static inline bool snapshot_takes_new(const struct snapshot_backend *backend)
{
	return backend->is_up && backend->weight;
}

// The index of a source address, or -1. There are few, and nearly always one.
static inline int snapshot_find_snat(const struct snapshot *snapshot, const struct ip_addr *addr)
{
	for (uint32_t i = 0; i < snapshot->n_snats; i++) {
		if (ip_addr_equal(&snapshot->snats[i], addr))
			return (int)i;
	}
	return -1;
}
