// SPDX-License-Identifier: Apache-2.0
// The flow table by cases. Against a model: test_flow_model.c.
#include "culvert/flow/flow_table.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
	N_PORTS = 8,
	N_SNATS = 2,
	N_POOLS = 2 * N_SNATS, // two endpoints
	PLENTY = 100000,
	CLIENT_ISN = 1000,
	BACKEND_ISN = 0x90000000,
	TOLD_MAX = 256,
};

static const struct flow_table_params ordinary = {
	.capacity = 100,
	.n_frontends = 2,
	.n_backends = 2,
	.n_pools = N_POOLS,
	.first_port = 40000,
	.n_ports = N_PORTS,
	.secret = 1,
	.timeouts =
		{
			[FLOW_SYN_SENT] = 120,
			[FLOW_SYN_SENT_BOTH] = 110,
			[FLOW_SYN_RECEIVED] = 60,
			[FLOW_ESTABLISHED] = 7440,
			[FLOW_FIN_WAIT] = 240,
			[FLOW_CLOSE_WAIT] = 230,
			[FLOW_LAST_ACK] = 220,
			[FLOW_TIME_WAIT] = 125,
			[FLOW_RESET] = 10,
			[FLOW_UDP_UNREPLIED] = 30,
			[FLOW_UDP_REPLIED] = 300,
			[FLOW_UDP] = 300,
		},
};

static struct flow_table *make_table(const struct flow_table_params *params)
{
	struct flow_table *table = NULL;
	struct err err = {0};
	cr_assert_eq(flow_table_create(&table, params, &err), 0, "%s", err.message);
	flow_table_expire(table, 1000, PLENTY);
	return table;
}

static struct flow_request request_of(unsigned client, uint8_t proto)
{
	return (struct flow_request){
		.client = ip_addr_from_v4(htonl(0x0a010000 + client)),
		.client_port_be = htons(1000),
		.proto = proto,
		.hash = client * 2654435761U,
		.seq = CLIENT_ISN,
		.snat_mask = 1,
	};
}

static uint32_t open_flow(struct flow_table *table, unsigned client, uint8_t proto)
{
	struct flow_request request = request_of(client, proto);
	uint32_t index = 0;
	cr_assert_eq(flow_table_open(table, &request, &index), FLOW_MADE);
	return index;
}

struct segment {
	enum flow_dir dir;
	uint8_t flags;
	uint32_t seq;
	uint32_t ack;
	uint32_t len;
};

static void track(struct flow_table *table, uint32_t index, struct segment segment)
{
	struct frame_view view = {
		.l3 = 14,
		.l4 = 34,
		.payload = 54,
		.frame_len = 54 + segment.len,
		.tcp_flags = segment.flags,
		.seq = segment.seq,
		.ack = segment.ack,
	};
	flow_table_track(table, index, segment.dir, &view);
}

enum {
	S = TCP_FLAG_SYN,
	A = TCP_FLAG_ACK,
	SA = TCP_FLAG_SYN | TCP_FLAG_ACK,
	FA = TCP_FLAG_FIN | TCP_FLAG_ACK,
	R = TCP_FLAG_RST,
	RA = TCP_FLAG_RST | TCP_FLAG_ACK,
	C1 = CLIENT_ISN + 1,
};
static const uint32_t B1 = BACKEND_ISN + 1U;

static uint32_t open_established(struct flow_table *table, unsigned client)
{
	uint32_t index = open_flow(table, client, IPPROTO_TCP);
	track(table, index, (struct segment){FROM_CLIENT, S, CLIENT_ISN, 0, 0});
	track(table, index, (struct segment){FROM_BACKEND, SA, BACKEND_ISN, C1, 0});
	track(table, index, (struct segment){FROM_CLIENT, A, C1, B1, 0});
	cr_assert_eq(table->flows[index].state, FLOW_ESTABLISHED);
	return index;
}

static uint32_t find(const struct flow_table *table, unsigned client)
{
	struct flow_request request = request_of(client, IPPROTO_TCP);
	struct endpoint endpoint = {request.client, request.client_port_be, IPPROTO_TCP, 0};
	return flow_table_find(table, &endpoint, 0, request.hash);
}

