// SPDX-License-Identifier: Apache-2.0
// Every rewritten frame is compared with one that was built from nothing for the new endpoints.
#include "culvert/net/rewrite.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>

#include "../support/lib/frame.h"
#include "culvert/net/checksum.h"

enum { N_ROUNDS = 20000 };

static uint32_t random32(void)
{
	return (uint32_t)rand() << 17 ^ (uint32_t)rand();
}

// A source that a packet can have: 1.0.0.0 to 126.255.255.255.
static uint32_t random_addr(void)
{
	return 0x01000000 + random32() % 0x7e000000;
}

static struct endpoint endpoint_of(uint32_t addr, uint16_t port, uint8_t proto)
{
	return (struct endpoint){
		.addr = ip_addr_from_v4(htonl(addr)),
		.port_be = htons(port),
		.proto = proto,
	};
}

static struct frame_spec random_spec(void)
{
	struct frame_spec spec = {
		.src = random_addr(),
		.dst = random_addr() ^ 1,
		.proto = rand() % 2 ? IPPROTO_TCP : IPPROTO_UDP,
		.ttl = (uint8_t)(2 + rand() % 254),
		.tos = (uint8_t)rand(),
		.id = (uint16_t)rand(),
		.src_port = (uint16_t)(1 + rand() % 65535),
		.dst_port = (uint16_t)rand(),
		.sum = (enum frame_sum)(rand() % 4),
		.payload_len = (uint32_t)(rand() % 50),
		.seq = random32(),
		.ack = random32(),
		.flags = TCP_FLAG_ACK,
		.window = (uint16_t)rand(),
		.padding = (uint32_t)(rand() % 7),
	};
	spec.ip_options.len = (uint8_t)(rand() % 3 * 4);
	memset(spec.ip_options.bytes, 1, sizeof(spec.ip_options.bytes));
	if (spec.proto == IPPROTO_TCP && spec.sum == SUM_NONE)
		spec.sum = SUM_RIGHT;
	return spec;
}

static void rewrite_to(uint8_t *frame, uint32_t len, const struct frame_spec *to, bool is_partial)
{
	struct frame_view view;
	cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
	struct endpoint src = endpoint_of(to->src, to->src_port, to->proto);
	struct endpoint dst = endpoint_of(to->dst, to->dst_port, to->proto);
	struct rewrite rewrite = {.src = &src, .dst = &dst};
	rewrite_deltas(&view.src, &view.dst, &src, &dst, &rewrite.addr_delta, &rewrite.port_delta);
	rewrite_packet(frame, &view, &rewrite, is_partial);
}

Test(rewrite, equals_a_frame_built_for_the_new_endpoints)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(1);
	for (int i = 0; i < N_ROUNDS; i++) {
		struct frame_spec spec = random_spec();
		struct frame_spec to = spec;
		struct virtio_net_hdr vnet;
		char why[200];
		to.src = random_addr();
		to.dst = random_addr() ^ 1;
		to.src_port = (uint16_t)rand();
		to.dst_port = (uint16_t)rand();
		to.ttl--;
		uint32_t len = frame_build(&spec, frame, &vnet);
		uint32_t expected_len = frame_build(&to, expected, &vnet);
		rewrite_to(frame, len, &to, spec.sum == SUM_PARTIAL);
		cr_assert_null(frame_difference(expected, expected_len, frame, len, why,
						sizeof(why)),
			       "round %d, sum %d: %s", i, spec.sum, why);
	}
}

// Of all ports, the one that makes the checksum come out as 0.
Test(rewrite, the_time_to_live_alone)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(4);
	for (int i = 0; i < N_ROUNDS; i++) {
		struct virtio_net_hdr vnet;
		struct frame_view view;
		struct frame_spec spec = random_spec();
		uint32_t len = frame_build(&spec, frame, &vnet);
		cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK, "round %d", i);
		rewrite_ttl(frame, &view);
		spec.ttl--;
		frame_build(&spec, expected, &vnet);
		cr_assert_arr_eq(frame, expected, len, "round %d", i);
	}
}

