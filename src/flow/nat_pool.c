// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/nat_pool.h"

void nat_pool_init(struct nat_pool *pool, uint16_t first_port, uint32_t n_ports, uint32_t *owner,
		   uint16_t *shuffled)
{
	*pool = (struct nat_pool){
		.owner = owner,
		.shuffled = shuffled,
		.n_ports = n_ports,
		.n_free = n_ports,
		.first_port = first_port,
	};
}

static uint16_t offset_at(const struct nat_pool *pool, uint32_t position)
{
	return (uint16_t)(pool->shuffled[position] ^ position);
}

static void set_offset_at(struct nat_pool *pool, uint32_t position, uint16_t offset)
{
	pool->shuffled[position] = (uint16_t)(offset ^ position);
}

uint16_t nat_pool_take(struct nat_pool *pool, uint32_t flow, uint32_t random)
{
	if (pool->n_free == 0)
		return 0;
	// One step of a Fisher-Yates shuffle: the last free entry fills the gap.
	uint32_t position = (uint32_t)((uint64_t)random * pool->n_free >> 32);
	uint16_t offset = offset_at(pool, position);
	pool->n_free--;
	set_offset_at(pool, position, offset_at(pool, pool->n_free));
	pool->owner[offset] = flow;
	return (uint16_t)(pool->first_port + offset);
}

void nat_pool_give_back(struct nat_pool *pool, uint16_t port)
{
	uint16_t offset = (uint16_t)(port - pool->first_port);
	pool->owner[offset] = 0;
	set_offset_at(pool, pool->n_free, offset);
	pool->n_free++;
}

void nat_pool_link(struct nat_pool *pool, struct flow *flows, uint32_t flow)
{
	struct flow_list *list = &pool->lists[flows[flow].class];
	flows[flow].list_next = 0;
	flows[flow].list_prev = list->tail;
	if (list->tail)
		flows[list->tail].list_next = flow;
	else
		list->head = flow;
	list->tail = flow;
	list->count++;
}

void nat_pool_unlink(struct nat_pool *pool, struct flow *flows, uint32_t flow)
{
	struct flow_list *list = &pool->lists[flows[flow].class];
	uint32_t next = flows[flow].list_next;
	uint32_t prev = flows[flow].list_prev;
	if (next)
		flows[next].list_prev = prev;
	else
		list->tail = prev;
	if (prev)
		flows[prev].list_next = next;
	else
		list->head = next;
	list->count--;
}