Test(flow_table, finds_a_flow_by_either_half)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t index = open_flow(table, 1, IPPROTO_TCP);
	const struct flow *flow = &table->flows[index];
	struct endpoint client = {flow->client, flow->client_port_be, IPPROTO_TCP, 0};
	struct endpoint other = {flow->client, htons(1001), IPPROTO_TCP, 0};
	cr_expect_eq(flow_table_find(table, &client, 0, flow->hash), index);
	cr_expect_eq(flow_table_find(table, &client, 1, flow->hash), 0, "another frontend");
	cr_expect_eq(flow_table_find(table, &other, 0, flow->hash), 0, "another port");
	cr_expect_eq(flow_table_find_reply(table, 0, flow->nat_port), index);
	cr_expect_eq(flow_table_find_reply(table, 1, flow->nat_port), 0, "another address");
	flow_table_end(table, index, FLOW_RENEWED);
	cr_expect_eq(flow_table_find(table, &client, 0, flow->hash), 0);
	cr_expect_eq(flow_table_find_reply(table, 0, flow->nat_port), 0);
	cr_expect_eq(table->n_flows, 0);
	flow_table_destroy(table);
	flow_table_destroy(NULL);
}

// Segments that lead from SYN_SENT to the state, and how long the flow lives from there.
Test(flow_table, defect_10_each_state_has_its_own_time_to_live)
{
	static const struct {
		enum flow_state state;
		struct segment segments[6];
	} cases[] = {
		{FLOW_SYN_SENT, {{FROM_CLIENT, S, CLIENT_ISN, 0, 0}}},
		{FLOW_SYN_SENT_BOTH, {{FROM_BACKEND, S, BACKEND_ISN, 0, 0}}},
		{FLOW_SYN_RECEIVED, {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0}}},
		{FLOW_ESTABLISHED,
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0}, {FROM_CLIENT, A, C1, B1, 0}}},
		{FLOW_FIN_WAIT,
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0},
		  {FROM_CLIENT, A, C1, B1, 0},
		  {FROM_CLIENT, FA, C1, B1, 0}}},
		{FLOW_CLOSE_WAIT,
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0},
		  {FROM_CLIENT, A, C1, B1, 0},
		  {FROM_CLIENT, FA, C1, B1, 0},
		  {FROM_BACKEND, A, B1, C1 + 1, 0}}},
		{FLOW_LAST_ACK,
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0},
		  {FROM_CLIENT, A, C1, B1, 0},
		  {FROM_CLIENT, FA, C1, B1, 0},
		  {FROM_BACKEND, FA, B1, C1 + 1, 0}}},
		{FLOW_TIME_WAIT,
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0},
		  {FROM_CLIENT, A, C1, B1, 0},
		  {FROM_CLIENT, FA, C1, B1, 0},
		  {FROM_BACKEND, FA, B1, C1 + 1, 0},
		  {FROM_CLIENT, A, C1 + 1, B1 + 1, 0}}},
		{FLOW_RESET, {{FROM_BACKEND, RA, 0, C1, 0}}},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct flow_table *table = make_table(&ordinary);
		uint32_t index = open_flow(table, 1, IPPROTO_TCP);
		uint32_t timeout = ordinary.timeouts[cases[i].state];
		for (size_t s = 0; s < COUNT(cases[i].segments); s++) {
			if (cases[i].segments[s].flags)
				track(table, index, cases[i].segments[s]);
		}
		cr_expect_eq(table->flows[index].state, cases[i].state, "%s",
			     flow_state_name(cases[i].state));
		flow_table_expire(table, 1000 + timeout - 1, PLENTY);
		cr_expect_eq(find(table, 1), index, "%s ends too soon",
			     flow_state_name(cases[i].state));
		flow_table_expire(table, 1000 + timeout, PLENTY);
		cr_expect_eq(find(table, 1), 0, "%s does not end", flow_state_name(cases[i].state));
		flow_table_destroy(table);
	}
}

Test(flow_table, UDP_is_live_once_the_client_speaks_again)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t index = open_flow(table, 1, IPPROTO_UDP);
	track(table, index, (struct segment){FROM_CLIENT, 0, 0, 0, 10});
	track(table, index, (struct segment){FROM_CLIENT, 0, 0, 0, 10});
	cr_expect_eq(table->flows[index].class, CLASS_HALF_OPEN);
	track(table, index, (struct segment){FROM_BACKEND, 0, 0, 0, 10});
	cr_expect_eq(table->flows[index].class, CLASS_HALF_OPEN);
	track(table, index, (struct segment){FROM_CLIENT, 0, 0, 0, 10});
	cr_expect_eq(table->flows[index].state, FLOW_UDP);
	cr_expect_eq(table->flows[index].class, CLASS_LIVE);
	flow_table_destroy(table);
}

