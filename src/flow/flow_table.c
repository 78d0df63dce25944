// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/flow_table.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "culvert/ds/hash.h"
#include "flow/flow_table_private.h"

enum {
	WHEEL_SLOTS = 8192,           // seconds; the longest default timeout fits one round
	POOLS_LOOKED_AT = 64,         // when the whole table is searched for an entry
	RECLAIM_CANDIDATES = 32,      // finished flows looked at for one whose port can be had
	HALF_OPEN_SHARE_OF_TABLE = 4, // a quarter
	HALF_OPEN_SHARE_OF_PORTS = 2, // a half
	HUGE_PAGES_FROM = 16 << 20,   // bytes of flows
};

// The number by which a pool's port is taken that is the `ahead`th from now.
static uint32_t random_for(const struct flow_table *table, uint32_t pool, uint32_t ahead)
{
	uint64_t key = (uint64_t)pool << 32 | (uint32_t)(table->pools[pool].n_taken + ahead);
	return (uint32_t)XXH3_64bits_withSeed(&key, sizeof(key), table->params.secret);
}

// Without address translation there is one pool per backend endpoint, and only its lists matter.
static bool has_ports(const struct flow_table *table)
{
	return !table->params.is_one_sided;
}

static bool has_entry(const struct flow_table *table)
{
	return table->free_heads[table->free_turn] || table->n_fresh < table->params.capacity;
}

// Entries that were used before come first, and of these the last that was given back; memory is
// touched only as more are needed at once. Where the next one lies is read in the one before: by
// lists that take turns, each is on its way long before it is needed.
static uint32_t take_entry(struct flow_table *table)
{
	uint32_t *head = &table->free_heads[table->free_turn];
	uint32_t index = *head;
	if (!index)
		return ++table->n_fresh;
	*head = table->flows[index].list_next;
	flow_table_prefetch(table, *head);
	table->free_turn = (table->free_turn - 1) % FLOW_FREE_LISTS;
	return index;
}

static void give_entry_back(struct flow_table *table, uint32_t index)
{
	table->free_turn = (table->free_turn + 1) % FLOW_FREE_LISTS;
	uint32_t *head = &table->free_heads[table->free_turn];
	table->flows[index].list_next = *head;
	*head = index;
}

static uint32_t half_open_max(const struct flow_table *table)
{
	uint32_t share = table->params.capacity / HALF_OPEN_SHARE_OF_TABLE;
	return share ? share : 1;
}

static void count_current(struct flow_table *table, const struct flow *flow, uint64_t change)
{
	counter_add(&table->frontends[flow->frontend].flows_current, change);
	counter_add(&table->backends[flow->backend].flows_current, change);
}

static void count_opened(struct flow_table *table, const struct flow *flow)
{
	counter_add(&table->frontends[flow->frontend].flows_opened, 1);
	counter_add(&table->backends[flow->backend].flows_opened, 1);
}

// Control gives a slot back when nothing is held for it.
static void count_held(struct flow_table *table, const struct flow *flow, uint64_t change)
{
	counter_add(&table->frontends[flow->frontend].flows_held, change);
	counter_add(&table->backends[flow->backend].flows_held, change);
}

// Put the flow on the list of `class`; its place in the sums follows.
static void enter_class(struct flow_table *table, uint32_t index, enum flow_class class)
{
	struct flow *flow = &table->flows[index];
	flow->class = (uint8_t) class;
	nat_pool_link(&table->pools[flow->nat_pool], table->flows, index);
	table->n_half_open += class == CLASS_HALF_OPEN;
	if (class != CLASS_FINISHED)
		count_current(table, flow, 1);
}

static void leave_class(struct flow_table *table, uint32_t index)
{
	struct flow *flow = &table->flows[index];
	nat_pool_unlink(&table->pools[flow->nat_pool], table->flows, index);
	table->n_half_open -= flow->class == CLASS_HALF_OPEN;
	if (flow->class != CLASS_FINISHED)
		count_current(table, flow, (uint64_t)-1);
}

static void tell(const struct flow_table *table, uint32_t index, enum flow_event event)
{
	if (table->flows[index].is_aside && event != FLOW_LIVE)
		table->aside.leave(table->aside.arg, index);
	if (table->on_event)
		table->on_event(table->on_event_arg, index, event);
}

void flow_table_set_class(struct flow_table *table, uint32_t index, enum flow_class class)
{
	const struct flow *flow = &table->flows[index];
	bool begins = flow->class == CLASS_HALF_OPEN && class == CLASS_LIVE;
	leave_class(table, index);
	enter_class(table, index, class);
	if (begins)
		tell(table, index, FLOW_LIVE);
}

static uint32_t seconds_idle(const struct flow_table *table, const struct flow *flow)
{
	return table->now - (flow->expires - table->params.timeouts[flow->state]);
}

