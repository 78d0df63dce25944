// SPDX-License-Identifier: Apache-2.0
// Packets of culvert's own, compared with frames built from nothing.
#include "packet/answer.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>

#include "../support/lib/frame.h"

enum { CLIENT = 0x0a01000b, VIP = 0x0a010064, DONT_FRAGMENT = 0x4000, N_ROUNDS = 5000 };

static const struct mac_addr link_mac = {{2, 0, 0, 0, 0, 1}};
static const struct mac_addr client_mac = {{2, 1, 2, 3, 4, 5}};

struct bench {
	struct answer_templates templates;
	uint8_t frame[4096];
	struct packet packet;
};

static void bench_init(struct bench *bench)
{
	struct err err = {0};
	cr_assert_eq(answer_templates_init(&bench->templates, &err), 0, "%s", err.message);
}

static bool refuse(struct bench *bench, const struct frame_spec *spec)
{
	bench->packet = (struct packet){.frame = bench->frame, .rx_link = 3, .tx_link = 9};
	bench->packet.len = frame_build(spec, bench->frame, &bench->packet.vnet);
	cr_assert_eq(parse_frame(bench->frame, bench->packet.len, &bench->packet.view), PARSE_OK);
	return answer_refuse(&bench->templates, &bench->packet, &link_mac);
}

static struct frame_spec segment(uint8_t flags)
{
	return (struct frame_spec){
		.src_mac = client_mac,
		.dst_mac = link_mac,
		.src = frame_v4(CLIENT),
		.dst = frame_v4(VIP),
		.proto = IPPROTO_TCP,
		.ttl = 9,
		.tos = 3,
		.id = 77,
		.src_port = 1000,
		.dst_port = 80,
		.flags = flags,
		.window = 500,
	};
}

static struct frame_spec answer_to(const struct frame_spec *received)
{
	return (struct frame_spec){
		.src_mac = link_mac,
		.dst_mac = client_mac,
		.src = received->dst,
		.dst = received->src,
		.ttl = 64,
		.fragment = DONT_FRAGMENT,
		.src_port = received->dst_port,
		.dst_port = received->src_port,
	};
}

static void expect_frame(const struct bench *bench, const struct frame_spec *expected)
{
	static uint8_t frame[4096];
	struct virtio_net_hdr vnet;
	char why[200];
	uint32_t len = frame_build(expected, frame, &vnet);
	cr_assert_null(frame_difference(frame, len, bench->frame, bench->packet.len, why,
					sizeof(why)),
		       "%s", why);
	cr_expect_eq(bench->packet.tx_link, bench->packet.rx_link);
	cr_expect(bench->packet.is_to_send);
	cr_expect_eq(bench->packet.vnet.flags, 0);
	cr_expect_eq(bench->packet.vnet.gso_type, 0);
}

Test(answer, defect_05_a_reset_has_the_numbers_of_RFC_9293_section_3_10_7_1)
{
	static const struct {
		uint8_t flags;
		uint32_t seq;
		uint32_t ack;
		uint32_t len;
		uint8_t reset_flags;
		uint32_t reset_seq;
		uint32_t reset_ack;
	} cases[] = {
		{TCP_FLAG_SYN, 100, 0, 0, TCP_FLAG_RST | TCP_FLAG_ACK, 0, 101},
		{TCP_FLAG_SYN, 100, 55, 7, TCP_FLAG_RST | TCP_FLAG_ACK, 0, 108},
		{TCP_FLAG_SYN, UINT32_MAX, 0, 0, TCP_FLAG_RST | TCP_FLAG_ACK, 0, 0},
		{TCP_FLAG_ACK, 100, 4000000000, 10, TCP_FLAG_RST, 4000000000, 0},
		{TCP_FLAG_SYN | TCP_FLAG_ACK, 100, 200, 0, TCP_FLAG_RST, 200, 0},
		{TCP_FLAG_FIN | TCP_FLAG_ACK, 100, 200, 0, TCP_FLAG_RST, 200, 0},
	};
	struct bench bench;
	bench_init(&bench);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame_spec spec = segment(cases[i].flags);
		spec.seq = cases[i].seq;
		spec.ack = cases[i].ack;
		spec.payload_len = cases[i].len;
		spec.padding = 3;
		cr_assert(refuse(&bench, &spec));
		struct frame_spec reset = answer_to(&spec);
		reset.proto = IPPROTO_TCP;
		reset.flags = cases[i].reset_flags;
		reset.seq = cases[i].reset_seq;
		reset.ack = cases[i].reset_ack;
		expect_frame(&bench, &reset);
	}
}

