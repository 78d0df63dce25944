// SPDX-License-Identifier: Apache-2.0
// A small flow table, and segments that lead its flows through their states. What goes wrong fails
// the test.
#pragma once

#include "culvert/flow/flow_table.h"

enum {
	N_PORTS = 8, // of each of two source addresses, for each of two backends
	PLENTY = 100000,
	START = 1000, // what the table's clock shows at first
	CLIENT_ISN = 1000,
	BACKEND_ISN = 0x90000000,
};

// What segments carry.
enum {
	S = TCP_FLAG_SYN,
	A = TCP_FLAG_ACK,
	SA = TCP_FLAG_SYN | TCP_FLAG_ACK,
	FA = TCP_FLAG_FIN | TCP_FLAG_ACK,
	R = TCP_FLAG_RST,
	RA = TCP_FLAG_RST | TCP_FLAG_ACK,
	C1 = CLIENT_ISN + 1, // the first number after each SYN
};
static const uint32_t B1 = BACKEND_ISN + 1U;

enum { FLOW_LAB_SEGMENTS = 6 };

struct segment {
	enum flow_dir dir;
	uint8_t flags; // 0: there is none
	uint32_t seq;
	uint32_t ack;
	uint32_t len;
};

// 100 flows, and a time to live of its own for each state.
extern const struct flow_table_params flow_lab_params;

struct flow_table *flow_lab_make(const struct flow_table_params *params);

// Each number of a client is an address of its own.
struct flow_request flow_lab_request(unsigned client, uint8_t proto);
uint32_t flow_lab_open(struct flow_table *table, unsigned client, uint8_t proto);
uint32_t flow_lab_open_established(struct flow_table *table, unsigned client);
// The client's flow by TCP through the first frontend, or 0.
uint32_t flow_lab_find(const struct flow_table *table, unsigned client);

void flow_lab_track(struct flow_table *table, uint32_t index, struct segment segment);
void flow_lab_track_all(struct flow_table *table, uint32_t index,
			const struct segment segments[FLOW_LAB_SEGMENTS]);
