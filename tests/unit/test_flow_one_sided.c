// SPDX-License-Identifier: Apache-2.0
// Flows of which only the client's half is seen. Against a model: test_flow_model.c.
#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "culvert/flow/flow_table.h"

enum {
	CAPACITY = 100,
	PLENTY = 100000,
	START = 1000,
	CLIENT_ISN = 5000,
	BACKEND_NEXT = 900001, // the number after the backend's SYN
	FAR = 1 << 29,
	SYN_S = 120,
	PICKED_UP_S = 60,
	CLOSED_S = 125,
	RESET_S = 10,
	UDP_S = 30,
};

enum {
	S = TCP_FLAG_SYN,
	A = TCP_FLAG_ACK,
	SA = TCP_FLAG_SYN | TCP_FLAG_ACK,
	FA = TCP_FLAG_FIN | TCP_FLAG_ACK,
	R = TCP_FLAG_RST,
	C1 = CLIENT_ISN + 1,
	B1 = BACKEND_NEXT,
};

static struct flow_table *make_table(void)
{
	static const struct flow_table_params params = {
		.capacity = CAPACITY,
		.n_frontends = 1,
		.n_backends = 2,
		.n_pools = 2,
		.is_one_sided = true,
		.secret = 1,
		.timeouts =
			{
				[FLOW_SYN_SENT] = SYN_S,
				[FLOW_PICKED_UP] = PICKED_UP_S,
				[FLOW_ESTABLISHED] = 7440,
				[FLOW_FIN_WAIT] = 240,
				[FLOW_TIME_WAIT] = CLOSED_S,
				[FLOW_RESET] = RESET_S,
				[FLOW_UDP_UNREPLIED] = UDP_S,
				[FLOW_UDP] = 300,
			},
	};
	struct flow_table *table = NULL;
	struct err err = {0};
	cr_assert_eq(flow_table_create(&table, &params, &err), 0, "%s", err.message);
	flow_table_expire(table, START, PLENTY);
	return table;
}

static struct flow_request request_of(unsigned client)
{
	return (struct flow_request){
		.client = ip_addr_from_v4(htonl(0x0a010000 + client)),
		.client_port_be = htons(1000),
		.proto = IPPROTO_TCP,
		.hash = client * 2654435761U,
		.seq = CLIENT_ISN,
		.snat_mask = 1,
	};
}

static uint32_t open_request(struct flow_table *table, const struct flow_request *request)
{
	uint32_t index = 0;
	cr_assert_eq(flow_table_open(table, request, &index), FLOW_MADE);
	return index;
}

static bool track_len(struct flow_table *table, uint32_t index, uint8_t flags, uint32_t seq,
		      uint32_t ack, uint32_t len)
{
	struct frame_view view = {
		.l3 = 14,
		.l4 = 34,
		.payload = 54,
		.frame_len = 54 + len,
		.tcp_flags = flags,
		.seq = seq,
		.ack = ack,
	};
	return flow_table_track(table, index, FROM_CLIENT, &view);
}

static bool track(struct flow_table *table, uint32_t index, uint8_t flags, uint32_t seq,
		  uint32_t ack)
{
	return track_len(table, index, flags, seq, ack, 0);
}

static uint32_t open_syn(struct flow_table *table, unsigned client)
{
	struct flow_request request = request_of(client);
	uint32_t index = open_request(table, &request);
	track(table, index, S, CLIENT_ISN, 0);
	return index;
}

static uint32_t open_established(struct flow_table *table, unsigned client)
{
	uint32_t index = open_syn(table, client);
	track(table, index, A, C1, B1);
	cr_assert_eq(table->flows[index].state, FLOW_ESTABLISHED);
	return index;
}

// As a segment in mid-connection makes it, and passes through it.
static uint32_t pick_up(struct flow_table *table, unsigned client)
{
	struct flow_request request = request_of(client);
	request.seq = C1;
	request.ack = B1;
	request.is_picked_up = true;
	uint32_t index = open_request(table, &request);
	track(table, index, A, C1, B1);
	return index;
}

