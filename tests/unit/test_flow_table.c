// SPDX-License-Identifier: Apache-2.0
// The flow table by cases: finding, states and their times, counts, events. Who makes way:
// test_flow_room.c; whose numbers count: test_flow_numbers.c; against a model: test_flow_model.c.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/flow_lab.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { TOLD_MAX = 256 };

Test(flow_table, finds_a_flow_by_either_half)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t index = flow_lab_open(table, 1, IPPROTO_TCP);
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
		struct segment segments[FLOW_LAB_SEGMENTS];
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
		struct flow_table *table = flow_lab_make(&flow_lab_params);
		uint32_t index = flow_lab_open(table, 1, IPPROTO_TCP);
		uint32_t timeout = flow_lab_params.timeouts[cases[i].state];
		flow_lab_track_all(table, index, cases[i].segments);
		cr_expect_eq(table->flows[index].state, cases[i].state, "%s",
			     flow_state_name(cases[i].state));
		flow_table_expire(table, 1000 + timeout - 1, PLENTY);
		cr_expect_eq(flow_lab_find(table, 1), index, "%s ends too soon",
			     flow_state_name(cases[i].state));
		flow_table_expire(table, 1000 + timeout, PLENTY);
		cr_expect_eq(flow_lab_find(table, 1), 0, "%s does not end",
			     flow_state_name(cases[i].state));
		flow_table_destroy(table);
	}
}

Test(flow_table, UDP_is_live_once_the_client_speaks_again)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t index = flow_lab_open(table, 1, IPPROTO_UDP);
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, 0, 0, 0, 10});
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, 0, 0, 0, 10});
	cr_expect_eq(table->flows[index].class, CLASS_HALF_OPEN);
	flow_lab_track(table, index, (struct segment){FROM_BACKEND, 0, 0, 0, 10});
	cr_expect_eq(table->flows[index].class, CLASS_HALF_OPEN);
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, 0, 0, 0, 10});
	cr_expect_eq(table->flows[index].state, FLOW_UDP);
	cr_expect_eq(table->flows[index].class, CLASS_LIVE);
	flow_table_destroy(table);
}

Test(flow_table, UDP_lives_longer_once_it_is_answered)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t silent = flow_lab_open(table, 1, IPPROTO_UDP);
	uint32_t answered = flow_lab_open(table, 2, IPPROTO_UDP);
	flow_lab_track(table, silent, (struct segment){FROM_CLIENT, 0, 0, 0, 10});
	flow_lab_track(table, answered, (struct segment){FROM_BACKEND, 0, 0, 0, 10});
	cr_expect_eq(table->flows[silent].state, FLOW_UDP_UNREPLIED);
	cr_expect_eq(table->flows[answered].state, FLOW_UDP_REPLIED);
	flow_table_expire(table, 1030, PLENTY);
	cr_expect_eq(flow_lab_find(table, 1), 0);
	cr_expect_eq(flow_lab_find(table, 2), answered);
	flow_table_expire(table, 1300, PLENTY);
	cr_expect_eq(flow_lab_find(table, 2), 0);
	flow_table_destroy(table);
}

Test(flow_table, defect_10_packets_of_either_side_keep_a_flow_alive)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t index = flow_lab_open_established(table, 1);
	for (uint32_t now = 8000; now < 100000; now += 7000) {
		flow_table_expire(table, now, PLENTY);
		cr_assert_eq(flow_lab_find(table, 1), index, "ended at %u", now);
		enum flow_dir dir = now / 7000 % 2 ? FROM_CLIENT : FROM_BACKEND;
		flow_lab_track(table, index,
			       (struct segment){dir, A, dir == FROM_CLIENT ? C1 : B1, 0, 0});
	}
	flow_table_destroy(table);
}

Test(flow_table, a_budget_leaves_the_rest_for_the_next_call)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	for (unsigned i = 0; i < 4; i++)
		flow_lab_open(table, i, IPPROTO_UDP);
	cr_expect(flow_table_expire(table, 2000, 3));
	cr_expect_gt(table->n_flows, 0);
	while (flow_table_expire(table, 2000, 3))
		continue;
	cr_expect_eq(table->n_flows, 0);
	flow_table_destroy(table);
}

