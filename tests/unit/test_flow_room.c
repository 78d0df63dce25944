// SPDX-License-Identifier: Apache-2.0
// Where ports or entries run short: who makes way, and who is refused.
#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "lib/flow_lab.h"

Test(flow_room, defect_07_a_live_flow_keeps_its_port_and_the_next_is_refused)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	for (unsigned i = 0; i < N_PORTS; i++)
		flow_lab_open_established(table, i);
	struct flow_request request = flow_lab_request(99, IPPROTO_TCP);
	uint32_t index = 77;
	cr_expect_eq(flow_table_open(table, &request, &index), FLOW_NO_NAT_PORT);
	cr_expect_eq(index, 77, "untouched on failure");
	for (unsigned i = 0; i < N_PORTS; i++)
		cr_expect_neq(flow_lab_find(table, i), 0);
	// The other source address has ports, for those who may use it.
	request.snat_mask = 3;
	cr_expect_eq(flow_table_open(table, &request, &index), FLOW_MADE);
	cr_expect_eq(table->flows[index].snat, 1);
	flow_table_destroy(table);
}

Test(flow_room, without_a_source_address_there_is_no_port)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	struct flow_request request = flow_lab_request(1, IPPROTO_TCP);
	uint32_t index;
	request.snat_mask = 0;
	cr_expect_eq(flow_table_open(table, &request, &index), FLOW_NO_NAT_PORT);
	flow_table_destroy(table);
}

Test(flow_room, a_client_keeps_its_source_address_while_that_has_ports)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	struct flow_request request = flow_lab_request(1, IPPROTO_TCP);
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

Test(flow_room, a_full_table_refuses_and_says_so)
{
	struct flow_table_params small = flow_lab_params;
	small.capacity = 5;
	struct flow_table *table = flow_lab_make(&small);
	for (unsigned i = 0; i < 5; i++)
		flow_lab_open_established(table, i);
	struct flow_request request = flow_lab_request(99, IPPROTO_TCP);
	uint32_t index;
	cr_expect_eq(flow_table_open(table, &request, &index), FLOW_TABLE_FULL);
	cr_expect_eq(table->n_flows, 5);
	for (unsigned i = 0; i < 5; i++)
		cr_expect_neq(flow_lab_find(table, i), 0, "flow %u was live", i);
	flow_table_destroy(table);
}

Test(flow_room, defect_11_half_open_flows_take_a_quarter_of_the_table_at_most)
{
	struct flow_table_params wide = flow_lab_params;
	wide.n_ports = 1000;
	struct flow_table *table = flow_lab_make(&wide);
	uint32_t live = flow_lab_open_established(table, 1);
	for (unsigned i = 100; i < 1000; i++) {
		flow_lab_open(table, i, IPPROTO_TCP);
		cr_assert_leq(table->n_half_open, wide.capacity / 4);
	}
	cr_expect_eq(table->n_half_open, wide.capacity / 4);
	cr_expect_eq(flow_lab_find(table, 1), live);
	cr_expect_eq(flow_lab_find(table, 100), 0, "those that waited longest made way");
	cr_expect_neq(flow_lab_find(table, 999), 0);
	cr_expect_eq(counter_read(&table->reclaimed), 900 - 25);
	flow_table_destroy(table);
}

Test(flow_room, defect_11_half_open_flows_take_about_half_of_the_ports_at_most)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	for (unsigned i = 0; i < 100; i++)
		flow_lab_open(table, i, IPPROTO_TCP);
	cr_expect_leq(table->pools[0].lists[CLASS_HALF_OPEN].count, N_PORTS / 2 + 1);
	cr_expect_geq(table->pools[0].n_free, N_PORTS / 2 - 1);
	flow_table_destroy(table);
}

Test(flow_room, a_finished_flow_makes_way_before_a_half_open_one)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	unsigned client = 0;
	uint32_t finished = flow_lab_open_established(table, client++);
	while (table->pools[0].n_free > 1)
		flow_lab_open_established(table, client++);
	flow_lab_open(table, 50, IPPROTO_TCP);
	flow_lab_track(table, finished, (struct segment){FROM_CLIENT, R, C1, 0, 0});
	cr_assert_eq(table->pools[0].n_free, 0);
	flow_lab_open(table, 51, IPPROTO_TCP);
	cr_expect_eq(flow_lab_find(table, 0), 0, "the finished one is gone");
	cr_expect_neq(flow_lab_find(table, 50), 0, "the half-open one waits on");
	flow_lab_open(table, 52, IPPROTO_TCP);
	cr_expect_eq(flow_lab_find(table, 50), 0);
	flow_table_destroy(table);
}

// A backend still in TIME_WAIT takes a SYN only with a number beyond the last it has seen.
Test(flow_room, of_the_finished_flows_one_goes_whose_port_the_backend_will_accept)
{
	struct flow_table *table = flow_lab_make(&flow_lab_params);
	uint32_t indexes[N_PORTS];
	for (unsigned i = 0; i < N_PORTS; i++) {
		indexes[i] = flow_lab_open_established(table, i);
		// The third one has sent least.
		uint32_t len = i == 2 ? 1 : 100000;
		flow_lab_track(table, indexes[i], (struct segment){FROM_CLIENT, A, C1, B1, len});
		flow_lab_track(table, indexes[i], (struct segment){FROM_CLIENT, R, C1 + len, 0, 0});
		cr_assert_eq(table->flows[indexes[i]].state, FLOW_RESET);
	}
	uint16_t port = table->flows[indexes[2]].nat_port;
	struct flow_request request = flow_lab_request(99, IPPROTO_TCP);
	uint32_t index;
	request.seq = C1 + 5000;
	cr_assert_eq(flow_table_open(table, &request, &index), FLOW_MADE);
	cr_expect_eq(table->flows[index].nat_port, port);
	flow_table_destroy(table);
}

Test(flow_room, the_least_table_holds_one_flow)
{
	struct flow_table_params least = flow_lab_params;
	least.capacity = 1;
	least.n_ports = 1;
	struct flow_table *table = flow_lab_make(&least);
	flow_lab_open(table, 1, IPPROTO_TCP);
	flow_lab_open(table, 2, IPPROTO_TCP);
	cr_expect_eq(flow_lab_find(table, 1), 0);
	cr_expect_neq(flow_lab_find(table, 2), 0);
	flow_table_destroy(table);
}