static uint32_t open_udp(struct flow_table *table, unsigned client)
{
	struct flow_request request = request_of(client);
	request.proto = IPPROTO_UDP;
	uint32_t index = open_request(table, &request);
	track_len(table, index, 0, 0, 0, 10);
	return index;
}

static bool is_there(const struct flow_table *table, unsigned client)
{
	struct flow_request request = request_of(client);
	struct endpoint endpoint = {request.client, request.client_port_be, IPPROTO_TCP, 0};
	return flow_table_find(table, &endpoint, 0, request.hash) != 0;
}

Test(one_sided, no_port_is_taken)
{
	struct flow_table *table = make_table();
	uint32_t index = open_syn(table, 1);
	cr_expect_eq(table->flows[index].nat_port, 0);
	cr_expect(is_there(table, 1));
	flow_table_end(table, index, FLOW_RENEWED);
	cr_expect_not(is_there(table, 1));
	cr_expect_eq(table->n_flows, 0);
	flow_table_destroy(table);
}

Test(one_sided, the_handshakes_end_makes_a_flow_live)
{
	struct flow_table *table = make_table();
	uint32_t index = open_syn(table, 1);
	const struct flow *flow = &table->flows[index];
	cr_expect_eq(flow->class, CLASS_HALF_OPEN);
	cr_expect_not(track(table, index, A, C1 + FAR, B1), "not the number after the SYN");
	cr_expect_eq(flow->class, CLASS_HALF_OPEN);
	cr_expect(track(table, index, A, C1, B1));
	cr_expect_eq(flow->state, FLOW_ESTABLISHED);
	cr_expect_eq(flow->backend_next, B1, "what a reset must be numbered with");
	flow_table_destroy(table);
}

Test(one_sided, the_handshakes_last_segment_may_be_lost_and_its_data_comes_first)
{
	struct flow_table *table = make_table();
	uint32_t index = open_syn(table, 1);
	cr_expect(track_len(table, index, A, C1, B1, 100));
	cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED);
	cr_expect_eq(table->flows[index].client_next, C1 + 100);
	flow_table_destroy(table);
}

Test(one_sided, another_SYN_may_begin_the_handshake_again)
{
	struct flow_table *table = make_table();
	uint32_t index = open_syn(table, 1);
	uint32_t lower = CLIENT_ISN - FAR;
	cr_expect(track(table, index, S, lower, 0));
	cr_expect(track(table, index, A, lower + 1, B1));
	cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED);
	cr_expect(track(table, index, FA, lower + 1, B1));
	cr_expect_eq(table->flows[index].class, CLASS_FINISHED, "the first one was given up");
	flow_table_destroy(table);
}

Test(one_sided, an_invented_SYN_does_not_touch_a_handshake)
{
	struct flow_table *table = make_table();
	uint32_t index = open_syn(table, 1);
	uint32_t invented = CLIENT_ISN + FAR;
	track(table, index, S, invented, 0);
	cr_expect(track(table, index, A, C1, B1));
	cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED);

	index = open_syn(table, 2);
	track(table, index, S, invented, 0);
	track(table, index, A, invented + 1, B1 + FAR);
	track(table, index, R, invented + 1, 0);
	cr_expect(track(table, index, A, C1, B1));
	cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED);
	flow_table_destroy(table);
}

Test(one_sided, a_SYN_with_data_is_acknowledged_with_or_without_it)
{
	struct flow_table *table = make_table();
	for (unsigned i = 0; i < 2; i++) {
		struct flow_request request = request_of(i);
		uint32_t index = open_request(table, &request);
		track_len(table, index, S, CLIENT_ISN, 0, 500);
		cr_expect(track_len(table, index, A, C1 + 500 * i, B1, 10));
		cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED);
		cr_expect_eq(table->flows[index].marks, 0);
	}
	flow_table_destroy(table);
}

