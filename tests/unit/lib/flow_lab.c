// SPDX-License-Identifier: Apache-2.0
#include "flow_lab.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>

enum { N_SNATS = 2, N_ENDPOINTS = 2 };

const struct flow_table_params flow_lab_params = {
	.capacity = 100,
	.n_frontends = 2,
	.n_backends = 2,
	.n_pools = N_ENDPOINTS * N_SNATS,
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

struct flow_table *flow_lab_make(const struct flow_table_params *params)
{
	struct flow_table *table = NULL;
	struct err err = {0};
	cr_assert_eq(flow_table_create(&table, params, &err), 0, "%s", err.message);
	flow_table_expire(table, START, PLENTY);
	return table;
}

struct flow_request flow_lab_request(unsigned client, uint8_t proto)
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

uint32_t flow_lab_open(struct flow_table *table, unsigned client, uint8_t proto)
{
	struct flow_request request = flow_lab_request(client, proto);
	uint32_t index = 0;
	cr_assert_eq(flow_table_open(table, &request, &index), FLOW_MADE);
	return index;
}

void flow_lab_track(struct flow_table *table, uint32_t index, struct segment segment)
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

void flow_lab_track_all(struct flow_table *table, uint32_t index,
			const struct segment segments[FLOW_LAB_SEGMENTS])
{
	for (size_t i = 0; i < FLOW_LAB_SEGMENTS; i++) {
		if (segments[i].flags)
			flow_lab_track(table, index, segments[i]);
	}
}

uint32_t flow_lab_open_established(struct flow_table *table, unsigned client)
{
	uint32_t index = flow_lab_open(table, client, IPPROTO_TCP);
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, S, CLIENT_ISN, 0, 0});
	flow_lab_track(table, index, (struct segment){FROM_BACKEND, SA, BACKEND_ISN, C1, 0});
	flow_lab_track(table, index, (struct segment){FROM_CLIENT, A, C1, B1, 0});
	cr_assert_eq(table->flows[index].state, FLOW_ESTABLISHED);
	return index;
}

uint32_t flow_lab_find(const struct flow_table *table, unsigned client)
{
	struct flow_request request = flow_lab_request(client, IPPROTO_TCP);
	struct endpoint endpoint = {request.client, request.client_port_be, IPPROTO_TCP, 0};
	return flow_table_find(table, &endpoint, 0, request.hash);
}