Test(answer, resets_and_errors_are_not_answered)
{
	struct bench bench;
	bench_init(&bench);
	struct frame_spec reset = segment(TCP_FLAG_RST);
	cr_expect_not(refuse(&bench, &reset));
	cr_expect_not(bench.packet.is_to_send);
	reset = segment(TCP_FLAG_RST | TCP_FLAG_ACK);
	cr_expect_not(refuse(&bench, &reset));
	struct frame_spec quoted = {.src = frame_v4(VIP),
				    .dst = frame_v4(CLIENT),
				    .proto = IPPROTO_UDP};
	struct frame_spec error = segment(0);
	error.proto = IPPROTO_ICMP;
	error.icmp_type = 3;
	error.quoted = &quoted;
	error.quote_len = 8;
	cr_expect_not(refuse(&bench, &error));
	cr_expect_not(bench.packet.is_to_send);
}

Test(answer, defect_03_damaged_packets_are_not_answered)
{
	struct bench bench;
	bench_init(&bench);
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP};
	for (size_t i = 0; i < sizeof(protos); i++) {
		struct frame_spec spec = segment(TCP_FLAG_SYN);
		spec.proto = protos[i];
		spec.payload_len = 5;
		cr_expect(refuse(&bench, &spec));
		spec.sum = SUM_PARTIAL;
		cr_expect(refuse(&bench, &spec));
		spec.sum = SUM_WRONG;
		cr_expect_not(refuse(&bench, &spec));
		spec.sum = SUM_NONE;
		cr_expect_eq(refuse(&bench, &spec), protos[i] == IPPROTO_UDP);
		spec.sum = SUM_RIGHT;
		spec.is_corrupt = true;
		cr_expect_not(refuse(&bench, &spec));
	}
}

// RFC 768: the UDP length may be less than IP's, and the checksum covers the former.
Test(answer, a_datagram_may_be_shorter_than_its_packet)
{
	struct bench bench;
	bench_init(&bench);
	struct frame_spec spec = segment(0);
	spec.proto = IPPROTO_UDP;
	spec.payload_len = 8;
	uint32_t len = frame_build(&spec, bench.frame, &bench.packet.vnet);
	bench.frame[39] = 8; // no data: the rest does not count
	bench.frame[40] = bench.frame[41] = 0;
	uint8_t pseudo[12] = {0};
	memcpy(pseudo, bench.frame + 26, 8);
	pseudo[9] = IPPROTO_UDP;
	pseudo[11] = 8;
	uint16_t sum = frame_plain_sum(pseudo, sizeof(pseudo), 0);
	sum = (uint16_t)~frame_plain_sum(bench.frame + 34, 8, sum);
	bench.frame[40] = (uint8_t)(sum >> 8);
	bench.frame[41] = (uint8_t)sum;
	bench.packet = (struct packet){.frame = bench.frame, .len = len};
	cr_assert_eq(parse_frame(bench.frame, len, &bench.packet.view), PARSE_OK);
	cr_expect(answer_refuse(&bench.templates, &bench.packet, &link_mac));
}

Test(answer, port_unreachable_quotes_the_packet_as_it_came)
{
	struct bench bench;
	bench_init(&bench);
	for (unsigned options_len = 0; options_len <= FRAME_MAX_OPTIONS; options_len += 4) {
		struct frame_spec spec = segment(0);
		spec.proto = IPPROTO_UDP;
		spec.payload_len = 33;
		spec.ip_options.len = (uint8_t)options_len;
		memset(spec.ip_options.bytes, 1, options_len);
		cr_assert(refuse(&bench, &spec));
		struct frame_spec error = answer_to(&spec);
		error.proto = IPPROTO_ICMP;
		error.icmp_type = 3;
		error.icmp_code = 3;
		error.tos = 0xc0;
		error.quoted = &spec;
		error.quote_room = 548;
		expect_frame(&bench, &error);
	}
}

Test(answer, a_reset_written_into_an_empty_packet_is_right)
{
	struct bench bench;
	bench_init(&bench);
	srand(1);
	for (int i = 0; i < N_ROUNDS; i++) {
		struct frame_spec spec = {
			.src_mac = link_mac,
			.dst_mac = client_mac,
			.src = frame_v4((uint32_t)rand() << 1),
			.dst = frame_v4((uint32_t)rand() << 1),
			.proto = IPPROTO_TCP,
			.ttl = 64,
			.fragment = DONT_FRAGMENT,
			.src_port = (uint16_t)rand(),
			.dst_port = (uint16_t)rand(),
			.seq = (uint32_t)rand() << 1,
			.ack = (uint32_t)rand() << 1,
			.flags = TCP_FLAG_RST | TCP_FLAG_ACK,
		};
		struct reset reset = {
			.src_mac = link_mac,
			.dst_mac = client_mac,
			.src = {spec.src, htons(spec.src_port), 0, 0},
			.dst = {spec.dst, htons(spec.dst_port), 0, 0},
			.seq = spec.seq,
			.ack = spec.ack,
			.has_ack = true,
			.link = 3,
		};
		bench.packet = (struct packet){.frame = bench.frame, .rx_link = 3};
		answer_write_reset(&bench.templates, &reset, &bench.packet);
		expect_frame(&bench, &spec);
	}
}
