// SPDX-License-Identifier: Apache-2.0
// The flow table under random use, against a model that remembers who should be there: ports have
// one owner, sums balance, live flows go only when their time is over. Likewise without ports and
// without the backends' half.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>

#include "culvert/flow/flow_table.h"

enum {
	CAPACITY = 60,
	N_PORTS = 20,
	N_SNATS = 2,
	N_ENDPOINTS = 3,
	N_POOLS = N_ENDPOINTS * N_SNATS,
	N_FRONTENDS = 2,
	N_BACKENDS = 4,
	N_CLIENTS = 120,
	FIRST_PORT = 50000,
	N_ROUNDS = 60000,
};

struct expectation {
	bool is_in;
	unsigned client;
	uint16_t frontend;
	uint32_t touched; // second of the last refresh
};

struct model {
	struct flow_table *table;
	bool is_one_sided;
	struct expectation flows[CAPACITY + 1];
	uint32_t n_in;
	uint32_t now;
	uint64_t n_opened;
	bool is_behind; // the last expiry ended by its budget
};

static const struct flow_table_params params = {
	.capacity = CAPACITY,
	.n_frontends = N_FRONTENDS,
	.n_backends = N_BACKENDS,
	.n_pools = N_POOLS,
	.first_port = FIRST_PORT,
	.n_ports = N_PORTS,
	.secret = 9,
	.timeouts =
		{
			[FLOW_SYN_SENT] = 12,
			[FLOW_SYN_SENT_BOTH] = 11,
			[FLOW_SYN_RECEIVED] = 6,
			[FLOW_ESTABLISHED] = 74,
			[FLOW_FIN_WAIT] = 24,
			[FLOW_CLOSE_WAIT] = 23,
			[FLOW_LAST_ACK] = 22,
			[FLOW_TIME_WAIT] = 13,
			[FLOW_RESET] = 2,
			[FLOW_PICKED_UP] = 5,
			[FLOW_UDP_UNREPLIED] = 3,
			[FLOW_UDP_REPLIED] = 30,
			[FLOW_UDP] = 30,
		},
};

static uint32_t any(uint32_t n)
{
	return (uint32_t)rand() % n;
}

// Few different hashes, so that buckets fill and entries must be told apart.
static struct flow_request request_of(unsigned client)
{
	uint32_t endpoint = any(N_ENDPOINTS);
	return (struct flow_request){
		.client = ip_addr_from_v4(htonl(0x0a010000 + client / 4)),
		.client_port_be = htons((uint16_t)(1000 + client % 4)),
		.frontend = (uint16_t)(client % N_FRONTENDS),
		.backend = (uint16_t)(endpoint == 0 ? any(2) : endpoint + 1),
		.proto = client % N_FRONTENDS ? IPPROTO_UDP : IPPROTO_TCP,
		.hash = client % 7 * 0x10001000,
		.seq = (uint32_t)rand(),
		.first_pool = endpoint * N_SNATS,
		.snat_mask = 1 + any(3),
		.is_picked_up = any(2),
	};
}

static uint32_t find(const struct model *model, unsigned client)
{
	struct flow_request request = request_of(client);
	struct endpoint endpoint = {request.client, request.client_port_be, request.proto, 0};
	return flow_table_find(model->table, &endpoint, request.frontend, request.hash);
}

static bool is_expired(const struct model *model, uint32_t index)
{
	const struct flow *flow = &model->table->flows[index];
	return model->flows[index].touched + params.timeouts[flow->state] <= model->now;
}

static void forget(struct model *model, uint32_t index)
{
	model->flows[index].is_in = false;
	model->n_in--;
}

static void remember(struct model *model, uint32_t index, unsigned client)
{
	cr_assert(index >= 1 && index <= CAPACITY, "memory is bounded");
	cr_assert_not(model->flows[index].is_in, "entry %u was taken", index);
	model->flows[index] =
		(struct expectation){true, client, (uint16_t)(client % N_FRONTENDS), model->now};
	model->n_in++;
	model->n_opened++;
}

// ---- what must always hold ---------------------------------------------------------------------

static void check_lists(const struct model *model)
{
	uint32_t n = 0;
	for (uint32_t p = 0; p < N_POOLS; p++) {
		const struct nat_pool *pool = &model->table->pools[p];
		n += pool->lists[0].count + pool->lists[1].count + pool->lists[2].count;
	}
	cr_assert_eq(n, model->n_in);
}