// {ACK seq=g, RST seq=g} for a few guesses g must not end a connection that the sender cannot see.
Test(flow_table, numbers_far_from_those_expected_move_nothing)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t index = open_established(table, 1);
	const struct flow *flow = &table->flows[index];
	uint32_t client_next = flow->client_next;
	uint32_t backend_next = flow->backend_next;
	for (uint32_t guess = 0; guess < 4; guess++) {
		uint32_t seq = client_next + (1U << 29) + (guess << 30);
		uint32_t ack = backend_next + (1U << 29) + (guess << 30);
		track(table, index, (struct segment){FROM_CLIENT, A, seq, ack, 0});
		track(table, index, (struct segment){FROM_CLIENT, R, seq, ack, 0});
		track(table, index, (struct segment){FROM_BACKEND, A, ack, seq, 0});
		track(table, index, (struct segment){FROM_BACKEND, R, ack, seq, 0});
	}
	cr_expect_eq(flow->state, FLOW_ESTABLISHED);
	cr_expect_eq(flow->client_next, client_next);
	cr_expect_eq(flow->backend_next, backend_next);
	flow_table_destroy(table);
}

// A gap wider than the window, as after heavy loss before us: the acknowledgement vouches for it.
Test(flow_table, numbers_catch_up_when_the_acknowledgement_is_right)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t index = open_established(table, 1);
	const struct flow *flow = &table->flows[index];
	uint32_t far = flow->client_next + (4U << 20);
	track(table, index, (struct segment){FROM_CLIENT, A, far, flow->backend_next, 100});
	cr_expect_eq(flow->client_next, far + 100);
	flow_table_destroy(table);
}

Test(flow_table, UDP_lives_longer_once_it_is_answered)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t silent = open_flow(table, 1, IPPROTO_UDP);
	uint32_t answered = open_flow(table, 2, IPPROTO_UDP);
	track(table, silent, (struct segment){FROM_CLIENT, 0, 0, 0, 10});
	track(table, answered, (struct segment){FROM_BACKEND, 0, 0, 0, 10});
	cr_expect_eq(table->flows[silent].state, FLOW_UDP_UNREPLIED);
	cr_expect_eq(table->flows[answered].state, FLOW_UDP_REPLIED);
	flow_table_expire(table, 1030, PLENTY);
	cr_expect_eq(find(table, 1), 0);
	cr_expect_eq(find(table, 2), answered);
	flow_table_expire(table, 1300, PLENTY);
	cr_expect_eq(find(table, 2), 0);
	flow_table_destroy(table);
}

Test(flow_table, defect_10_packets_of_either_side_keep_a_flow_alive)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t index = open_established(table, 1);
	for (uint32_t now = 8000; now < 100000; now += 7000) {
		flow_table_expire(table, now, PLENTY);
		cr_assert_eq(find(table, 1), index, "ended at %u", now);
		enum flow_dir dir = now / 7000 % 2 ? FROM_CLIENT : FROM_BACKEND;
		track(table, index, (struct segment){dir, A, dir == FROM_CLIENT ? C1 : B1, 0, 0});
	}
	flow_table_destroy(table);
}

Test(flow_table, a_budget_leaves_the_rest_for_the_next_call)
{
	struct flow_table *table = make_table(&ordinary);
	for (unsigned i = 0; i < 4; i++)
		open_flow(table, i, IPPROTO_UDP);
	cr_expect(flow_table_expire(table, 2000, 3));
	cr_expect_gt(table->n_flows, 0);
	while (flow_table_expire(table, 2000, 3))
		continue;
	cr_expect_eq(table->n_flows, 0);
	flow_table_destroy(table);
}

// ---- room --------------------------------------------------------------------------------------

