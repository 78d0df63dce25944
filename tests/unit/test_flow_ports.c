// SPDX-License-Identifier: Apache-2.0
// Which NAT port a new flow gets, with a thought for backends that are in TIME_WAIT.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "culvert/flow/flow_table.h"

enum { N_PORTS = 4, N_SNATS = 2, PLENTY = 100000, START = 1000, TIME_WAIT = 120, RESET = 10 };

static const struct flow_table_params ordinary = {
	.capacity = 100,
	.n_frontends = 1,
	.n_backends = 1,
	.n_pools = N_SNATS,
	.first_port = 40000,
	.n_ports = N_PORTS,
	.secret = 1,
	.timeouts =
		{
			[FLOW_SYN_SENT] = 120,
			[FLOW_SYN_RECEIVED] = 60,
			[FLOW_ESTABLISHED] = 7440,
			[FLOW_FIN_WAIT] = 240,
			[FLOW_CLOSE_WAIT] = 240,
			[FLOW_LAST_ACK] = 240,
			[FLOW_TIME_WAIT] = TIME_WAIT,
			[FLOW_RESET] = RESET,
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
	flow_table_expire(table, START, PLENTY);
	return table;
}

static uint32_t open_from(struct flow_table *table, unsigned client, uint32_t seq, uint64_t snats)
{
	struct flow_request request = {
		.client = ip_addr_from_v4(htonl(0x0a010000 + client)),
		.client_port_be = htons(1000),
		.proto = IPPROTO_TCP,
		.hash = client * 2654435761U,
		.seq = seq,
		.snat_mask = snats,
	};
	uint32_t index = 0;
	cr_assert_eq(flow_table_open(table, &request, &index), FLOW_MADE);
	return index;
}

static void track(struct flow_table *table, uint32_t index, enum flow_dir dir, uint8_t flags,
		  uint32_t seq, uint32_t ack)
{
	struct frame_view view = {
		.l3 = 14,
		.l4 = 34,
		.payload = 54,
		.frame_len = 54,
		.tcp_flags = flags,
		.seq = seq,
		.ack = ack,
	};
	flow_table_track(table, index, dir, &view);
}

static void establish(struct flow_table *table, uint32_t index, uint32_t seq)
{
	track(table, index, FROM_CLIENT, TCP_FLAG_SYN, seq, 0);
	track(table, index, FROM_BACKEND, TCP_FLAG_SYN | TCP_FLAG_ACK, 70, seq + 1);
	track(table, index, FROM_CLIENT, TCP_FLAG_ACK, seq + 1, 71);
	cr_assert_eq(table->flows[index].state, FLOW_ESTABLISHED);
}

static void close_both(struct flow_table *table, uint32_t index, uint32_t seq)
{
	track(table, index, FROM_BACKEND, TCP_FLAG_FIN | TCP_FLAG_ACK, 71, seq);
	track(table, index, FROM_CLIENT, TCP_FLAG_FIN | TCP_FLAG_ACK, seq, 72);
	cr_assert_eq(table->flows[index].state, FLOW_LAST_ACK);
}

// A connection from the first SYN to TIME_WAIT; its port.
static uint16_t finish_one(struct flow_table *table, unsigned client, uint32_t seq, uint64_t snats)
{
	uint32_t index = open_from(table, client, seq, snats);
	establish(table, index, seq);
	close_both(table, index, seq + 1);
	track(table, index, FROM_BACKEND, TCP_FLAG_ACK, 72, seq + 2);
	cr_assert_eq(table->flows[index].state, FLOW_TIME_WAIT);
	return table->flows[index].nat_port;
}

static bool hides_timestamps(const struct flow_table *table, uint32_t index)
{
	return table->flows[index].marks & FLOW_HIDES_TIMESTAMPS;
}

Test(flow_ports, a_finished_flow_keeps_its_port_while_there_are_others)
{
	struct flow_table *table = make_table(&ordinary);
	uint16_t finished = finish_one(table, 1, 100, 1);
	for (unsigned i = 2; i <= N_PORTS; i++) {
		uint32_t index = open_from(table, i, 5000, 1);
		cr_expect_neq(table->flows[index].nat_port, finished);
		cr_expect_not(hides_timestamps(table, index));
		establish(table, index, 5000);
	}
	uint32_t last = open_from(table, 99, 5000, 1);
	cr_expect_eq(table->flows[last].nat_port, finished);
	cr_expect(hides_timestamps(table, last));
	cr_expect_eq(counter_read(&table->reclaimed), 1);
	flow_table_destroy(table);
}

Test(flow_ports, the_port_of_a_flow_that_is_gone_rests_while_there_are_others)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t index = open_from(table, 1, 100, 1);
	uint16_t port = table->flows[index].nat_port;
	establish(table, index, 100);
	track(table, index, FROM_CLIENT, TCP_FLAG_RST, 101, 0);
	flow_table_expire(table, START + RESET, PLENTY);
	cr_assert_eq(table->n_flows, 0);
	for (unsigned i = 2; i <= N_PORTS; i++) {
		index = open_from(table, i, 5000, 1);
		cr_expect_neq(table->flows[index].nat_port, port);
		establish(table, index, 5000);
	}
	cr_expect_eq(table->flows[open_from(table, 99, 5000, 1)].nat_port, port);
	flow_table_destroy(table);
}