static void give_port_back(struct flow_table *table, const struct flow *flow)
{
	bool has_rested = seconds_idle(table, flow) >= NAT_PORT_REST;
	nat_pool_give_back(&table->pools[flow->nat_pool], flow->nat_port, has_rested, table->now);
}

// Everything but the port, and the timer.
static void forget(struct flow_table *table, uint32_t index)
{
	struct flow *flow = &table->flows[index];
	leave_class(table, index);
	count_held(table, flow, (uint64_t)-1);
	index_map_remove(&table->index, flow->hash, index);
	flow->state = FLOW_FREE;
	give_entry_back(table, index);
	table->n_flows--;
	counter_add(&table->flows_current, (uint64_t)-1);
}

// Everything but the timer, which is out of the wheel when it has fired.
static void release(struct flow_table *table, uint32_t index)
{
	if (has_ports(table))
		give_port_back(table, &table->flows[index]);
	forget(table, index);
}

void flow_table_end(struct flow_table *table, uint32_t index, enum flow_event why)
{
	tell(table, index, why);
	wheel_remove(&table->timers, index);
	release(table, index);
}

static void on_timer(void *arg, uint32_t index)
{
	struct flow_table *table = arg;
	const struct flow *flow = &table->flows[index];
	if (flow->is_aside)
		table->aside.catch_up(table->aside.arg, index);
	if (flow_is_after(flow->expires, table->now)) {
		wheel_add(&table->timers, index, flow->expires);
		return;
	}
	tell(table, index, FLOW_EXPIRED);
	release(table, index);
}

bool flow_table_expire(struct flow_table *table, uint32_t now, uint32_t budget)
{
	table->now = now;
	return wheel_advance(&table->timers, now, on_timer, table, budget) == budget;
}

// ---- room ---------------------------------------------------------------------------------------

// What a new flow gets that has to take the port of another.
struct grant {
	uint16_t port; // 0: a free one will do
	bool is_hasty; // it has not rested
};

static bool reclaim(struct flow_table *table, uint32_t index)
{
	if (!index)
		return false;
	flow_table_end(table, index, FLOW_RECLAIMED);
	counter_add(&table->reclaimed, 1);
	return true;
}

static bool reclaim_from(struct flow_table *table, const struct nat_pool *pool)
{
	return reclaim(table, pool->lists[CLASS_FINISHED].head) ||
	       reclaim(table, pool->lists[CLASS_HALF_OPEN].head);
}

// The table is full and the pool at hand has nothing to give: look at some others, other ones each
// time, so that the search costs the same for any number of pools.
static bool reclaim_anywhere(struct flow_table *table)
{
	for (uint32_t i = 0; i < POOLS_LOOKED_AT && i < table->params.n_pools; i++) {
		uint32_t pool = table->reclaim_cursor++ % table->params.n_pools;
		if (reclaim_from(table, &table->pools[pool]))
			return true;
	}
	return false;
}

// Of the finished flows that have waited longest, the first that `seq` goes beyond, or 0.
static uint32_t find_outgrown(const struct flow_table *table, const struct nat_pool *pool,
			      uint32_t seq)
{
	uint32_t index = pool->lists[CLASS_FINISHED].head;
	for (int i = 0; index && i < RECLAIM_CANDIDATES; i++) {
		if (flow_is_after(seq, table->flows[index].client_next))
			return index;
		index = table->flows[index].list_next;
	}
	return 0;
}

// The port of a connection that is over, and whose backend accepts the new one from its TIME_WAIT
// (RFC 9293 section 3.6.1).
static bool take_over(struct flow_table *table, const struct nat_pool *pool, uint32_t seq,
		      struct grant *grant)
{
	uint32_t index = find_outgrown(table, pool, seq);
	if (!index)
		return false;
	const struct flow *flow = &table->flows[index];
	*grant = (struct grant){flow->nat_port, seconds_idle(table, flow) < NAT_PORT_REST};
	tell(table, index, FLOW_RECLAIMED);
	wheel_remove(&table->timers, index);
	forget(table, index);
	counter_add(&table->reclaimed, 1);
	return true;
}

// How easily the pool has a port: 0 is not at all.
static int ease_of(const struct flow_table *table, const struct nat_pool *pool)
{
	if (nat_pool_n_rested(pool, table->now))
		return 3;
	if (pool->n_free)
		return 2;
	return pool->lists[CLASS_FINISHED].count || pool->lists[CLASS_HALF_OPEN].count;
}

static uint64_t rotate_right(uint64_t bits, unsigned n)
{
	return bits >> n | bits << (-n & 63);
}