Test(flow_table, defect_07_a_live_flow_keeps_its_port_and_the_next_is_refused)
{
	struct flow_table *table = make_table(&ordinary);
	for (unsigned i = 0; i < N_PORTS; i++)
		open_established(table, i);
	struct flow_request request = request_of(99, IPPROTO_TCP);
	uint32_t index = 77;
	cr_expect_eq(flow_table_open(table, &request, &index), FLOW_NO_NAT_PORT);
	cr_expect_eq(index, 77, "untouched on failure");
	for (unsigned i = 0; i < N_PORTS; i++)
		cr_expect_neq(find(table, i), 0);
	// The other source address has ports, for those who may use it.
	request.snat_mask = 3;
	cr_expect_eq(flow_table_open(table, &request, &index), FLOW_MADE);
	cr_expect_eq(table->flows[index].snat, 1);
	flow_table_destroy(table);
}

Test(flow_table, without_a_source_address_there_is_no_port)
{
	struct flow_table *table = make_table(&ordinary);
	struct flow_request request = request_of(1, IPPROTO_TCP);
	uint32_t index;
	request.snat_mask = 0;
	cr_expect_eq(flow_table_open(table, &request, &index), FLOW_NO_NAT_PORT);
	flow_table_destroy(table);
}

Test(flow_table, a_client_keeps_its_source_address_while_that_has_ports)
{
	struct flow_table *table = make_table(&ordinary);
	struct flow_request request = request_of(1, IPPROTO_TCP);
	uint32_t first;
	uint32_t second;
	request.snat_mask = 3;
	cr_assert_eq(flow_table_open(table, &request, &first), FLOW_MADE);
	request.client_port_be = htons(1001);
	request.hash++;
	cr_assert_eq(flow_table_open(table, &request, &second), FLOW_MADE);
	cr_expect_eq(table->flows[first].snat, table->flows[second].snat);
	flow_table_destroy(table);
}

Test(flow_table, a_full_table_refuses_and_says_so)
{
	struct flow_table_params small = ordinary;
	small.capacity = 5;
	struct flow_table *table = make_table(&small);
	for (unsigned i = 0; i < 5; i++)
		open_established(table, i);
	struct flow_request request = request_of(99, IPPROTO_TCP);
	uint32_t index;
	cr_expect_eq(flow_table_open(table, &request, &index), FLOW_TABLE_FULL);
	cr_expect_eq(table->n_flows, 5);
	for (unsigned i = 0; i < 5; i++)
		cr_expect_neq(find(table, i), 0, "flow %u was live", i);
	flow_table_destroy(table);
}

Test(flow_table, defect_11_half_open_flows_take_a_quarter_of_the_table_at_most)
{
	struct flow_table_params wide = ordinary;
	wide.n_ports = 1000;
	struct flow_table *table = make_table(&wide);
	uint32_t live = open_established(table, 1);
	for (unsigned i = 100; i < 1000; i++) {
		open_flow(table, i, IPPROTO_TCP);
		cr_assert_leq(table->n_half_open, wide.capacity / 4);
	}
	cr_expect_eq(table->n_half_open, wide.capacity / 4);
	cr_expect_eq(find(table, 1), live);
	cr_expect_eq(find(table, 100), 0, "those that waited longest made way");
	cr_expect_neq(find(table, 999), 0);
	cr_expect_eq(counter_read(&table->reclaimed), 900 - 25);
	flow_table_destroy(table);
}

Test(flow_table, defect_11_half_open_flows_take_about_half_of_the_ports_at_most)
{
	struct flow_table *table = make_table(&ordinary);
	for (unsigned i = 0; i < 100; i++)
		open_flow(table, i, IPPROTO_TCP);
	cr_expect_leq(table->pools[0].lists[CLASS_HALF_OPEN].count, N_PORTS / 2 + 1);
	cr_expect_geq(table->pools[0].n_free, N_PORTS / 2 - 1);
	flow_table_destroy(table);
}

Test(flow_table, a_finished_flow_makes_way_before_a_half_open_one)
{
	struct flow_table *table = make_table(&ordinary);
	unsigned client = 0;
	uint32_t finished = open_established(table, client++);
	while (table->pools[0].n_free > 1)
		open_established(table, client++);
	open_flow(table, 50, IPPROTO_TCP);
	track(table, finished, (struct segment){FROM_CLIENT, R, C1, 0, 0});
	cr_assert_eq(table->pools[0].n_free, 0);
	open_flow(table, 51, IPPROTO_TCP);
	cr_expect_eq(find(table, 0), 0, "the finished one is gone");
	cr_expect_neq(find(table, 50), 0, "the half-open one waits on");
	open_flow(table, 52, IPPROTO_TCP);
	cr_expect_eq(find(table, 50), 0);
	flow_table_destroy(table);
}