// As long as a flow was idle in the table its port has rested.
Test(flow_ports, the_port_of_a_flow_that_has_timed_out_needs_no_rest)
{
	struct flow_table *table = make_table(&ordinary);
	finish_one(table, 1, 100, 1);
	flow_table_expire(table, START + TIME_WAIT, PLENTY);
	cr_assert_eq(table->n_flows, 0);
	cr_expect_eq(nat_pool_n_rested(&table->pools[0], table->now), N_PORTS);
	flow_table_destroy(table);
}

// A table that is full forgets finished flows early, and must not forget their ports with them.
Test(flow_ports, a_full_table_gives_new_flows_ports_that_have_rested)
{
	struct flow_table_params small = ordinary;
	small.capacity = 2;
	small.n_ports = 50;
	struct flow_table *table = make_table(&small);
	bool is_used[50] = {false};
	for (unsigned i = 0; i < small.n_ports; i++) {
		unsigned offset = finish_one(table, i, 100, 1) - small.first_port;
		cr_expect_not(is_used[offset], "port %u came twice", offset);
		is_used[offset] = true;
	}
	flow_table_destroy(table);
}

Test(flow_ports, none_has_rested_a_finished_connection_left_behind_gives_its_port)
{
	struct flow_table *table = make_table(&ordinary);
	uint16_t low = 0;
	for (unsigned i = 0; i < N_PORTS; i++) {
		uint16_t port = finish_one(table, i, i == 2 ? 100 : 1000000, 1);
		if (i == 2)
			low = port;
	}
	uint32_t index = open_from(table, 99, 5000, 1);
	cr_expect_eq(table->flows[index].nat_port, low);
	cr_expect(hides_timestamps(table, index));
	cr_expect_eq(flow_table_find_reply(table, 0, low), index);
	flow_table_destroy(table);
}

// Not beyond any: then the one that has waited longest goes, and timestamps are all that may help.
Test(flow_ports, a_connection_that_goes_beyond_none_keeps_its_timestamps)
{
	struct flow_table *table = make_table(&ordinary);
	uint16_t first = finish_one(table, 0, 1000000, 1);
	for (unsigned i = 1; i < N_PORTS; i++)
		finish_one(table, i, 1000000, 1);
	uint32_t index = open_from(table, 99, 5000, 1);
	cr_expect_eq(table->flows[index].nat_port, first);
	cr_expect_not(hides_timestamps(table, index));
	flow_table_destroy(table);
}

Test(flow_ports, a_finished_flow_that_has_waited_long_enough_costs_no_timestamps)
{
	struct flow_table *table = make_table(&ordinary);
	for (unsigned i = 0; i < N_PORTS; i++)
		finish_one(table, i, 100, 1);
	flow_table_expire(table, START + NAT_PORT_REST, PLENTY);
	cr_expect_not(hides_timestamps(table, open_from(table, 99, 5000, 1)));
	flow_table_destroy(table);
}

Test(flow_ports, another_source_address_with_a_rested_port_is_better_than_haste)
{
	struct flow_table *table = make_table(&ordinary);
	uint32_t first = open_from(table, 7, 100, 3);
	uint8_t own = table->flows[first].snat;
	establish(table, first, 100);
	for (unsigned i = 1; i < N_PORTS; i++)
		finish_one(table, 100 + i, 100, UINT64_C(1) << own);
	uint32_t second = open_from(table, 7 + 4096, 5000, 3);
	uint32_t third = open_from(table, 7 + 8192, 5000, 3);
	cr_expect_eq(table->flows[second].snat, !own);
	cr_expect_eq(table->flows[third].snat, !own);
	flow_table_destroy(table);
}