static void check_ports(const struct model *model)
{
	uint32_t n_owned = 0;
	for (uint32_t p = 0; p < N_POOLS; p++) {
		const struct nat_pool *pool = &model->table->pools[p];
		uint32_t n = 0;
		for (uint32_t i = 0; i < N_PORTS; i++) {
			uint32_t owner = nat_pool_owner(pool, (uint16_t)(FIRST_PORT + i));
			if (!owner)
				continue;
			n++;
			cr_assert(model->flows[owner].is_in, "a port of a flow that is gone");
			cr_assert_eq(model->table->flows[owner].nat_port, FIRST_PORT + i);
			cr_assert_eq(model->table->flows[owner].nat_pool, p);
		}
		cr_assert_eq(pool->n_free, N_PORTS - n);
		cr_assert_eq(pool->lists[0].count + pool->lists[1].count + pool->lists[2].count, n);
		n_owned += n;
	}
	// As many ports as flows, and each port's owner has that port: so each flow has its own.
	cr_assert_eq(n_owned, model->n_in);
}

static void check_sums(const struct model *model)
{
	uint64_t current[N_FLOW_CLASSES] = {0};
	uint64_t frontends = 0;
	uint64_t backends = 0;
	uint64_t opened = 0;
	const struct flow_table *table = model->table;
	for (uint32_t i = 1; i <= CAPACITY; i++) {
		if (!model->flows[i].is_in)
			continue;
		const struct flow *flow = &table->flows[i];
		cr_assert_eq(flow->class, flow_state_class((enum flow_state)flow->state));
		current[flow->class]++;
		cr_assert_eq(find(model, model->flows[i].client), i);
	}
	for (unsigned i = 0; i < N_FRONTENDS; i++) {
		frontends += counter_read(&table->frontends[i].flows_current);
		opened += counter_read(&table->frontends[i].flows_opened);
	}
	for (unsigned i = 0; i < N_BACKENDS; i++)
		backends += counter_read(&table->backends[i].flows_current);
	cr_assert_eq(table->n_flows, model->n_in);
	cr_assert_eq(counter_read(&table->flows_current), model->n_in);
	cr_assert_eq(table->n_half_open, current[CLASS_HALF_OPEN]);
	cr_assert_eq(frontends, current[CLASS_HALF_OPEN] + current[CLASS_LIVE]);
	cr_assert_eq(backends, frontends);
	cr_assert_eq(opened, model->n_opened);
}

// ---- what may happen ---------------------------------------------------------------------------

static bool has_room(const struct model *model, const struct flow_request *request,
		     bool can_reclaim)
{
	for (uint32_t snat = 0; snat < N_SNATS; snat++) {
		const struct nat_pool *pool = &model->table->pools[request->first_pool + snat];
		if (!(request->snat_mask >> snat & 1))
			continue;
		if (pool->n_free || (can_reclaim && (pool->lists[CLASS_FINISHED].count ||
						     pool->lists[CLASS_HALF_OPEN].count)))
			return true;
	}
	return false;
}

// Who was reclaimed for a new flow: nobody live.
static void forget_reclaimed(struct model *model, const uint8_t *classes, uint32_t made)
{
	unsigned n_gone = 0;
	for (uint32_t i = 1; i <= CAPACITY; i++) {
		if (!model->flows[i].is_in)
			continue;
		bool is_gone = i == made || model->table->flows[i].state == FLOW_FREE;
		if (!is_gone)
			continue;
		cr_assert_neq(classes[i], CLASS_LIVE, "a live flow was reclaimed");
		forget(model, i);
		n_gone++;
	}
	cr_assert_leq(n_gone, 3);
}

static void do_open(struct model *model)
{
	unsigned client = any(N_CLIENTS);
	struct flow_request request = request_of(client);
	uint8_t classes[CAPACITY + 1];
	uint32_t index = 0;
	if (find(model, client))
		return;
	request.is_picked_up &= model->is_one_sided;
	for (uint32_t i = 1; i <= CAPACITY; i++)
		classes[i] = model->table->flows[i].class;
	bool could_have_port = model->is_one_sided || has_room(model, &request, true);
	bool was_full = model->n_in == CAPACITY;
	enum flow_refusal refusal = flow_table_open(model->table, &request, &index);
	forget_reclaimed(model, classes, refusal == FLOW_MADE ? index : 0);
	if (refusal == FLOW_MADE)
		remember(model, index, client);
	else if (refusal == FLOW_NO_NAT_PORT)
		cr_assert_not(could_have_port, "there was a port");
	else
		cr_assert(was_full, "there was an entry");
}

static uint32_t any_flow(const struct model *model)
{
	uint32_t start = any(CAPACITY);
	for (uint32_t i = 0; i < CAPACITY; i++) {
		uint32_t index = (start + i) % CAPACITY + 1;
		if (model->flows[index].is_in)
			return index;
	}
	return 0;
}

