// SPDX-License-Identifier: Apache-2.0
#include "packet/packet_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static size_t arena_bytes(const struct packet_pool *pool)
{
	return (size_t)pool->n_packets * PACKET_SLOT_BYTES;
}

int packet_pool_init(struct packet_pool *pool, uint32_t n_packets, struct err *err)
{
	*pool = (struct packet_pool){.n_packets = n_packets};
	// Buffers cost memory only as far as frames have filled them.
	void *arena = mmap(NULL, arena_bytes(pool), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		return err_sys(err, -errno, "cannot map %u packet buffers", n_packets);
	pool->arena = arena;
	pool->packets = calloc(n_packets, sizeof(*pool->packets));
	pool->free = calloc(n_packets, sizeof(struct packet *));
	if (!pool->packets || !pool->free) {
		packet_pool_fini(pool);
		return err_set(err, -ENOMEM, "not enough memory for %u packets", n_packets);
	}
	for (uint32_t i = 0; i < n_packets; i++) {
		pool->free[pool->n_free++] = &pool->packets[i];
	}
	return 0;
}

void packet_pool_fini(struct packet_pool *pool)
{
	if (pool->arena)
		munmap(pool->arena, arena_bytes(pool));
	free(pool->packets);
	free(pool->free);
	*pool = (struct packet_pool){0};
}

static uint8_t *slot_of(const struct packet_pool *pool, const struct packet *packet)
{
	return pool->arena + (size_t)(packet - pool->packets) * PACKET_SLOT_BYTES;
}

// The first packet is the one that came back last. A burst seldom fills all that it took, so the
// order decides whether the same few buffers stay in the cache or all of them take turns.
uint32_t packet_pool_take(struct packet_pool *pool, struct packet **packets, uint32_t n)
{
	uint32_t taken = n < pool->n_free ? n : pool->n_free;
	for (uint32_t i = 0; i < taken; i++) {
		packets[i] = pool->free[--pool->n_free];
		packets[i]->frame = slot_of(pool, packets[i]) + PACKET_HEADROOM;
	}
	return taken;
}

void packet_pool_give_back(struct packet_pool *pool, struct packet *const *packets, uint32_t n)
{
	if (pool->release)
		pool->release(pool->io, packets, n);
	for (uint32_t i = n; i > 0; i--) {
		struct packet *packet = packets[i - 1];
		if (packet->train.headers)
			pool->free[pool->n_free++] = packet->train.headers;
		packet->train.headers = NULL;
		pool->free[pool->n_free++] = packet;
	}
}