// So the table takes memory only as more flows are there at once than ever before.
Test(flow_table, the_entry_given_back_last_is_used_first_and_a_fresh_one_last)
{
	enum { N = 20, N_ENDED = 13 };
	struct flow_table_params params = flow_lab_params;
	uint32_t ended[N_ENDED];
	params.is_one_sided = true;
	struct flow_table *table = flow_lab_make(&params);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = table->n_flows; i < N; i++)
			cr_assert_eq(flow_lab_open(table, i, IPPROTO_TCP), i + 1);
		for (unsigned i = 0; i < N_ENDED; i++) {
			ended[i] = 1 + i * 7 % N;
			flow_table_end(table, ended[i], FLOW_REMOVED);
		}
		for (unsigned i = N_ENDED; i-- > 0;) {
			unsigned client = round * 100 + 50 + i;
			cr_expect_eq(flow_lab_open(table, client, IPPROTO_TCP), ended[i]);
		}
		cr_expect_eq(table->n_fresh, N);
	}
	cr_expect_eq(flow_lab_open(table, 99, IPPROTO_TCP), N + 1);
	flow_table_destroy(table);
}

Test(flow_table, a_flow_used_again_begins_from_the_start)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t index = flow_lab_open_established(table, 1);
	uint16_t port = table->flows[index].nat_port;
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, FA, C1, B1, 0});
	flow_lab_track(table, index, (struct segment){FROM_BACKEND, FA, B1, C1 + 1, 0});
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, A, C1 + 1, B1 + 1, 0});
	flow_table_reopen(table, index, 5000);
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, S, 5000, 0, 0});
	cr_expect_eq(table->flows[index].state, FLOW_SYN_SENT);
	cr_expect_eq(table->flows[index].nat_port, port);
	flow_lab_track(table, index, (struct segment){FROM_BACKEND, SA, 10, 5001, 0});
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, A, 5001, 11, 0});
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, FA, 5001, 11, 0});
	cr_expect_eq(table->flows[index].state, FLOW_FIN_WAIT, "its FIN counts again");
	cr_expect_eq(counter_read(&table->frontends[0].flows_opened), 2);
	cr_expect_eq(counter_read(&table->frontends[0].flows_current), 1);
	flow_table_destroy(table);
}

Test(flow_table, defect_17_counts_bytes_and_packets_of_both_directions)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t index = flow_lab_open_established(table, 1);
	flow_lab_track(table, index, (struct segment){FROM_BACKEND, A, B1, C1, 1000});
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
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	char told[TOLD_MAX] = "";
	table->on_event = note_event;
	table->on_event_arg = told;
	uint32_t first = flow_lab_open_established(table, 1);
	flow_lab_track(table, first, (struct segment){FROM_CLIENT, R, C1, 0, 0});
	table->flows[first].bytes_tx = 1000;
	flow_table_reopen(table, first, CLIENT_ISN + 100000);
	cr_assert_eq(table->flows[first].bytes_tx, 0);
	cr_assert_eq(table->flows[first].bytes_rx, 0);
	flow_table_end(table, first, FLOW_REMOVED);
	uint32_t second = flow_lab_open(table, 2, IPPROTO_UDP);
	flow_table_expire(table, 1000 + 31, PLENTY);
	cr_assert_eq(first, 1);
	cr_assert_eq(second, 1);
	cr_assert_str_eq(told, "opened 1, live 1, renewed 1, opened 1, removed 1, opened 1, "
			       "expired 1");
	flow_table_destroy(table);
}

Test(flow_table, making_room_is_told_as_such)
{
	struct flow_table_params params = flow_lab_params;
	char told[TOLD_MAX] = "";
	params.capacity = 4;
	struct flow_table *table = flow_lab_make(&params);
	flow_lab_open(table, 1, IPPROTO_TCP);
	table->on_event = note_event;
	table->on_event_arg = told;
	flow_lab_open(table, 2, IPPROTO_TCP); // a quarter of the table may be half-open
	cr_assert(strstr(told, "reclaimed 1, opened"), "%s", told);
	flow_table_destroy(table);
}