// A source address that has a port for the flow. The client's hash decides where the search
// begins, so one client keeps its address while it can (RFC 4787 REQ-2). Returns -1 for none.
static int choose_snat(struct flow_table *table, const struct flow_request *request)
{
	const struct nat_pool *pools = table->pools + request->first_pool;
	if (!has_ports(table))
		return 0;
	bool is_choice = request->snat_mask & (request->snat_mask - 1);
	unsigned first =
		is_choice ? XXH3_64bits(&request->client, sizeof(request->client)) & 63 : 0;
	int best = -1;
	int best_ease = 0;
	for (uint64_t left = rotate_right(request->snat_mask, first); left && best_ease < 3;
	     left &= left - 1) {
		unsigned snat = (first + (unsigned)__builtin_ctzll(left)) & 63;
		int ease = ease_of(table, &pools[snat]);
		if (ease > best_ease) {
			best = (int)snat;
			best_ease = ease;
		}
	}
	return best;
}

static bool has_port(struct flow_table *table, const struct nat_pool *pool, uint32_t seq,
		     struct grant *grant)
{
	return nat_pool_n_rested(pool, table->now) || take_over(table, pool, seq, grant) ||
	       pool->n_free || reclaim_from(table, pool);
}

// See that the pool has a port, the table an entry, and the half-open budget room for one more.
static enum flow_refusal make_room(struct flow_table *table, const struct nat_pool *pool,
				   uint32_t seq, struct grant *grant)
{
	uint32_t half_open = pool->lists[CLASS_HALF_OPEN].count;
	bool is_over_budget =
		table->n_half_open >= half_open_max(table) ||
		(has_ports(table) && half_open > pool->n_ports / HALF_OPEN_SHARE_OF_PORTS);
	// A pool without half-open flows may exceed the table's budget by its first one.
	if (is_over_budget)
		reclaim(table, pool->lists[CLASS_HALF_OPEN].head);
	if (has_ports(table) && !has_port(table, pool, seq, grant))
		return FLOW_NO_NAT_PORT;
	if (!has_entry(table) && !reclaim_from(table, pool) && !reclaim_anywhere(table))
		return FLOW_TABLE_FULL;
	return FLOW_MADE;
}

// ---- opening ------------------------------------------------------------------------------------

static void assign_port(struct flow_table *table, uint32_t index, const struct grant *grant)
{
	struct flow *flow = &table->flows[index];
	struct nat_pool *pool = &table->pools[flow->nat_pool];
	if (!grant->port) {
		flow->nat_port = nat_pool_take(pool, index, pool->randoms[0], table->now);
		pool->randoms[0] = pool->randoms[1];
		pool->randoms[1] = random_for(table, flow->nat_pool, 1);
		nat_pool_prefetch(pool, pool->randoms[0], pool->randoms[1]);
		return;
	}
	flow->nat_port = grant->port;
	nat_pool_hand_over(pool, grant->port, index);
	if (grant->is_hasty)
		flow->marks |= FLOW_HIDES_TIMESTAMPS;
}

static enum flow_state first_state(const struct flow_request *request)
{
	if (request->proto != IPPROTO_TCP)
		return FLOW_UDP_UNREPLIED;
	return request->is_picked_up ? FLOW_PICKED_UP : FLOW_SYN_SENT;
}

static void fill(struct flow *flow, const struct flow_request *request, uint32_t snat)
{
	*flow = (struct flow){
		.client = request->client,
		.client_port_be = request->client_port_be,
		.frontend = request->frontend,
		.backend = request->backend,
		.proto = request->proto,
		.snat = (uint8_t)snat,
		.hash = request->hash,
		.nat_pool = request->first_pool + snat,
		.state = (uint8_t)first_state(request),
		.client_next = request->is_picked_up ? request->seq : request->seq + 1,
		.backend_next = request->is_picked_up ? request->ack : 0,
	};
}

enum flow_refusal flow_table_open(struct flow_table *table, const struct flow_request *request,
				  uint32_t *index)
{
	int snat = choose_snat(table, request);
	if (snat < 0)
		return FLOW_NO_NAT_PORT;
	const struct nat_pool *pool = &table->pools[request->first_pool + (uint32_t)snat];
	struct grant grant = {0};
	enum flow_refusal refusal = make_room(table, pool, request->seq, &grant);
	if (refusal != FLOW_MADE)
		return refusal;
	uint32_t taken = take_entry(table);
	index_map_insert(&table->index, request->hash, taken);

	struct flow *flow = &table->flows[taken];
	fill(flow, request, (uint32_t)snat);
	if (has_ports(table))
		assign_port(table, taken, &grant);
	flow->expires = table->now + table->params.timeouts[flow->state];
	wheel_add(&table->timers, taken, flow->expires);
	enter_class(table, taken, CLASS_HALF_OPEN);
	count_held(table, flow, 1);
	count_opened(table, flow);
	table->n_flows++;
	counter_add(&table->flows_current, 1);
	tell(table, taken, FLOW_OPENED);
	*index = taken;
	return FLOW_MADE;
}

