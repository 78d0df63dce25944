// SPDX-License-Identifier: Apache-2.0
// What the readiness check sends, compared with frames built from nothing.
#include "control/dsr_check_packet.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>

#include "../support/lib/frame.h"
#include "culvert/net/checksum.h"
#include "culvert/net/neighbour.h"
#include "culvert/net/parse.h"

enum {
	SOURCE = 0x0a0000c8,
	VIP = 0x0a000001,
	BALANCER = 0x0a000002,
	BACKEND = 0x0a000065,
	DONT_FRAGMENT = 0x4000,
	SYN = 0x02,
	RST = 0x04,
	IPIP_LEN = 20,
};

static const struct mac_addr src_mac = {{2, 0, 0, 0, 0, 1}};
static const struct mac_addr dst_mac = {{2, 1, 2, 3, 4, 5}};

static struct endpoint endpoint_of(uint32_t addr, uint16_t port)
{
	return (struct endpoint){ip_addr_from_v4(htonl(addr)), htons(port), IPPROTO_TCP, 0};
}

static struct check_segment segment_to(uint32_t dst, uint16_t port)
{
	return (struct check_segment){
		.src_mac = src_mac,
		.dst_mac = dst_mac,
		.src = endpoint_of(SOURCE, 50000),
		.dst = endpoint_of(dst, port),
		.seq = 0x89abcdef,
		.id = 50000,
	};
}

static struct frame_spec syn_to(uint32_t dst, uint16_t port)
{
	return (struct frame_spec){
		.src_mac = src_mac,
		.dst_mac = dst_mac,
		.src = frame_v4(SOURCE),
		.dst = frame_v4(dst),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.id = 50000,
		.fragment = DONT_FRAGMENT,
		.src_port = 50000,
		.dst_port = port,
		.seq = 0x89abcdef,
		.flags = SYN,
		.window = 64240,
		.tcp_options = {{2, 4, 0x05, 0xb4}, 4},
	};
}

static void assert_same(const struct frame_spec *expected, const uint8_t *frame, uint32_t len)
{
	static uint8_t built[FRAME_MAX];
	struct virtio_net_hdr vnet;
	char why[256];
	uint32_t built_len = frame_build(expected, built, &vnet);
	const char *difference = frame_difference(built, built_len, frame, len, why, sizeof(why));
	cr_assert_null(difference, "%s", difference);
}

static struct check_frame build(const struct check_segment *segment)
{
	struct check_frame frame;
	struct err err = {0};
	cr_assert_eq(check_segment_build(segment, &frame, &err), 0, "%s", err.message);
	return frame;
}

Test(dsr_check_packet, a_syn_is_one_that_a_client_would_send)
{
	struct check_segment segment = segment_to(BACKEND, 8080);
	struct check_frame frame = build(&segment);
	struct frame_spec expected = syn_to(BACKEND, 8080);
	assert_same(&expected, frame.bytes, frame.len);
}

Test(dsr_check_packet, a_reset_has_nothing_but_its_number)
{
	struct check_segment segment = segment_to(BACKEND, 80);
	segment.is_reset = true;
	struct check_frame frame = build(&segment);
	struct frame_spec expected = syn_to(BACKEND, 80);
	expected.flags = RST;
	expected.window = 0;
	expected.tcp_options.len = 0;
	assert_same(&expected, frame.bytes, frame.len);
}

// The header in front, then the same packet as without a tunnel.
Test(dsr_check_packet, a_tunneled_syn_is_whole_inside_another_packet)
{
	struct check_segment segment = segment_to(VIP, 80);
	segment.is_tunneled = true;
	segment.tunnel_src = ip_addr_from_v4(htonl(BALANCER));
	segment.tunnel_dst = ip_addr_from_v4(htonl(BACKEND));
	struct check_frame frame = build(&segment);
	const uint8_t outer[] = {0x45, 0, 0, 64, 50000 >> 8, 50000 & 0xff, 0x40, 0, 64, 4};
	uint8_t *ip = frame.bytes + 14;
	cr_assert_eq(memcmp(ip, outer, sizeof(outer)), 0);
	cr_assert_eq(memcmp(ip + 12, "\x0a\0\0\x02\x0a\0\0\x65", 8), 0);
	cr_assert_eq(frame_plain_sum(ip, IPIP_LEN, 0), 0xffff);

	memmove(frame.bytes + IPIP_LEN, frame.bytes, 14);
	struct frame_spec inner = syn_to(VIP, 80);
	assert_same(&inner, frame.bytes + IPIP_LEN, frame.len - IPIP_LEN);
}

static struct neighbour_packet build_arp(const struct check_neighbour *arp,
					 struct check_frame *frame)
{
	struct neighbour_packet parsed;
	struct err err = {0};
	cr_assert_eq(check_neighbour_build(arp, frame, &err), 0, "%s", err.message);
	cr_assert(neighbour_parse(frame->bytes, frame->len, &parsed));
	cr_assert_eq(memcmp(frame->bytes, &arp->dst_mac, 6), 0);
	cr_assert_eq(memcmp(frame->bytes + 6, &arp->src_mac, 6), 0);
	cr_assert_eq(memcmp(&parsed.sender_mac, &arp->src_mac, 6), 0);
	cr_assert_eq(parsed.is_request, arp->is_request);
	cr_assert(ip_addr_equal(&parsed.sender, &arp->sender));
	cr_assert(ip_addr_equal(&parsed.target, &arp->target));
	return parsed;
}