Test(one_sided, a_SYN_and_an_acknowledgement_together_open_nothing)
{
	struct flow_table *table = make_table();
	uint32_t index = open_syn(table, 1);
	cr_expect_not(track(table, index, SA, C1 + FAR, B1));
	cr_expect_eq(table->flows[index].client_next, C1);
	flow_table_destroy(table);
}

Test(one_sided, in_mid_connection_a_flow_is_live_once_it_goes_on)
{
	struct flow_table *table = make_table();
	static const struct {
		uint32_t seq, ack, len;
		enum flow_state then;
	} cases[] = {
		{C1, B1, 0, FLOW_PICKED_UP},             // the same again
		{C1 - 100, B1, 100, FLOW_PICKED_UP},     // a retransmission
		{C1, B1, 1, FLOW_ESTABLISHED},           // data
		{C1, B1 + 1, 0, FLOW_ESTABLISHED},       // an acknowledgement
		{C1 + FAR, B1 + FAR, 1, FLOW_PICKED_UP}, // of another connection
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t index = pick_up(table, i);
		cr_expect_eq(table->flows[index].state, FLOW_PICKED_UP);
		track_len(table, index, A, cases[i].seq, cases[i].ack, cases[i].len);
		cr_expect_eq(table->flows[index].state, cases[i].then, "case %u", i);
	}
	flow_table_destroy(table);
}

Test(one_sided, a_flood_in_mid_connection_fills_a_quarter_and_displaces_nobody_live)
{
	struct flow_table *table = make_table();
	for (unsigned i = 0; i < CAPACITY / 2; i++)
		open_established(table, i);
	for (unsigned i = 0; i < 10 * CAPACITY; i++)
		pick_up(table, 1000 + i);
	cr_expect_eq(table->n_half_open, CAPACITY / 4);
	cr_expect_eq(table->n_flows, CAPACITY / 2 + CAPACITY / 4);
	for (unsigned i = 0; i < CAPACITY / 2; i++)
		cr_expect(is_there(table, i));
	flow_table_destroy(table);
}

Test(one_sided, with_nothing_but_live_flows_the_table_is_full)
{
	struct flow_table *table = make_table();
	struct flow_request request = request_of(CAPACITY);
	uint32_t index = 77;
	for (unsigned i = 0; i < CAPACITY; i++)
		open_established(table, i);
	cr_expect_eq(flow_table_open(table, &request, &index), FLOW_TABLE_FULL);
	cr_expect_eq(index, 77);
	flow_table_destroy(table);
}

Test(one_sided, a_client_that_closes_is_finished_and_one_that_goes_on_reading_is_not)
{
	struct flow_table *table = make_table();
	uint32_t index = open_established(table, 1);
	const struct flow *flow = &table->flows[index];
	track(table, index, FA, C1, B1);
	cr_expect_eq(flow->class, CLASS_FINISHED);
	track(table, index, A, C1 + 1, B1 + 1);
	cr_expect_eq(flow->class, CLASS_FINISHED, "the backend's FIN");
	track(table, index, A, C1 + 1, B1 + 2001);
	cr_expect_eq(flow->state, FLOW_FIN_WAIT);
	cr_expect_eq(flow->class, CLASS_LIVE);
	track(table, index, FA, C1, B1 + 2001);
	cr_expect_eq(flow->class, CLASS_LIVE, "a FIN that has been there before");
	flow_table_destroy(table);
}

Test(one_sided, only_a_number_near_the_clients_resets)
{
	struct flow_table *table = make_table();
	uint32_t index = open_established(table, 1);
	cr_expect_not(track(table, index, R, C1 + FAR, 0));
	cr_expect_not(track(table, index, R, B1 + FAR, B1), "what it acknowledges does not count");
	cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED);
	cr_expect(track(table, index, R, C1, 0));
	cr_expect_eq(table->flows[index].state, FLOW_RESET);
	flow_table_destroy(table);
}

Test(one_sided, a_client_that_speaks_on_has_not_reset)
{
	struct flow_table *table = make_table();
	uint32_t index = open_established(table, 1);
	track(table, index, R, C1, 0);
	cr_expect(track_len(table, index, A, C1, B1, 5));
	cr_expect_eq(table->flows[index].state, FLOW_ESTABLISHED);
	cr_expect_eq(table->flows[index].marks, 0);
	flow_table_destroy(table);
}