bool flow_table_can_reopen(const struct flow_table *table, uint32_t index, uint32_t seq)
{
	const struct flow *flow = &table->flows[index];
	bool is_in_the_way =
		flow->state == FLOW_LAST_ACK ||
		(flow->state == FLOW_TIME_WAIT && !flow_is_after(seq, flow->client_next));
	return !has_ports(table) || !is_in_the_way ||
	       nat_pool_n_rested(&table->pools[flow->nat_pool], table->now) == 0;
}

void flow_table_reopen(struct flow_table *table, uint32_t index, uint32_t seq)
{
	struct flow *flow = &table->flows[index];
	tell(table, index, FLOW_RENEWED);
	flow->bytes_tx = 0;
	if (table->params.is_one_sided) {
		flow_begin_again(flow, seq + 1);
	} else {
		flow->bytes_rx = 0;
		flow->marks = 0;
		flow->client_next = seq + 1;
		flow->backend_next = 0;
	}
	flow_table_set_state(table, index, FLOW_SYN_SENT);
	flow_table_refresh(table, index);
	count_opened(table, flow);
	tell(table, index, FLOW_OPENED);
}

static size_t flows_bytes(const struct flow_table *table)
{
	return ((size_t)table->params.capacity + 1) * sizeof(struct flow);
}

// Per port an owner and a place in the ring.
static size_t ports_bytes(const struct flow_table *table)
{
	size_t n = (size_t)table->params.n_pools * table->params.n_ports;
	return n * (sizeof(uint32_t) + sizeof(uint16_t)) + 1;
}

// Zeros that cost memory only once they are touched. NULL when there is no room.
static void *map_zeros(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

static void init_pools(struct flow_table *table)
{
	const struct flow_table_params *params = &table->params;
	size_t n = (size_t)params->n_pools * params->n_ports;
	uint32_t *owners = table->ports;
	uint16_t *rings = (uint16_t *)(owners + n);
	for (uint32_t i = 0; i < params->n_pools; i++) {
		struct nat_pool *pool = &table->pools[i];
		nat_pool_init(pool, params->first_port, params->n_ports,
			      owners + (size_t)i * params->n_ports,
			      rings + (size_t)i * params->n_ports);
		pool->randoms[0] = random_for(table, i, 0);
		pool->randoms[1] = random_for(table, i, 1);
	}
}

void flow_table_destroy(struct flow_table *table)
{
	if (!table)
		return;
	if (table->ports)
		munmap(table->ports, ports_bytes(table));
	free(table->pools);
	free(table->frontends);
	free(table->opens);
	free(table->backends);
	wheel_fini(&table->timers);
	index_map_fini(&table->index);
	if (table->flows)
		munmap(table->flows, flows_bytes(table));
	free(table);
}

// Entries are used from the front on, so no more than one huge page is touched before its time. A
// small table would notice that one. The ports of a pool are used at random, and stay without.
static void *map_flows(const struct flow_table *table)
{
	void *at = map_zeros(flows_bytes(table));
	if (at && flows_bytes(table) >= HUGE_PAGES_FROM)
		(void)madvise(at, flows_bytes(table), MADV_HUGEPAGE); // not every kernel has them
	return at;
}

static int allocate(struct flow_table *table, struct err *err)
{
	const struct flow_table_params *params = &table->params;
	table->flows = map_flows(table);
	table->ports = map_zeros(ports_bytes(table));
	table->pools = calloc(params->n_pools + 1, sizeof(*table->pools));
	table->frontends = calloc(params->n_frontends + 1, sizeof(*table->frontends));
	table->backends = calloc(params->n_backends + 1, sizeof(*table->backends));
	table->opens = calloc(params->n_backends + 1, sizeof(*table->opens));
	if (!table->flows || !table->ports || !table->pools || !table->frontends ||
	    !table->backends || !table->opens)
		return err_set(err, -ENOMEM, "not enough memory for %u flows", params->capacity);
	init_pools(table);
	if (wheel_init(&table->timers, WHEEL_SLOTS, &table->flows->timer, sizeof(struct flow), 0))
		return err_set(err, -ENOMEM, "not enough memory for the flow timers");
	return index_map_init(&table->index, params->capacity, err);
}

int flow_table_create(struct flow_table **table, const struct flow_table_params *params,
		      struct err *err)
{
	struct flow_table *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the flow table");
	made->params = *params;
	int code = allocate(made, err);
	if (code) {
		flow_table_destroy(made);
		return code;
	}
	*table = made;
	return 0;
}
