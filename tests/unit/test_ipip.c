// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/ipip.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "../support/lib/frame.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { IP_AT = 14, LOCAL = 0x0a020001, BACKEND = 0x0a020015, DONT_FRAGMENT = 0x4000 };

Test(ipip, the_outer_header_is_that_of_a_packet_built_from_nothing)
{
	static const struct {
		uint16_t id;
		uint16_t fragment; // of the inner header
		uint8_t tos;
		uint32_t len;
		uint16_t outer_id;
	} cases[] = {
		{7, DONT_FRAGMENT, 0, 0, 0},
		{7, 0, 0, 100, 7},
		{0xffff, 0x2000 | 9, 0xff, 1440, 0xffff},
		{0, DONT_FRAGMENT, 3, 60000, 0},
		{1, 0, 0xb8, 65440, 1},
	};
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct virtio_net_hdr vnet;
		struct frame_spec inner = {
			.src = frame_v4(0x0a01000b),
			.dst = frame_v4(0x0a010064),
			.proto = IPPROTO_TCP,
			.ttl = 9,
			.tos = cases[i].tos,
			.id = 77,
			.fragment = cases[i].fragment,
			.payload_len = cases[i].len,
		};
		struct frame_spec outer = {
			.src = frame_v4(LOCAL),
			.dst = frame_v4(BACKEND),
			.proto = IPPROTO_IPIP,
			.ttl = 64,
			.tos = cases[i].tos,
			.id = cases[i].outer_id,
			.fragment = cases[i].fragment & DONT_FRAGMENT,
			.quoted = &inner,
		};
		struct ipip_tunnel tunnel = {
			.src = ip_addr_from_v4(htonl(LOCAL)),
			.dst = ip_addr_from_v4(htonl(BACKEND)),
			.id = cases[i].id,
		};
		uint8_t header[IPIP_HEADER_LEN];
		uint32_t len = frame_build(&inner, frame, &vnet);
		ipip_write_header(header, &tunnel, frame + IP_AT, len - IP_AT);
		frame_build(&outer, expected, &vnet);
		cr_expect_arr_eq(header, expected + IP_AT, IPIP_HEADER_LEN, "case %zu", i);
	}
}