Test(flow_ports, a_new_SYN_keeps_the_port_if_the_backend_would_accept_it)
{
	static const struct {
		const char *name;
		enum flow_state state;
		uint32_t seq;
		bool can;
	} cases[] = {
		{"beyond TIME_WAIT", FLOW_TIME_WAIT, 103, true},
		{"what is expected in TIME_WAIT", FLOW_TIME_WAIT, 102, false},
		{"before TIME_WAIT", FLOW_TIME_WAIT, 50, false},
		{"far before TIME_WAIT", FLOW_TIME_WAIT, 0x80000067, false},
		{"beyond, but the last acknowledgement is missing", FLOW_LAST_ACK, 5000, false},
		{"after a reset", FLOW_RESET, 50, true},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow_table *table = make_table(&ordinary);
		uint32_t index = open_from(table, 1, 100, 1);
		establish(table, index, 100);
		close_both(table, index, 101);
		if (cases[i].state != FLOW_LAST_ACK)
			track(table, index, FROM_BACKEND, TCP_FLAG_ACK, 72, 102);
		if (cases[i].state == FLOW_RESET)
			track(table, index, FROM_CLIENT, TCP_FLAG_RST, 102, 0);
		cr_assert_eq(table->flows[index].state, cases[i].state);
		cr_expect_eq(flow_table_can_reopen(table, index, cases[i].seq), cases[i].can, "%s",
			     cases[i].name);
		for (unsigned port = 1; port < N_PORTS; port++)
			open_from(table, 10 + port, 5000, 1);
		cr_assert_eq(nat_pool_n_rested(&table->pools[0], table->now), 0);
		cr_expect(flow_table_can_reopen(table, index, cases[i].seq),
			  "%s: there is no better one", cases[i].name);
		flow_table_destroy(table);
	}
}

// ---- source addresses and memory
// -----------------------------------------------------------------

Test(flow_ports, clients_are_spread_over_the_addresses_that_may_be_used_and_keep_theirs)
{
	enum { N_CLIENTS = 3000, N_POOLS = 64, LEAST = N_CLIENTS / 64 / 2 };
	const uint64_t masks[] = {UINT64_C(1) << 63, 1, UINT64_C(1) << 63 | 1 << 5 | 1, UINT64_MAX};
	for (size_t m = 0; m < sizeof(masks) / sizeof(*masks); m++) {
		struct flow_table_params params = ordinary;
		uint32_t count[N_POOLS] = {0};
		params.capacity = 4 * 2 * N_CLIENTS;
		params.n_pools = N_POOLS;
		params.n_ports = 4 * N_CLIENTS;
		struct flow_table *table = make_table(&params);
		for (unsigned client = 0; client < N_CLIENTS; client++) {
			uint32_t first = open_from(table, client, 1, masks[m]);
			uint32_t second = open_from(table, client, 1, masks[m]);
			cr_assert_eq(table->flows[first].snat, table->flows[second].snat);
			count[table->flows[first].snat]++;
		}
		for (unsigned snat = 0; snat < N_POOLS; snat++) {
			if (masks[m] >> snat & 1)
				cr_expect_geq(count[snat], LEAST, "mask %zu, address %u: %u", m,
					      snat, count[snat]);
			else
				cr_expect_eq(count[snat], 0, "mask %zu, address %u", m, snat);
		}
		flow_table_destroy(table);
	}
}

static size_t resident_bytes(void)
{
	char line[128];
	FILE *statm = fopen("/proc/self/statm", "re"); // in pages: the whole, and what is resident
	cr_assert(statm && fgets(line, sizeof(line), statm));
	fclose(statm);
	return strtoul(strchr(line, ' '), NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

// Room for a million flows towards 256 backends: the index is there from the start, entries and
// ports are when they are used.
Test(flow_ports, a_large_table_takes_memory_as_its_flows_come)
{
	enum { N_FLOWS = 2560, MOST = 24 << 20 };
	struct flow_table_params params = ordinary;
	params.capacity = 1000000;
	params.n_pools = 256;
	params.n_ports = 27233;
	struct flow_table *table = make_table(&params);
	size_t before = resident_bytes();
	for (uint32_t i = 0; i < N_FLOWS; i++) {
		struct flow_request request = {
			.client = ip_addr_from_v4(htonl(0x0a010000 + i)),
			.hash = i * 2654435761U,
			.first_pool = i % params.n_pools,
			.snat_mask = 1,
		};
		uint32_t index = 0;
		cr_assert_eq(flow_table_open(table, &request, &index), FLOW_MADE);
	}
	size_t grown = resident_bytes() - before;
	cr_expect_leq(grown, (size_t)MOST, "%zu bytes", grown);
	flow_table_destroy(table);
}
