// SPDX-License-Identifier: Apache-2.0
// The NAT ports of one worker towards one backend endpoint from one source address: which are free,
// which flow owns each of the others, and those flows in the order in which they entered their
// class. A (source address, port, backend) triple has one owner at most, so a reply names its flow.
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

struct nat_pool {
	uint32_t *owner; // borrowed; by port - first_port: index of a flow, 0: free
	// A permutation of the ports, free ones first, each entry stored as its value xor its own
	// position: memory of zeros is the identity, so a pool costs pages only as its ports are
	// used.
	uint16_t *shuffled; // borrowed
	uint32_t n_ports;
	uint32_t n_free;
	uint16_t first_port; // host byte order
	struct flow_list lists[N_FLOW_CLASSES];
};

// `owner` and `shuffled` have n_ports zeros each; they outlive the pool, which needs no undoing.
void nat_pool_init(struct nat_pool *pool, uint16_t first_port, uint32_t n_ports, uint32_t *owner,
		   uint16_t *shuffled);

// Take a free port, uniformly at random (RFC 6056): `random` is 32 bits nobody outside can guess.
// Returns 0 when none is free.
uint16_t nat_pool_take(struct nat_pool *pool, uint32_t flow, uint32_t random);
void nat_pool_give_back(struct nat_pool *pool, uint16_t port);

// The flow that owns `port`, or 0; any port may be asked for.
static inline uint32_t nat_pool_owner(const struct nat_pool *pool, uint16_t port)
{
	uint32_t offset = (uint32_t)port - pool->first_port;
	return offset < pool->n_ports ? pool->owner[offset] : 0;
}

// Append to the list of flow->class, and take off it.
void nat_pool_link(struct nat_pool *pool, struct flow *flows, uint32_t flow);
void nat_pool_unlink(struct nat_pool *pool, struct flow *flows, uint32_t flow);