// A backend still in TIME_WAIT takes a SYN only with a number beyond the last it has seen.
Test(flow_table, of_the_finished_flows_one_goes_whose_port_the_backend_will_accept)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t indexes[N_PORTS];
	for (unsigned i = 0; i < N_PORTS; i++) {
		indexes[i] = open_established(table, i);
		// The third one has sent least.
		uint32_t len = i == 2 ? 1 : 100000;
		track(table, indexes[i], (struct segment){FROM_CLIENT, A, C1, B1, len});
		track(table, indexes[i], (struct segment){FROM_CLIENT, R, C1 + len, 0, 0});
		cr_assert_eq(table->flows[indexes[i]].state, FLOW_RESET);
	}
	uint16_t port = table->flows[indexes[2]].nat_port;
	struct flow_request request = request_of(99, IPPROTO_TCP);
	uint32_t index;
	request.seq = C1 + 5000;
	cr_assert_eq(flow_table_open(table, &request, &index), FLOW_MADE);
	cr_expect_eq(table->flows[index].nat_port, port);
	flow_table_destroy(table);
}

// ---- resets and guesses ------------------------------------------------------------------------

Test(flow_table, believes_a_reset_near_the_number_expected_only)
{
	static const struct {
		struct segment reset;
		bool is_believed;
	} cases[] = {
		{{FROM_CLIENT, R, C1, 0, 0}, true},
		{{FROM_CLIENT, RA, C1 + 1000, 0, 0}, true},
		{{FROM_CLIENT, R, C1 - 500, 0, 0}, true},
		{{FROM_CLIENT, R, C1 + (1U << 20), 0, 0}, true},
		{{FROM_CLIENT, R, C1 + (1U << 20) + 1, 0, 0}, false},
		{{FROM_CLIENT, R, C1 - (1U << 20) - 1, 0, 0}, false},
		{{FROM_CLIENT, R, C1 + 0x80000000, 0, 0}, false},
		{{FROM_BACKEND, R, BACKEND_ISN + 1U, 0, 0}, true},
		{{FROM_BACKEND, R, 0, 0, 0}, false},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct flow_table *table = make_table(&ordinary);
		uint32_t index = open_established(table, 1);
		track(table, index, cases[i].reset);
		cr_expect_eq(table->flows[index].state,
			     cases[i].is_believed ? FLOW_RESET : FLOW_ESTABLISHED, "case %zu", i);
		flow_table_destroy(table);
	}
}

Test(flow_table, a_reset_that_answers_a_SYN_acknowledges_it)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t index = open_flow(table, 1, IPPROTO_TCP);
	track(table, index, (struct segment){FROM_BACKEND, RA, 0, C1 + 7, 0});
	cr_expect_eq(table->flows[index].state, FLOW_SYN_SENT);
	track(table, index, (struct segment){FROM_BACKEND, RA, 0, C1, 0});
	cr_expect_eq(table->flows[index].state, FLOW_RESET);
	flow_table_destroy(table);
}

Test(flow_table, a_forged_reset_is_refuted_by_whom_it_was_forged_for)
{
	static const enum flow_dir dirs[] = {FROM_CLIENT, FROM_BACKEND};
	for (size_t i = 0; i < COUNT(dirs); i++) {
		struct flow_table *table = make_table(&ordinary);
		uint32_t index = open_established(table, 1);
		uint32_t own = dirs[i] == FROM_CLIENT ? C1 : B1;
		uint32_t other = dirs[i] == FROM_CLIENT ? B1 : C1;
		track(table, index, (struct segment){dirs[i], R, own, 0, 0});
		cr_expect_eq(table->flows[index].class, CLASS_FINISHED);
		track(table, index, (struct segment){!dirs[i], A, other, own, 5});
		cr_expect_eq(table->flows[index].state, FLOW_RESET, "the other side may not know");
		track(table, index, (struct segment){dirs[i], A, own, other + 5, 10});
		cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED);
		cr_expect_eq(table->flows[index].class, CLASS_LIVE);
		flow_table_expire(table, 1000 + 7439, PLENTY);
		cr_expect_eq(find(table, 1), index);
		flow_table_destroy(table);
	}
}

