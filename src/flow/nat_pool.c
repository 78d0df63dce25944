// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/nat_pool.h"

void nat_pool_init(struct nat_pool *pool, uint16_t first_port, uint32_t n_ports, uint32_t *owner,
		   uint16_t *ring)
{
	*pool = (struct nat_pool){
		.owner = owner,
		.ring = ring,
		.n_ports = n_ports,
		.n_free = n_ports,
		.first_port = first_port,
	};
}

// The place in the ring that is `position` behind the first free one.
static uint32_t place_of(const struct nat_pool *pool, uint32_t position)
{
	uint32_t place = pool->head + position;
	return place < pool->n_ports ? place : place - pool->n_ports;
}

static uint16_t offset_at(const struct nat_pool *pool, uint32_t place)
{
	return (uint16_t)(pool->ring[place] ^ place);
}

static void set_offset_at(struct nat_pool *pool, uint32_t place, uint16_t offset)
{
	pool->ring[place] = (uint16_t)(offset ^ place);
}

// ---- rest ---------------------------------------------------------------------------------------

// Ports are not timed one by one: those given back in one round have rested when the next is over.
static void turn_rounds(struct nat_pool *pool, uint32_t now)
{
	uint32_t passed = now - pool->round;
	if (passed < NAT_PORT_REST)
		return;
	bool is_next = passed < 2 * NAT_PORT_REST;
	pool->n_resting = is_next ? pool->n_tired : 0;
	pool->n_tired = 0;
	pool->round = is_next ? pool->round + NAT_PORT_REST : now;
}

uint32_t nat_pool_n_rested(const struct nat_pool *pool, uint32_t now)
{
	struct nat_pool later = *pool;
	turn_rounds(&later, now);
	return later.n_free - later.n_resting;
}

// The one that has rested longest is woken before its time.
static void wake_first(struct nat_pool *pool)
{
	pool->n_resting--;
	if (pool->n_tired > pool->n_resting)
		pool->n_tired = pool->n_resting;
}

// ---- ports --------------------------------------------------------------------------------------

// Where one of `n_rested` ports, at random, is behind the first `n_passed` free ones.
static uint32_t pick_place(const struct nat_pool *pool, uint32_t random, uint32_t n_passed,
			   uint32_t n_rested)
{
	return place_of(pool, n_passed + (uint32_t)((uint64_t)random * n_rested >> 32));
}

void nat_pool_prefetch(const struct nat_pool *pool, uint32_t next, uint32_t next_but_one)
{
	uint32_t n_rested = pool->n_free - pool->n_resting;
	if (n_rested < 2)
		return;
	uint32_t near = pick_place(pool, next, 0, n_rested);
	uint32_t far = pick_place(pool, next_but_one, 1, n_rested - 1);
	__builtin_prefetch(&pool->owner[offset_at(pool, near)], 1);
	__builtin_prefetch(&pool->ring[far], 1);
}

uint16_t nat_pool_take(struct nat_pool *pool, uint32_t flow, uint32_t random, uint32_t now)
{
	if (pool->n_free == 0)
		return 0;
	turn_rounds(pool, now);
	uint32_t n_rested = pool->n_free - pool->n_resting;
	// One step of a Fisher-Yates shuffle: the first free entry fills the gap.
	uint32_t place = pick_place(pool, random, 0, n_rested);
	uint16_t offset = offset_at(pool, place);
	if (n_rested == 0)
		wake_first(pool);
	set_offset_at(pool, place, offset_at(pool, pool->head));
	pool->head = place_of(pool, 1);
	pool->n_free--;
	pool->n_taken++;
	pool->owner[offset] = flow;
	return (uint16_t)(pool->first_port + offset);
}

void nat_pool_give_back(struct nat_pool *pool, uint16_t port, bool has_rested, uint32_t now)
{
	uint16_t offset = (uint16_t)(port - pool->first_port);
	turn_rounds(pool, now);
	pool->owner[offset] = 0;
	if (has_rested) {
		pool->head = place_of(pool, pool->n_ports - 1);
		set_offset_at(pool, pool->head, offset);
	} else {
		set_offset_at(pool, place_of(pool, pool->n_free), offset);
		pool->n_resting++;
		pool->n_tired++;
	}
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
