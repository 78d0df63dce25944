// SPDX-License-Identifier: Apache-2.0
// Whose numbers count: what moves a flow, ends it or makes it live, and what is a guess.
#include <criterion/criterion.h>

#include "lib/flow_lab.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// {ACK seq=g, RST seq=g} for a few guesses g must not end a connection that the sender cannot see.
Test(flow_numbers, numbers_far_from_those_expected_move_nothing)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t index = flow_lab_open_established(table, 1);
	const struct flow *flow = &table->flows[index];
	uint32_t client_next = flow->client_next;
	uint32_t backend_next = flow->backend_next;
	for (uint32_t guess = 0; guess < 4; guess++) {
		uint32_t seq = client_next + (1U << 29) + (guess << 30);
		uint32_t ack = backend_next + (1U << 29) + (guess << 30);
		flow_lab_track(table, index, (struct segment){FROM_CLIENT, A, seq, ack, 0});
		flow_lab_track(table, index, (struct segment){FROM_CLIENT, R, seq, ack, 0});
		flow_lab_track(table, index, (struct segment){FROM_BACKEND, A, ack, seq, 0});
		flow_lab_track(table, index, (struct segment){FROM_BACKEND, R, ack, seq, 0});
	}
	cr_expect_eq(flow->state, FLOW_ESTABLISHED);
	cr_expect_eq(flow->client_next, client_next);
	cr_expect_eq(flow->backend_next, backend_next);
	flow_table_destroy(table);
}

// A gap wider than the window, as after heavy loss before us: the acknowledgement vouches for it.
Test(flow_numbers, numbers_catch_up_when_the_acknowledgement_is_right)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t index = flow_lab_open_established(table, 1);
	const struct flow *flow = &table->flows[index];
	uint32_t far = flow->client_next + (4U << 20);
	flow_lab_track(table, index,
		       (struct segment){FROM_CLIENT, A, far, flow->backend_next, 100});
	cr_expect_eq(flow->client_next, far + 100);
	flow_table_destroy(table);
}

Test(flow_numbers, believes_a_reset_near_the_number_expected_only)
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
		struct flow_table *table = flow_lab_make(&flow_lab_params);
		uint32_t index = flow_lab_open_established(table, 1);
		flow_lab_track(table, index, cases[i].reset);
		cr_expect_eq(table->flows[index].state,
			     cases[i].is_believed ? FLOW_RESET : FLOW_ESTABLISHED, "case %zu", i);
		flow_table_destroy(table);
	}
}

Test(flow_numbers, a_reset_that_answers_a_SYN_acknowledges_it)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t index = flow_lab_open(table, 1, IPPROTO_TCP);
	flow_lab_track(table, index, (struct segment){FROM_BACKEND, RA, 0, C1 + 7, 0});
	cr_expect_eq(table->flows[index].state, FLOW_SYN_SENT);
	flow_lab_track(table, index, (struct segment){FROM_BACKEND, RA, 0, C1, 0});
	cr_expect_eq(table->flows[index].state, FLOW_RESET);
	flow_table_destroy(table);
}

Test(flow_numbers, a_forged_reset_is_refuted_by_whom_it_was_forged_for)
{
	static const enum flow_dir dirs[] = {FROM_CLIENT, FROM_BACKEND};
	for (size_t i = 0; i < COUNT(dirs); i++) {
		struct flow_table *table = flow_lab_make(&flow_lab_params);
		uint32_t index = flow_lab_open_established(table, 1);
		uint32_t own = dirs[i] == FROM_CLIENT ? C1 : B1;
		uint32_t other = dirs[i] == FROM_CLIENT ? B1 : C1;
		flow_lab_track(table, index, (struct segment){dirs[i], R, own, 0, 0});
		cr_expect_eq(table->flows[index].class, CLASS_FINISHED);
		flow_lab_track(table, index, (struct segment){!dirs[i], A, other, own, 5});
		cr_expect_eq(table->flows[index].state, FLOW_RESET, "the other side may not know");
		flow_lab_track(table, index, (struct segment){dirs[i], A, own, other + 5, 10});
		cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED);
		cr_expect_eq(table->flows[index].class, CLASS_LIVE);
		flow_table_expire(table, 1000 + 7439, PLENTY);
		cr_expect_eq(flow_lab_find(table, 1), index);
		flow_table_destroy(table);
	}
}

Test(flow_numbers, defect_11_nobody_makes_a_flow_live_without_the_backends_numbers)
{
	static const struct {
		const char *name;
		struct segment segments[FLOW_LAB_SEGMENTS];
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
		struct flow_table *table = flow_lab_make(&flow_lab_params);
		uint32_t index = flow_lab_open(table, 1, IPPROTO_TCP);
		flow_lab_track_all(table, index, cases[i].segments);
		cr_expect_neq(table->flows[index].class, CLASS_LIVE, "%s", cases[i].name);
		flow_table_destroy(table);
	}
}

Test(flow_numbers, a_handshake_may_end_late_with_data_on_its_way)
{
	static const struct {
		const char *name;
		struct segment segments[FLOW_LAB_SEGMENTS];
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
		struct flow_table *table = flow_lab_make(&flow_lab_params);
		uint32_t index = flow_lab_open(table, 1, IPPROTO_TCP);
		flow_lab_track_all(table, index, cases[i].segments);
		cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED, "%s", cases[i].name);
		flow_table_destroy(table);
	}
}

Test(flow_numbers, a_FIN_sent_again_is_not_the_other_sides)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t index = flow_lab_open_established(table, 1);
	for (int i = 0; i < 3; i++) {
		flow_lab_track(table, index, (struct segment){FROM_CLIENT, FA, C1, B1, 0});
		flow_lab_track(table, index, (struct segment){FROM_BACKEND, A, B1, C1 + 1, 0});
		cr_expect_eq(table->flows[index].class, CLASS_LIVE, "round %d", i);
	}
	flow_lab_track(table, index, (struct segment){FROM_BACKEND, FA, B1, C1 + 1, 0});
	cr_expect_eq(table->flows[index].state, FLOW_LAST_ACK);
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, A, C1 + 1, B1 + 1, 0});
	cr_expect_eq(table->flows[index].state, FLOW_TIME_WAIT);
	flow_table_destroy(table);
}