Test(flow_table, defect_11_nobody_makes_a_flow_live_without_the_backends_numbers)
{
	static const struct {
		const char *name;
		struct segment segments[4];
	} cases[] = {
		{"an acknowledgement before any answer", {{FROM_CLIENT, A, C1, 5, 0}}},
		{"a guessed acknowledgement",
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0}, {FROM_CLIENT, A, C1, 5, 100}}},
		{"one that is ahead of the backend",
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0},
		  {FROM_CLIENT, A, C1, BACKEND_ISN + 2U, 100}}},
		{"a guessed FIN",
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0}, {FROM_CLIENT, FA, C1, 5, 0}}},
		{"a reset, taken back", {{FROM_CLIENT, R, C1, 0, 0}, {FROM_CLIENT, A, C1, 5, 0}}},
		{"a reset in the handshake, taken back",
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0},
		  {FROM_CLIENT, R, C1, 0, 0},
		  {FROM_CLIENT, A, C1, 5, 0}}},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct flow_table *table = make_table(&ordinary);
		uint32_t index = open_flow(table, 1, IPPROTO_TCP);
		for (size_t s = 0; s < COUNT(cases[i].segments); s++) {
			if (cases[i].segments[s].flags)
				track(table, index, cases[i].segments[s]);
		}
		cr_expect_neq(table->flows[index].class, CLASS_LIVE, "%s", cases[i].name);
		flow_table_destroy(table);
	}
}

Test(flow_table, a_handshake_may_end_late_with_data_on_its_way)
{
	static const struct {
		const char *name;
		struct segment segments[4];
	} cases[] = {
		{"the backend has sent data with its answer",
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 14000}, {FROM_CLIENT, A, C1, B1, 0}}},
		{"the first acknowledgement was lost",
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0}, {FROM_CLIENT, A, C1, B1, 1000}}},
		{"the backend has forgotten its first answer",
		 {{FROM_BACKEND, SA, BACKEND_ISN, C1, 0},
		  {FROM_BACKEND, SA, 0x80000000, C1, 0},
		  {FROM_CLIENT, A, C1, 0x80000001, 0}}},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct flow_table *table = make_table(&ordinary);
		uint32_t index = open_flow(table, 1, IPPROTO_TCP);
		for (size_t s = 0; s < COUNT(cases[i].segments); s++) {
			if (cases[i].segments[s].flags)
				track(table, index, cases[i].segments[s]);
		}
		cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED, "%s", cases[i].name);
		flow_table_destroy(table);
	}
}

Test(flow_table, a_FIN_sent_again_is_not_the_other_sides)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t index = open_established(table, 1);
	for (int i = 0; i < 3; i++) {
		track(table, index, (struct segment){FROM_CLIENT, FA, C1, B1, 0});
		track(table, index, (struct segment){FROM_BACKEND, A, B1, C1 + 1, 0});
		cr_expect_eq(table->flows[index].class, CLASS_LIVE, "round %d", i);
	}
	track(table, index, (struct segment){FROM_BACKEND, FA, B1, C1 + 1, 0});
	cr_expect_eq(table->flows[index].state, FLOW_LAST_ACK);
	track(table, index, (struct segment){FROM_CLIENT, A, C1 + 1, B1 + 1, 0});
	cr_expect_eq(table->flows[index].state, FLOW_TIME_WAIT);
	flow_table_destroy(table);
}

Test(flow_table, a_flow_used_again_begins_from_the_start)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t index = open_established(table, 1);
	uint16_t port = table->flows[index].nat_port;
	track(table, index, (struct segment){FROM_CLIENT, FA, C1, B1, 0});
	track(table, index, (struct segment){FROM_BACKEND, FA, B1, C1 + 1, 0});
	track(table, index, (struct segment){FROM_CLIENT, A, C1 + 1, B1 + 1, 0});
	flow_table_reopen(table, index, 5000);
	track(table, index, (struct segment){FROM_CLIENT, S, 5000, 0, 0});
	cr_expect_eq(table->flows[index].state, FLOW_SYN_SENT);
	cr_expect_eq(table->flows[index].nat_port, port);
	track(table, index, (struct segment){FROM_BACKEND, SA, 10, 5001, 0});
	track(table, index, (struct segment){FROM_CLIENT, A, 5001, 11, 0});
	track(table, index, (struct segment){FROM_CLIENT, FA, 5001, 11, 0});
	cr_expect_eq(table->flows[index].state, FLOW_FIN_WAIT, "its FIN counts again");
	cr_expect_eq(counter_read(&table->frontends[0].flows_opened), 2);
	cr_expect_eq(counter_read(&table->frontends[0].flows_current), 1);
	flow_table_destroy(table);
}

