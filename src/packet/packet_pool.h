// SPDX-License-Identifier: Apache-2.0
// All packet buffers there are, and those that are free: a stack, so that the ones just used, still
// in the cache, are used next.
// Called by: capture.
#pragma once

#include "culvert/base/err.h"
#include "culvert/packet/io.h"
#include "packet/packet.h"

struct packet_pool {
	// Takes back what a driver has lent to packets: io.h; NULL: nothing is ever lent.
	void (*release)(struct io *io, struct packet *const *packets, uint32_t n);
	struct io *io;          // borrowed, for that
	struct packet *packets; // owned
	uint8_t *arena;         // owned, mapped
	struct packet **free;   // owned
	uint32_t n_packets;
	uint32_t n_free;
};

int packet_pool_init(struct packet_pool *pool, uint32_t n_packets, struct err *err);
void packet_pool_fini(struct packet_pool *pool);

// Take up to `n` free packets; returns how many.
uint32_t packet_pool_take(struct packet_pool *pool, struct packet **packets, uint32_t n);
// The spares that packets own come back with them.
void packet_pool_give_back(struct packet_pool *pool, struct packet *const *packets, uint32_t n);
