// SPDX-License-Identifier: Apache-2.0
// The flows of one worker: found by the client's half or by NAT port, timed out by a wheel,
// counted, and bounded. Nothing here allocates after creation.
//
// Where backends answer past the balancer, flows are one-sided: no NAT ports, pools that only keep
// the flows of a backend together, and states told from the client's packets alone.
//
// Room is made in this order, and never from a live flow: a finished flow towards the same
// backend, then the half-open one that has waited longest. A new connection gets a NAT port that
// has rested (nat_pool.h); when there is none, that of a finished one whose sequence numbers it
// goes beyond. Half-open flows have a budget (a
// quarter of the table, and half of a NAT pool's ports); beyond it they only displace each other.
//
// Called by: the owning worker, but for create and destroy (control) and the counters (any thread).
#pragma once

#include "culvert/base/counter.h"
#include "culvert/base/err.h"
#include "culvert/ds/index_map.h"
#include "culvert/flow/flow.h"
#include "culvert/flow/flow_end.h"
#include "culvert/flow/nat_pool.h"
#include "culvert/flow/opens.h"
#include "culvert/flow/traffic.h"
#include "culvert/net/parse.h"

struct flow_table_params {
	uint32_t capacity; // flows, at least 1
	uint32_t n_frontends;
	uint32_t n_backends;
	uint32_t n_pools; // NAT pools that may ever be opened
	bool is_one_sided;
	uint16_t first_port;              // this worker's slice of the NAT range, host byte order
	uint32_t n_ports;                 // one-sided: 0
	uint64_t secret;                  // random per start
	uint32_t timeouts[N_FLOW_STATES]; // seconds
};

// Whoever passes packets of flows on without the table, and marks them by flow.is_aside.
struct flow_aside {
	// Calls flow_table_catch_up() if there is something to tell.
	void (*catch_up)(void *arg, uint32_t index);
	// The flow comes back, caught up with: `is_aside` is false.
	void (*leave)(void *arg, uint32_t index);
	void *arg;
};

enum { FLOW_FREE_LISTS = 8 }; // a power of two

struct flow_table {
	struct flow *flows; // owned; flows[0] is none
	// Entries given back, in lists that take turns (list_next): the last one is the head of
	// list free_turn, the last but one that of the list before.
	uint32_t free_heads[FLOW_FREE_LISTS];
	uint32_t free_turn;
	uint32_t n_fresh; // entries 1 to here have been used
	uint32_t n_flows;
	uint32_t n_half_open;
	uint32_t now;            // seconds; moved by flow_table_expire()
	uint32_t reclaim_cursor; // the pool to search next when the table is full
	struct index_map index;
	struct wheel timers;
	struct nat_pool *pools;             // owned
	void *ports;                        // owned; the pools' memory, one mapping for all
	struct traffic_counters *frontends; // owned
	struct traffic_counters *backends;  // owned
	struct open_counters *opens;        // owned; by backend
	counter_t flows_current;            // w: worker, r: any; entries, finished ones included
	counter_t reclaimed;                // w: worker, r: any
	struct flow_table_params params;
	// Told what happens to flows: before one is forgotten, after it was made. NULL: nobody.
	void (*on_event)(void *arg, uint32_t index, enum flow_event event);
	void *on_event_arg;
	struct flow_aside aside; // asked about those that are before one is found to be over
};

// What has been passed on, one way.
struct flow_traffic {
	uint64_t packets;
	uint64_t bytes; // of IP packets
	bool is_known;  // some could be the sender's own: they say that the flow is alive
};

// What has become of a flow aside.
struct flow_progress {
	struct flow_traffic traffic[N_FLOW_DIRS]; // since it was told last
	uint32_t client_next;                     // TCP: as in struct flow
	uint32_t backend_next;
};

// What a new flow is made from.
struct flow_request {
	struct ip_addr client;
	uint16_t client_port_be;
	uint16_t frontend;
	uint16_t backend;
	uint8_t proto;
	uint32_t hash;       // flow_table_hash() of the client's half
	uint32_t seq;        // TCP: of the SYN; picked up: the one after the segment
	uint32_t ack;        // picked up: of the segment
	bool is_picked_up;   // TCP, one-sided: a segment in mid-connection makes the flow
	uint32_t first_pool; // the backend's NAT pool for source address 0; the others follow
	uint64_t snat_mask;  // source addresses that may be used: bit i is pool first_pool + i
};