Test(flow_table, defect_17_counts_bytes_and_packets_of_both_directions)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t index = open_established(table, 1);
	track(table, index, (struct segment){FROM_BACKEND, A, B1, C1, 1000});
	const struct traffic_counters *frontend = &table->frontends[0];
	const struct traffic_counters *backend = &table->backends[0];
	cr_expect_eq(counter_read(&frontend->bytes_tx), 80);
	cr_expect_eq(counter_read(&frontend->bytes_rx), 40 + 1040);
	cr_expect_eq(counter_read(&backend->packets_tx), 2);
	cr_expect_eq(counter_read(&backend->packets_rx), 2);
	cr_expect_eq(counter_read(&backend->bytes_rx), 1080);
	cr_expect_eq(table->flows[index].bytes_rx, 1080);
	flow_table_end(table, index, FLOW_RENEWED);
	cr_expect_eq(counter_read(&frontend->flows_current), 0);
	cr_expect_eq(counter_read(&backend->flows_current), 0);
	flow_table_destroy(table);
}

Test(flow_table, the_least_table_holds_one_flow)
{
	struct flow_table_params least = ordinary;
	least.capacity = 1;
	least.n_ports = 1;
	struct flow_table *table = make_table(&least);
	open_flow(table, 1, IPPROTO_TCP);
	open_flow(table, 2, IPPROTO_TCP);
	cr_expect_eq(find(table, 1), 0);
	cr_expect_neq(find(table, 2), 0);
	flow_table_destroy(table);
}

static void note_event(void *arg, uint32_t index, enum flow_event event)
{
	static const char *const names[] = {
		[FLOW_OPENED] = "opened",   [FLOW_LIVE] = "live",
		[FLOW_EXPIRED] = "expired", [FLOW_RECLAIMED] = "reclaimed",
		[FLOW_RENEWED] = "renewed", [FLOW_REMOVED] = "removed",
	};
	char *told = arg;
	size_t used = strlen(told);
	snprintf(told + used, TOLD_MAX - used, "%s%s %u", used ? ", " : "", names[event], index);
}

// What the flow log is made from: each beginning once, and each end before the entry is forgotten.
Test(flow_table, events_are_told_in_their_order)
{
	struct flow_table *table = make_table(&ordinary);
	char told[TOLD_MAX] = "";
	table->on_event = note_event;
	table->on_event_arg = told;
	uint32_t first = open_established(table, 1);
	track(table, first, (struct segment){FROM_CLIENT, R, C1, 0, 0});
	table->flows[first].bytes_tx = 1000;
	flow_table_reopen(table, first, CLIENT_ISN + 100000);
	cr_assert_eq(table->flows[first].bytes_tx, 0);
	cr_assert_eq(table->flows[first].bytes_rx, 0);
	flow_table_end(table, first, FLOW_REMOVED);
	uint32_t second = open_flow(table, 2, IPPROTO_UDP);
	flow_table_expire(table, 1000 + 31, PLENTY);
	cr_assert_eq(first, 1);
	cr_assert_eq(second, 1);
	cr_assert_str_eq(told, "opened 1, live 1, renewed 1, opened 1, removed 1, opened 1, "
			       "expired 1");
	flow_table_destroy(table);
}

Test(flow_table, making_room_is_told_as_such)
{
	struct flow_table_params params = ordinary;
	char told[TOLD_MAX] = "";
	params.capacity = 4;
	struct flow_table *table = make_table(&params);
	open_flow(table, 1, IPPROTO_TCP);
	table->on_event = note_event;
	table->on_event_arg = told;
	open_flow(table, 2, IPPROTO_TCP); // a quarter of the table may be half-open
	cr_assert(strstr(told, "reclaimed 1, opened"), "%s", told);
	flow_table_destroy(table);
}