Test(rewrite, a_UDP_checksum_never_becomes_none)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	struct frame_spec spec = {
		.src = 0x0a000001,
		.dst = 0x0a000002,
		.proto = IPPROTO_UDP,
		.ttl = 9,
		.src_port = 1,
		.dst_port = 2,
	};
	unsigned n_ones = 0;
	for (uint32_t port = 0; port <= UINT16_MAX; port++) {
		struct frame_spec to = spec;
		struct virtio_net_hdr vnet;
		to.dst_port = (uint16_t)port;
		to.ttl--;
		uint32_t len = frame_build(&spec, frame, &vnet);
		frame_build(&to, expected, &vnet);
		rewrite_to(frame, len, &to, false);
		cr_assert_arr_eq(frame, expected, len, "port %u", port);
		n_ones += frame[40] == 0xff && frame[41] == 0xff;
	}
	cr_expect_eq(n_ones, 1, "the port was not among them");
}

Test(rewrite, the_negative_deltas_lead_back)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(2);
	for (int i = 0; i < N_ROUNDS; i++) {
		struct frame_spec there = random_spec();
		struct frame_spec back = there;
		struct frame_view view;
		struct virtio_net_hdr vnet;
		struct endpoint client = endpoint_of(there.src, there.src_port, there.proto);
		struct endpoint vip = endpoint_of(there.dst, there.dst_port, there.proto);
		struct endpoint local = endpoint_of(random_addr(), 40000, there.proto);
		struct endpoint backend = endpoint_of(random_addr() ^ 1, 8080, there.proto);
		uint16_t addr_delta;
		uint16_t port_delta;
		rewrite_deltas(&client, &vip, &local, &backend, &addr_delta, &port_delta);

		// A reply, backend to local, becomes vip to client.
		back.src = ntohl(ip_addr_v4_be(&backend.addr));
		back.src_port = 8080;
		back.dst = ntohl(ip_addr_v4_be(&local.addr));
		back.dst_port = 40000;
		uint32_t len = frame_build(&back, frame, &vnet);
		if (parse_frame(frame, len, &view) != PARSE_OK)
			continue; // two random addresses were the same
		struct rewrite rewrite = {
			.src = &vip,
			.dst = &client,
			.addr_delta = csum_negate(addr_delta),
			.port_delta = csum_negate(port_delta),
		};
		rewrite_packet(frame, &view, &rewrite, back.sum == SUM_PARTIAL);
		back.src = there.dst;
		back.src_port = there.dst_port;
		back.dst = there.src;
		back.dst_port = there.src_port;
		back.ttl--;
		frame_build(&back, expected, &vnet);
		cr_assert_arr_eq(frame, expected, len, "round %d", i);
	}
}

// Quotes of every length from the least to the whole packet and beyond.
Test(rewrite, an_ICMP_error_is_right_in_all_its_checksums)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(3);
	for (int i = 0; i < N_ROUNDS; i++) {
		struct virtio_net_hdr vnet;
		struct frame_view view;
		char why[200];
		struct frame_spec quoted = random_spec();
		quoted.padding = 0;
		quoted.sum = quoted.sum == SUM_PARTIAL ? SUM_RIGHT : quoted.sum;
		struct frame_spec error = {
			.src = 0xc0a80001,
			.dst = quoted.src,
			.proto = IPPROTO_ICMP,
			.ttl = 50,
			.icmp_type = 3,
			.icmp_code = 4,
			.icmp_rest = 1400,
			.quoted = &quoted,
			.quote_len = (uint32_t)(8 + rand() % 80),
		};
		// Half a checksum cannot be updated; it stays as it is.
		if (quoted.proto == IPPROTO_TCP && error.quote_len == 17)
			continue;
		uint32_t len = frame_build(&error, frame, &vnet);
		cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK, "round %d", i);
		quoted.src = random_addr();
		quoted.dst = random_addr();
		quoted.src_port = (uint16_t)rand();
		quoted.dst_port = (uint16_t)rand();
		error.src = random_addr();
		error.dst = random_addr();
		error.ttl--;
		struct endpoint src = endpoint_of(quoted.src, quoted.src_port, quoted.proto);
		struct endpoint dst = endpoint_of(quoted.dst, quoted.dst_port, quoted.proto);
		struct ip_addr outer_src = ip_addr_from_v4(htonl(error.src));
		struct ip_addr outer_dst = ip_addr_from_v4(htonl(error.dst));
		rewrite_icmp_error(frame, &view, &src, &dst, &outer_src, &outer_dst);
		frame_build(&error, expected, &vnet);
		cr_assert_null(frame_difference(expected, len, frame, len, why, sizeof(why)),
			       "round %d, quote %u: %s", i, error.quote_len, why);
	}
}