enum flow_refusal { FLOW_MADE, FLOW_NO_NAT_PORT, FLOW_TABLE_FULL };

int flow_table_create(struct flow_table **table, const struct flow_table_params *params,
		      struct err *err);
void flow_table_destroy(struct flow_table *table); // NULL is legal

// Bounded, fixed-cost lookups: 0 is none.
static inline uint32_t flow_table_find(const struct flow_table *table,
				       const struct endpoint *client, uint16_t frontend,
				       uint32_t hash)
{
	struct index_map_cursor cursor;
	for (uint32_t i = index_map_first(&table->index, hash, &cursor); i;
	     i = index_map_next(&table->index, &cursor)) {
		const struct flow *flow = &table->flows[i];
		if (flow->client_port_be == client->port_be && flow->frontend == frontend &&
		    ip_addr_equal(&flow->client, &client->addr))
			return i;
	}
	return 0;
}
static inline uint32_t flow_table_find_reply(const struct flow_table *table, uint32_t pool,
					     uint16_t nat_port)
{
	return nat_pool_owner(&table->pools[pool], nat_port);
}

// Start to fetch a flow that a packet will be looked up and tracked in, or 0.
static inline void flow_table_prefetch(const struct flow_table *table, uint32_t index)
{
	const unsigned char *flow = (const unsigned char *)&table->flows[index];
	__builtin_prefetch(flow, 1);
	__builtin_prefetch(flow + sizeof(struct flow) - 1, 1);
}

// Make a flow: TCP in SYN_SENT or PICKED_UP, UDP unreplied. Its client_link, client_mac and deltas
// are the caller's to fill in. *index is set only with FLOW_MADE.
enum flow_refusal flow_table_open(struct flow_table *table, const struct flow_request *request,
				  uint32_t *index);
// A new SYN on a flow whose connection is over. Would the backend, if it remembers that one, accept
// the SYN from the same port, or is there no better one? Not so: end the flow and open another.
bool flow_table_can_reopen(const struct flow_table *table, uint32_t index, uint32_t seq);
// The same backend and port serve the new connection, which has carried nothing yet.
void flow_table_reopen(struct flow_table *table, uint32_t index, uint32_t seq);
// `why`: FLOW_RENEWED when its client gets another one, or FLOW_REMOVED.
void flow_table_end(struct flow_table *table, uint32_t index, enum flow_event why);

// A packet of the flow is passed on: state, sequence numbers, timer, bytes and packets follow.
// Returns false when its numbers cannot be the sender's own: then it is only counted.
bool flow_table_track(struct flow_table *table, uint32_t index, enum flow_dir dir,
		      const struct frame_view *view);
// An ICMP message says that what `view`, the quoted packet, was sent to cannot be reached. Counts
// as a refusal when that opened the flow and nothing has answered since.
void flow_table_unreachable(struct flow_table *table, uint32_t index,
			    const struct frame_view *view);
// A packet is passed on without a flow, or as a later part of one that was tracked: only counted.
void flow_table_count(struct flow_table *table, enum flow_dir dir, uint16_t frontend,
		      uint16_t backend, const struct frame_view *view);
// Likewise for packets that have passed the table by.
void flow_table_count_traffic(struct flow_table *table, enum flow_dir dir, uint16_t frontend,
			      uint16_t backend, const struct flow_traffic *traffic);
// They were of this flow, which is as if it had been tracked.
void flow_table_catch_up(struct flow_table *table, uint32_t index,
			 const struct flow_progress *progress);
// The flow has carried what is counted so.
void flow_count_bytes(struct flow *flow, enum flow_dir dir, const struct frame_view *view);
// The flow's backend went down and its client is reset: it lingers as long as after a RST.
void flow_table_orphan(struct flow_table *table, uint32_t index);

// Move the clock to `now` seconds and end what has expired, at most `budget` looks. True when
// something may be left over for the next call.
bool flow_table_expire(struct flow_table *table, uint32_t now, uint32_t budget);