Test(dsr_check_packet, arp_requests_leave_the_hardware_address_open_and_replies_fill_it_in)
{
	static const uint8_t nothing[6];
	struct check_frame frame;
	struct check_neighbour arp = {
		.is_request = true,
		.src_mac = src_mac,
		.dst_mac = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		.sender = ip_addr_from_v4(0),
		.target = ip_addr_from_v4(htonl(SOURCE)),
	};
	build_arp(&arp, &frame);
	cr_expect_eq(memcmp(frame.bytes + 32, nothing, 6), 0);

	arp.is_request = false;
	arp.dst_mac = dst_mac;
	arp.sender = ip_addr_from_v4(htonl(SOURCE));
	arp.target = ip_addr_from_v4(htonl(BACKEND));
	build_arp(&arp, &frame);
	cr_expect_eq(memcmp(frame.bytes + 32, &dst_mac, 6), 0);
}

// ---- IPv6 --------------------------------------------------------------------------------------

static struct ip_addr addr_of(const char *text)
{
	struct ip_addr addr;
	cr_assert(ip_addr_parse(text, &addr), "%s", text);
	return addr;
}

Test(dsr_check_packet, a_syn_of_ipv6_is_one_that_a_client_would_send)
{
	struct frame_view view;
	struct check_segment segment = segment_to(BACKEND, 8080);
	segment.src.addr = addr_of("fd00::200");
	segment.dst.addr = addr_of("fd00::101");
	struct check_frame frame = build(&segment);
	cr_assert_eq(frame.len, 14 + 40 + 24);
	cr_assert_eq(parse_frame(frame.bytes, frame.len, &view), PARSE_OK);
	cr_expect(view.is_v6);
	cr_expect(endpoint_equal(&view.src, &segment.src));
	cr_expect(endpoint_equal(&view.dst, &segment.dst));
	cr_expect_eq(view.tcp_flags, TCP_FLAG_SYN);
	cr_expect_eq(view.seq, segment.seq);
	cr_expect_eq(view.ttl, 64);
	cr_expect_eq(memcmp(frame.bytes + view.l4 + 20, "\2\4\5\xa0", 4), 0, "an MSS of 1440");
	uint64_t sum = frame_pseudo_sum(frame.bytes, &view, IPPROTO_TCP, 24);
	cr_expect_eq(csum_fold(csum_add_bytes(sum, frame.bytes + view.l4, 24)), 0xffff);
	segment.is_reset = true;
	frame = build(&segment);
	cr_assert_eq(parse_frame(frame.bytes, frame.len, &view), PARSE_OK);
	cr_expect_eq(view.tcp_flags, TCP_FLAG_RST);
	cr_expect_eq(frame.len, 14 + 40 + 20);
}

static struct check_frame build_neighbour(const struct check_neighbour *packet)
{
	struct check_frame frame;
	struct err err = {0};
	cr_assert_eq(check_neighbour_build(packet, &frame, &err), 0, "%s", err.message);
	return frame;
}

// Without an address of its own, so without an option for the link address (RFC 4861 section 4.3).
Test(dsr_check_packet, a_question_of_ipv6_goes_to_the_group_and_is_by_nobody)
{
	struct neighbour_packet parsed;
	struct check_neighbour packet = {
		.is_request = true,
		.src_mac = {{2, 0, 0, 0, 0, 1}},
		.dst_mac = {{0x33, 0x33, 0xff, 0, 2, 0}},
		.target = addr_of("fd00::200"),
	};
	struct ip_addr group = addr_of("ff02::1:ff00:200");
	struct check_frame frame = build_neighbour(&packet);
	cr_assert_eq(frame.len, 14 + 40 + 24);
	cr_assert(neighbour_parse(frame.bytes, frame.len, &parsed));
	cr_expect(parsed.is_request);
	cr_expect(ip_addr_is_unspecified(&parsed.sender));
	cr_expect(ip_addr_equal(&parsed.target, &packet.target));
	cr_expect_eq(memcmp(frame.bytes + 38, group.bytes, 16), 0);
	cr_expect_eq(memcmp(frame.bytes, packet.dst_mac.bytes, 6), 0);
}

Test(dsr_check_packet, an_answer_of_ipv6_says_whether_it_was_asked_for)
{
	static const struct {
		const char *target;
		uint8_t flags; // solicited 0x40, override 0x20
	} cases[] = {{"fd00::101", 0x60}, {"fe80::1", 0x60}, {"ff02::1", 0x20}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct neighbour_packet parsed;
		struct check_neighbour packet = {
			.src_mac = {{2, 0, 0, 0, 0, 1}},
			.dst_mac = {{2, 0, 0, 0, 0, 2}},
			.sender = addr_of("fd00::200"),
			.target = addr_of(cases[i].target),
		};
		struct check_frame frame = build_neighbour(&packet);
		cr_assert_eq(frame.len, 14 + 40 + 32);
		cr_assert(neighbour_parse(frame.bytes, frame.len, &parsed));
		cr_expect_not(parsed.is_request);
		cr_expect(ip_addr_equal(&parsed.sender, &packet.sender));
		cr_expect(ip_addr_equal(&parsed.target, &packet.target));
		cr_expect_eq(memcmp(frame.bytes + 22, packet.sender.bytes, 16), 0,
			     "its own source");
		cr_expect_eq(frame.bytes[58], cases[i].flags);
		cr_expect_eq(memcmp(frame.bytes + 78, "\2\1\2\0\0\0\0\1", 8), 0);
	}
}