// Mostly what a peer would really send next, sometimes anything.
static void do_track(struct model *model, uint32_t index)
{
	static const uint8_t flags[] = {TCP_FLAG_SYN, TCP_FLAG_SYN | TCP_FLAG_ACK, TCP_FLAG_ACK,
					TCP_FLAG_ACK, TCP_FLAG_FIN | TCP_FLAG_ACK, TCP_FLAG_RST};
	const struct flow *flow = &model->table->flows[index];
	enum flow_dir dir = any(2) || model->is_one_sided ? FROM_CLIENT : FROM_BACKEND;
	bool is_wild = any(8) == 0;
	struct frame_view view = {
		.l3 = 14,
		.l4 = 34,
		.payload = 54,
		.frame_len = 54 + any(100),
		.tcp_flags = flags[any(sizeof(flags))],
		.seq = dir == FROM_CLIENT ? flow->client_next : flow->backend_next,
		.ack = dir == FROM_CLIENT ? flow->backend_next : flow->client_next,
	};
	if (is_wild) {
		view.seq = (uint32_t)rand() << 3;
		view.ack = (uint32_t)rand() << 3;
	}
	if (flow_table_track(model->table, index, dir, &view))
		model->flows[index].touched = model->now;
}

static void do_expire(struct model *model)
{
	model->now += any(4);
	model->is_behind = flow_table_expire(model->table, model->now, 1 + any(40));
	for (uint32_t i = 1; i <= CAPACITY; i++) {
		if (!model->flows[i].is_in)
			continue;
		bool is_gone = model->table->flows[i].state == FLOW_FREE;
		if (!is_gone && !model->is_behind)
			cr_assert_not(is_expired(model, i), "flow %u stays beyond its time", i);
		if (is_gone)
			forget(model, i);
	}
}

static void do_expire_checked(struct model *model)
{
	uint8_t states[CAPACITY + 1];
	bool was_in[CAPACITY + 1];
	for (uint32_t i = 1; i <= CAPACITY; i++) {
		states[i] = model->table->flows[i].state;
		was_in[i] = model->flows[i].is_in;
	}
	do_expire(model);
	for (uint32_t i = 1; i <= CAPACITY; i++) {
		if (was_in[i] && !model->flows[i].is_in)
			cr_assert_leq(model->flows[i].touched + params.timeouts[states[i]],
				      model->now, "flow %u ended before its time", i);
	}
}

static void do_other(struct model *model, uint32_t index)
{
	const struct flow *flow = &model->table->flows[index];
	if (any(4) == 0) {
		flow_table_end(model->table, index, FLOW_RENEWED);
		forget(model, index);
	} else if (flow->class == CLASS_FINISHED) {
		flow_table_reopen(model->table, index, (uint32_t)rand());
		model->flows[index].touched = model->now;
		model->n_opened++;
	} else if (flow->class == CLASS_LIVE && flow->proto == IPPROTO_TCP && any(3) == 0) {
		flow_table_orphan(model->table, index);
		model->flows[index].touched = model->now;
	}
}

static void do_one(struct model *model)
{
	uint32_t index = any_flow(model);
	switch (any(10)) {
	case 0:
	case 1:
	case 2:
		do_open(model);
		break;
	case 3:
		do_expire_checked(model);
		break;
	case 4:
		if (index)
			do_other(model, index);
		break;
	default:
		if (index)
			do_track(model, index);
	}
}

static void run(unsigned seed, bool is_one_sided)
{
	struct model model = {.now = UINT32_C(1000), .is_one_sided = is_one_sided};
	struct flow_table_params chosen = params;
	chosen.is_one_sided = is_one_sided;
	chosen.n_ports = is_one_sided ? 0 : N_PORTS;
	cr_assert_eq(flow_table_create(&model.table, &chosen, NULL), 0);
	flow_table_expire(model.table, model.now, 1000);
	srand(seed);
	for (int i = 0; i < N_ROUNDS; i++) {
		do_one(&model);
		if (is_one_sided)
			check_lists(&model);
		else
			check_ports(&model);
		check_sums(&model);
	}
	flow_table_destroy(model.table);
}

Test(flow_model, defect_07_one_owner_per_port_and_sums_that_balance)
{
	run(1, false);
}

Test(flow_model, defect_07_one_owner_per_port_and_sums_that_balance_again)
{
	run(2, false);
}

Test(flow_model, one_sided_flows_have_lists_and_sums_that_balance)
{
	run(3, true);
}
