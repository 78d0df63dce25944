// SPDX-License-Identifier: Apache-2.0
// The NAT ports of one worker towards one backend endpoint from one source address: which are free,
// which flow owns each of the others, and those flows in the order in which they entered their
// class. A (source address, port, backend) triple has one owner at most, so a reply names its flow.
//
// A port that was used a moment ago rests while there are others: the backend may still be in
// TIME_WAIT, and take a new connection for a piece of the old one (RFC 9293 section 3.6.1, RFC 7323
// section 5.8); what it still sends would reach the wrong client.
// Called by: the worker that owns the pool.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/flow/flow.h"

struct flow_list {
	uint32_t head; // flow that has been here longest
	uint32_t tail;
	uint32_t count;
};

enum { NAT_PORT_REST = 60 }; // seconds, of which a port rests one to two times as many

struct nat_pool {
	uint32_t *owner; // borrowed; by port - first_port: index of a flow, 0: free
	// The free ports in a ring, from `head` on: first those that have rested, in any order,
	// then those that rest, the first given back in front. Each entry is stored as its value
	// xor its own place: memory of zeros is the identity, so a pool costs pages only as its
	// ports are used.
	uint16_t *ring; // borrowed
	uint32_t head;
	uint32_t n_resting;
	uint32_t n_tired; // of these, the last ones: given back in the present round
	uint32_t round;   // second in which it began
	uint32_t n_ports;
	uint32_t n_free;
	uint32_t n_taken; // ever
	// The caller's to keep: by which the next port and that after are taken.
	uint32_t randoms[2];
	uint16_t first_port; // host byte order
	struct flow_list lists[N_FLOW_CLASSES];
};

// `owner` and `ring` have n_ports zeros each; they outlive the pool, which needs no undoing.
void nat_pool_init(struct nat_pool *pool, uint16_t first_port, uint32_t n_ports, uint32_t *owner,
		   uint16_t *ring);

// Free ports that nobody has used for NAT_PORT_REST seconds. `now` is in seconds and never goes
// back, here and below.
uint32_t nat_pool_n_rested(const struct nat_pool *pool, uint32_t now);

// Take a port that has rested, uniformly at random (RFC 6056): `random` is 32 bits nobody outside
// can guess. When none has, the one given back longest ago. Returns 0 when none is free.
uint16_t nat_pool_take(struct nat_pool *pool, uint32_t flow, uint32_t random, uint32_t now);
// Start to fetch what the next take will touch, and the first half of what the one after it will:
// a port is found by two looks at random places, one after the other. Given are the numbers by
// which these will be taken; with others, or after any other change, they take no harm.
void nat_pool_prefetch(const struct nat_pool *pool, uint32_t next, uint32_t next_but_one);
// `has_rested`: its last packet was NAT_PORT_REST seconds ago.
void nat_pool_give_back(struct nat_pool *pool, uint16_t port, bool has_rested, uint32_t now);
// A port goes from one flow to another, and is never free in between.
static inline void nat_pool_hand_over(struct nat_pool *pool, uint16_t port, uint32_t flow)
{
	pool->owner[port - pool->first_port] = flow;
}

// The flow that owns `port`, or 0; any port may be asked for.
static inline uint32_t nat_pool_owner(const struct nat_pool *pool, uint16_t port)
{
	uint32_t offset = (uint32_t)port - pool->first_port;
	return offset < pool->n_ports ? pool->owner[offset] : 0;
}

// Append to the list of flow->class, and take off it.
void nat_pool_link(struct nat_pool *pool, struct flow *flows, uint32_t flow);
void nat_pool_unlink(struct nat_pool *pool, struct flow *flows, uint32_t flow);