Test(one_sided, an_invented_SYN_does_not_touch_a_live_flow)
{
	struct flow_table *table = make_table();
	uint32_t index = open_established(table, 1);
	const struct flow *flow = &table->flows[index];
	cr_expect_not(track(table, index, S, CLIENT_ISN + FAR, 0));
	cr_expect_eq(flow->state, FLOW_ESTABLISHED);
	cr_expect_eq(flow->client_next, C1);
	cr_expect(track_len(table, index, A, C1, B1, 5), "the client goes on as before");
	cr_expect_eq(flow->client_next, C1 + 5);
	flow_table_destroy(table);
}

// The backend may have reset the connection before: that was not seen.
Test(one_sided, a_SYN_that_the_client_goes_on_from_is_a_new_connection)
{
	struct flow_table *table = make_table();
	uint32_t index = open_established(table, 1);
	const struct flow *flow = &table->flows[index];
	uint32_t anew = CLIENT_ISN - FAR;
	track(table, index, S, anew, 0);
	cr_expect_not(track(table, index, A, anew + 7, B1 + FAR), "it does not go on from there");
	cr_expect(track(table, index, A, anew + 1, B1 + FAR));
	cr_expect_eq(flow->state, FLOW_ESTABLISHED);
	cr_expect_eq(flow->client_next, anew + 1);
	cr_expect_eq(flow->backend_next, (uint32_t)B1 + FAR);
	cr_expect_not(track(table, index, A, C1 + FAR / 2, B1 + FAR / 2), "of neither");
	track(table, index, R, C1, 0);
	cr_expect_eq(flow->state, FLOW_ESTABLISHED, "the end of the old one, late");
	cr_expect_eq(flow->client_next, anew + 1);
	cr_expect_eq(flow->marks, 0);
	track(table, index, FA, anew + 1, B1 + FAR);
	cr_expect_eq(flow->class, CLASS_FINISHED);
	flow_table_destroy(table);
}

// Somebody who sees nothing plays a whole connection with numbers of his own, and ends it.
Test(one_sided, an_invented_connection_does_not_end_a_live_flow)
{
	struct flow_table *table = make_table();
	static const uint8_t ends[] = {R, FA, R | A};
	uint32_t anew = CLIENT_ISN + FAR;
	for (unsigned i = 0; i < sizeof(ends); i++) {
		uint32_t index = open_established(table, i);
		const struct flow *flow = &table->flows[index];
		track(table, index, S, anew, 0);
		track(table, index, A, anew + 1, B1 + FAR);
		track(table, index, S, anew + FAR, 0); // nor by a third one
		track(table, index, A, anew + FAR + 1, B1 - FAR);
		track(table, index, ends[i], anew + 1, B1 + FAR);
		cr_expect_eq(flow->class, CLASS_LIVE, "end %u", i);
		cr_expect(track_len(table, index, A, C1, B1, 5), "the client goes on");
		cr_expect_eq(flow->state, FLOW_ESTABLISHED);
		cr_expect_eq(flow->client_next, C1 + 5);
		track(table, index, R, C1 + 5, 0);
		cr_expect_eq(flow->state, FLOW_RESET, "and ends it");
	}
	flow_table_destroy(table);
}

Test(one_sided, both_of_two_connections_keep_a_flow_alive)
{
	struct flow_table *table = make_table();
	uint32_t index = open_established(table, 1);
	const struct flow *flow = &table->flows[index];
	uint32_t anew = CLIENT_ISN + FAR;
	track(table, index, S, anew, 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect(track(table, index, A, anew + 1, B1 + FAR));
		cr_expect(track(table, index, A, C1 + i, B1));
	}
	cr_expect_eq(flow->client_next, C1 + 2);
	cr_expect_eq(flow->state, FLOW_ESTABLISHED);
	flow_table_destroy(table);
}

Test(one_sided, a_client_that_reads_on_keeps_its_flow_from_an_invented_SYN)
{
	struct flow_table *table = make_table();
	uint32_t index = open_established(table, 1);
	const struct flow *flow = &table->flows[index];
	track(table, index, FA, C1, B1);
	cr_expect_eq(flow->class, CLASS_FINISHED);
	flow_table_reopen(table, index, CLIENT_ISN + FAR);
	track(table, index, S, CLIENT_ISN + FAR, 0);
	cr_expect(track(table, index, A, C1 + 1, B1 + 3000));
	cr_expect_eq(flow->class, CLASS_LIVE);
	cr_expect_eq(flow->client_next, C1 + 1);
	flow_table_destroy(table);
}

Test(one_sided, a_port_used_again_ends_like_any_other)
{
	struct flow_table *table = make_table();
	uint32_t index = open_established(table, 1);
	const struct flow *flow = &table->flows[index];
	uint32_t isn = CLIENT_ISN;
	for (unsigned i = 0; i < 5; i++) {
		track(table, index, i % 2 ? R : FA, isn + 1, B1);
		cr_expect_eq(flow->class, CLASS_FINISHED, "connection %u", i);
		isn += FAR;
		flow_table_reopen(table, index, isn);
		track(table, index, S, isn, 0);
		cr_expect(track(table, index, A, isn + 1, B1));
		cr_expect_eq(flow->state, FLOW_ESTABLISHED);
	}
	flow_table_destroy(table);
}

Test(one_sided, numbers_catch_up_when_what_is_acknowledged_is_near)
{
	struct flow_table *table = make_table();
	uint32_t index = open_established(table, 1);
	cr_expect(track_len(table, index, A, C1 + FAR, B1 + 100, 50));
	cr_expect_eq(table->flows[index].client_next, (uint32_t)C1 + FAR + 50);
	flow_table_destroy(table);
}

Test(one_sided, UDP_is_live_once_the_client_speaks_in_a_later_second)
{
	struct flow_table *table = make_table();
	uint32_t index = open_udp(table, 1);
	for (int i = 0; i < 5; i++)
		track_len(table, index, 0, 0, 0, 10);
	cr_expect_eq(table->flows[index].class, CLASS_HALF_OPEN);
	flow_table_expire(table, START + 1, PLENTY);
	track_len(table, index, 0, 0, 0, 10);
	cr_expect_eq(table->flows[index].state, FLOW_UDP);
	cr_expect_eq(table->flows[index].class, CLASS_LIVE);
	flow_table_destroy(table);
}

Test(one_sided, each_state_has_its_own_time_to_live)
{
	struct flow_table *table = make_table();
	uint32_t index;
	open_syn(table, 1);
	pick_up(table, 2);
	index = open_established(table, 3);
	track(table, index, FA, C1, B1);
	index = open_established(table, 4);
	track(table, index, R, C1, B1);
	open_udp(table, 5);
	static const uint32_t seconds[] = {SYN_S, PICKED_UP_S, CLOSED_S, RESET_S, UDP_S};
	for (uint32_t now = 1; now <= CLOSED_S; now++) {
		flow_table_expire(table, START + now, PLENTY);
		for (unsigned i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
			cr_expect_eq(is_there(table, i + 1), now < seconds[i], "flow %u, second %u",
				     i + 1, now);
	}
	cr_expect_eq(table->n_flows, 0);
	flow_table_destroy(table);
}

Test(one_sided, packets_without_a_flow_are_counted)
{
	struct flow_table *table = make_table();
	struct frame_view view = {.l3 = 14, .frame_len = 114};
	flow_table_count(table, FROM_CLIENT, 0, 1, &view);
	cr_expect_eq(counter_read(&table->frontends[0].packets_tx), 1);
	cr_expect_eq(counter_read(&table->frontends[0].bytes_tx), 100);
	cr_expect_eq(counter_read(&table->backends[1].bytes_tx), 100);
	cr_expect_eq(counter_read(&table->frontends[0].flows_opened), 0);
	flow_table_destroy(table);
}
