// SPDX-License-Identifier: Apache-2.0
// Frames to replies, and evidence to verdicts.
#include "control/dsr_check_reply.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "../support/lib/frame.h"
#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
	SOURCE = 0x0a0000c8,
	VIP = 0x0a000001,
	BALANCER = 0x0a000002,
	ROUTER = 0x0a0000fe,
	BACKEND = 0x0a000065,
	OTHER = 0x0a000063,
	PORT = 50000,
	FIN = 0x01,
	SYN = 0x02,
	RST = 0x04,
	ACK = 0x10,
	UNREACHABLE = 3,
	TIME_EXCEEDED = 11,
};

static struct ip_addr addr_of(uint32_t addr)
{
	return ip_addr_from_v4(htonl(addr));
}

static struct endpoint endpoint_of(uint32_t addr, uint16_t port)
{
	return (struct endpoint){addr_of(addr), htons(port), IPPROTO_TCP, 0};
}

static bool parse(const struct frame_spec *spec, struct dsr_reply *reply)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct ip_addr source = addr_of(SOURCE);
	uint32_t len = frame_build(spec, frame, &vnet);
	return dsr_reply_parse(frame, len, vnet.flags, &source, reply);
}

static struct frame_spec segment(uint8_t flags)
{
	return (struct frame_spec){
		.src = frame_v4(VIP),
		.dst = frame_v4(SOURCE),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = 80,
		.dst_port = PORT,
		.seq = 7,
		.ack = 1001,
		.flags = flags,
		.window = 500,
	};
}

static struct frame_spec error_about(const struct frame_spec *quoted, uint8_t code)
{
	return (struct frame_spec){
		.src = frame_v4(ROUTER),
		.dst = quoted->src,
		.proto = IPPROTO_ICMP,
		.ttl = 64,
		.icmp_type = UNREACHABLE,
		.icmp_code = code,
		.quoted = quoted,
		.quote_len = 8,
	};
}

static struct frame_spec sent_syn(void)
{
	struct frame_spec spec = segment(SYN);
	spec.src = frame_v4(SOURCE);
	spec.dst = frame_v4(BACKEND);
	spec.src_port = PORT;
	spec.dst_port = 80;
	spec.id = PORT;
	return spec;
}

Test(dsr_reply, tells_a_syn_ack_and_where_it_comes_from)
{
	struct dsr_reply reply;
	struct endpoint vip = endpoint_of(VIP, 80);
	struct frame_spec spec = segment(SYN | ACK);
	cr_assert(parse(&spec, &reply));
	cr_expect_eq(reply.kind, DSR_REPLY_SYN_ACK);
	cr_expect(endpoint_equal(&reply.from, &vip));
	cr_expect_eq(reply.probe_port_be, htons(PORT));
	cr_expect_eq(reply.ack, 1001);
	cr_expect_not(reply.is_corrupt);
}

Test(dsr_reply, tells_a_reset)
{
	struct dsr_reply reply;
	struct frame_spec spec = segment(RST | ACK);
	cr_assert(parse(&spec, &reply));
	cr_expect_eq(reply.kind, DSR_REPLY_RESET);
	cr_expect_eq(reply.ack, 1001);
}

Test(dsr_reply, sees_a_wrong_checksum_but_not_in_one_that_is_not_computed_yet)
{
	struct dsr_reply reply;
	struct frame_spec spec = segment(SYN | ACK);
	spec.sum = SUM_WRONG;
	cr_assert(parse(&spec, &reply));
	cr_expect(reply.is_corrupt);
	spec.sum = SUM_PARTIAL;
	cr_assert(parse(&spec, &reply));
	cr_expect_not(reply.is_corrupt);
}

Test(dsr_reply, leaves_out_what_answers_no_syn)
{
	struct dsr_reply reply;
	static const uint8_t flags[] = {SYN, RST, ACK, FIN | ACK};
	for (size_t i = 0; i < COUNT(flags); i++) {
		struct frame_spec spec = segment(flags[i]);
		cr_expect_not(parse(&spec, &reply), "flags %#x", flags[i]);
	}
	struct frame_spec spec = segment(SYN | ACK);
	spec.dst = frame_v4(OTHER);
	cr_expect_not(parse(&spec, &reply), "to another address");
	spec = segment(SYN | ACK);
	spec.is_ip_sum_wrong = true;
	cr_expect_not(parse(&spec, &reply), "a damaged header");
	spec = segment(0);
	spec.proto = IPPROTO_UDP;
	cr_expect_not(parse(&spec, &reply), "UDP");
}

Test(dsr_reply, finds_the_port_in_what_an_icmp_error_quotes)
{
	struct dsr_reply reply;
	struct frame_spec quoted = sent_syn();
	struct frame_spec spec = error_about(&quoted, 13);
	struct ip_addr router = addr_of(ROUTER);
	cr_assert(parse(&spec, &reply));
	cr_expect_eq(reply.kind, DSR_REPLY_ICMP);
	cr_expect_eq(reply.icmp_code, 13);
	cr_expect(ip_addr_equal(&reply.from.addr, &router));
	cr_expect_eq(reply.probe_port_be, htons(PORT));
	struct ip_addr source = addr_of(SOURCE);
	struct ip_addr backend = addr_of(BACKEND);
	cr_expect_not(reply.is_tunnel_quoted);
	cr_expect(ip_addr_equal(&reply.quoted_src, &source));
	cr_expect(ip_addr_equal(&reply.quoted_dst, &backend));
	cr_expect_eq(reply.quoted_seq, 7);
}

Test(dsr_reply, leaves_out_damaged_icmp)
{
	struct dsr_reply reply;
	struct frame_spec quoted = sent_syn();
	struct frame_spec spec = error_about(&quoted, 1);
	spec.sum = SUM_WRONG;
	cr_expect_not(parse(&spec, &reply), "its checksum");
	spec.sum = SUM_RIGHT;
	spec.quote_len = 7;
	cr_expect_not(parse(&spec, &reply), "it quotes too little");
}

Test(dsr_reply, finds_the_port_in_the_header_of_a_quoted_tunnel)
{
	struct dsr_reply reply;
	struct frame_spec quoted = {
		.src = frame_v4(BALANCER),
		.dst = frame_v4(BACKEND),
		.proto = IPPROTO_IPIP,
		.ttl = 64,
		.id = PORT,
		.payload_len = 44,
	};
	struct frame_spec spec = error_about(&quoted, 2);
	cr_assert(parse(&spec, &reply));
	cr_expect_eq(reply.kind, DSR_REPLY_ICMP);
	cr_expect_eq(reply.icmp_code, 2);
	struct ip_addr balancer = addr_of(BALANCER);
	struct ip_addr backend = addr_of(BACKEND);
	cr_expect(reply.is_tunnel_quoted);
	cr_expect(ip_addr_equal(&reply.quoted_src, &balancer));
	cr_expect(ip_addr_equal(&reply.quoted_dst, &backend));
	cr_expect_eq(reply.probe_port_be, htons(PORT));
}

Test(dsr_reply, leaves_out_icmp_about_other_packets)
{
	struct dsr_reply reply;
	struct frame_spec quoted = sent_syn();
	struct frame_spec spec = error_about(&quoted, 1);
	spec.icmp_type = TIME_EXCEEDED;
	cr_expect_not(parse(&spec, &reply), "another type");
	quoted.proto = IPPROTO_UDP;
	spec = error_about(&quoted, 1);
	cr_expect_not(parse(&spec, &reply), "about UDP");
}

// In memory of its own length, where a sanitizer sees every byte read behind it.
static void parse_cut(const struct frame_spec *spec)
{
	static uint8_t whole[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct ip_addr source = addr_of(SOURCE);
	uint32_t len = frame_build(spec, whole, &vnet);
	for (uint32_t cut = 0; cut < len; cut++) {
		struct dsr_reply reply;
		uint8_t *frame = malloc(cut ? cut : 1);
		cr_assert(frame);
		memcpy(frame, whole, cut);
		bool is_reply = dsr_reply_parse(frame, cut, false, &source, &reply);
		cr_expect_not(is_reply, "%u of %u bytes", cut, len);
		free(frame);
	}
}

Test(dsr_reply, reads_nothing_behind_the_end_of_a_cut_frame)
{
	struct frame_spec quoted = sent_syn();
	struct frame_spec error = error_about(&quoted, 1);
	struct frame_spec syn_ack = segment(SYN | ACK);
	parse_cut(&error);
	parse_cut(&syn_ack);
}

// ---- verdicts ----------------------------------------------------------------------------------

static struct dsr_evidence evidence(enum dsr_method method)
{
	return (struct dsr_evidence){
		.method = method,
		.source = addr_of(SOURCE),
		.vip = endpoint_of(VIP, 80),
		.backend = endpoint_of(BACKEND, 80),
		.is_health_checked = true,
		.hop = {.has_route = true, .is_resolved = true, .gateway = addr_of(BACKEND)},
		.is_link_up = true,
		.n_sent = 3,
		.connect = DSR_CONNECT_PASSED,
	};
}

static struct dsr_evidence answered(enum dsr_reply_kind kind, uint32_t addr, uint16_t port)
{
	struct dsr_evidence e = evidence(DSR_NAT);
	e.reply = (struct dsr_reply){.kind = kind, .from = endpoint_of(addr, port)};
	return e;
}

static struct dsr_reply error_reply(uint32_t src, uint32_t dst, bool is_tunnel)
{
	return (struct dsr_reply){
		.kind = DSR_REPLY_ICMP,
		.is_tunnel_quoted = is_tunnel,
		.quoted_src = addr_of(src),
		.quoted_dst = addr_of(dst),
		.quoted_seq = 1000,
	};
}

Test(dsr_reply, an_icmp_error_must_quote_what_was_sent)
{
	static const struct {
		enum dsr_method method;
		uint32_t src, dst;
		bool is_tunnel;
		uint32_t seq;
		bool is_to;
	} cases[] = {
		{DSR_NAT, SOURCE, BACKEND, false, 1000, true},
		{DSR_NAT, SOURCE, VIP, false, 1000, false},
		{DSR_NAT, OTHER, BACKEND, false, 1000, false},
		{DSR_NAT, SOURCE, BACKEND, false, 1001, false},
		{DSR_NAT, BALANCER, BACKEND, true, 1000, false},
		{DSR_L2, SOURCE, VIP, false, 1000, true},
		{DSR_L2, SOURCE, BACKEND, false, 1000, false},
		{DSR_IPIP, SOURCE, VIP, false, 1000, true},
		{DSR_IPIP, BALANCER, BACKEND, true, 7, true},
		{DSR_IPIP, BALANCER, OTHER, true, 7, false},
		{DSR_IPIP, OTHER, BACKEND, true, 7, false},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dsr_evidence e = evidence(cases[i].method);
		e.hop.source = addr_of(BALANCER);
		struct dsr_reply reply =
			error_reply(cases[i].src, cases[i].dst, cases[i].is_tunnel);
		cr_expect_eq(dsr_reply_is_to(&reply, &e, cases[i].seq), cases[i].is_to, "case %zu",
			     i);
	}
}

Test(dsr_judge, only_a_syn_ack_from_the_frontend_itself_is_ready)
{
	static const struct {
		uint32_t addr;
		uint16_t port;
		enum dsr_verdict verdict;
	} cases[] = {
		{VIP, 80, DSR_READY},      {VIP, 8080, DSR_WRONG_PORT}, {BACKEND, 80, DSR_NO_NAT},
		{BACKEND, 81, DSR_NO_NAT}, {OTHER, 80, DSR_WRONG_ADDR},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dsr_evidence e = answered(DSR_REPLY_SYN_ACK, cases[i].addr, cases[i].port);
		cr_expect_eq(dsr_judge(&e), cases[i].verdict, "case %zu", i);
	}
}

Test(dsr_judge, a_wrong_checksum_is_not_ready)
{
	struct dsr_evidence e = answered(DSR_REPLY_SYN_ACK, VIP, 80);
	e.reply.is_corrupt = true;
	cr_expect_eq(dsr_judge(&e), DSR_CORRUPT);
}

Test(dsr_judge, a_backend_that_health_checks_cannot_reach_is_not_ready)
{
	struct dsr_evidence e = answered(DSR_REPLY_SYN_ACK, VIP, 80);
	e.connect = DSR_CONNECT_SILENT;
	cr_expect_eq(dsr_judge(&e), DSR_UNHEALTHY);
	e.connect = DSR_CONNECT_REFUSED;
	cr_expect_eq(dsr_judge(&e), DSR_UNHEALTHY);
	e.is_health_checked = false;
	cr_expect_eq(dsr_judge(&e), DSR_READY);
	e.is_health_checked = true;
	e.connect = DSR_CONNECT_UNKNOWN;
	cr_expect_eq(dsr_judge(&e), DSR_READY);
}

Test(dsr_judge, resets_and_icmp_errors_say_it_themselves)
{
	struct dsr_evidence e = answered(DSR_REPLY_RESET, VIP, 80);
	cr_expect_eq(dsr_judge(&e), DSR_REFUSED);
	e = answered(DSR_REPLY_RESET, BACKEND, 80);
	cr_expect_eq(dsr_judge(&e), DSR_REFUSED);
	e = answered(DSR_REPLY_ICMP, ROUTER, 0);
	cr_expect_eq(dsr_judge(&e), DSR_UNREACHABLE);
}

Test(dsr_judge, silence_is_read_by_what_a_plain_connection_meets)
{
	struct dsr_evidence e = evidence(DSR_NAT);
	cr_expect_eq(dsr_judge(&e), DSR_NO_REPLY);
	e.connect = DSR_CONNECT_REFUSED;
	cr_expect_eq(dsr_judge(&e), DSR_NO_REPLY);
	e.connect = DSR_CONNECT_SILENT;
	cr_expect_eq(dsr_judge(&e), DSR_HOST_DOWN);
	e.connect = DSR_CONNECT_UNKNOWN;
	cr_expect_eq(dsr_judge(&e), DSR_UNKNOWN);
}

Test(dsr_judge, nothing_sent_means_no_way_there)
{
	struct dsr_evidence e = evidence(DSR_NAT);
	e.n_sent = 0;
	e.connect = DSR_CONNECT_SILENT;
	cr_expect_eq(dsr_judge(&e), DSR_HOST_DOWN);
	e.is_link_up = false;
	cr_expect_eq(dsr_judge(&e), DSR_LINK_DOWN);
	e.hop.has_route = false;
	cr_expect_eq(dsr_judge(&e), DSR_NO_ROUTE);
	e.hop.has_route = true;
	e.hop.is_local = true;
	cr_expect_eq(dsr_judge(&e), DSR_NO_ROUTE);
}

Test(dsr_judge, only_method_l2_minds_a_router_in_between)
{
	struct dsr_evidence e = evidence(DSR_L2);
	e.hop.gateway = addr_of(ROUTER);
	e.n_sent = 0;
	cr_expect_eq(dsr_judge(&e), DSR_NOT_ON_LINK);
	e.method = DSR_IPIP;
	e.n_sent = 3;
	cr_expect_eq(dsr_judge(&e), DSR_NO_REPLY);
}

// ---- IPv6 --------------------------------------------------------------------------------------

enum { L4 = 54, QUOTE = L4 + 8, FRAME_LEN = 74, ERROR_LEN = QUOTE + 60 };

static struct ip_addr v6(uint8_t last)
{
	return (struct ip_addr){{0xfd, [15] = last}};
}

static void put_v6(uint8_t *ip, uint8_t proto, uint16_t len, uint8_t src, uint8_t dst)
{
	struct ip_addr from = v6(src);
	struct ip_addr to = v6(dst);
	ip[0] = 0x60;
	store_be16(ip + 4, len);
	ip[6] = proto;
	ip[7] = 64;
	memcpy(ip + 8, from.bytes, 16);
	memcpy(ip + 24, to.bytes, 16);
}

static void put_tcp(uint8_t *tcp, uint16_t src, uint16_t dst, uint32_t seq, uint8_t flags)
{
	store_be16(tcp, src);
	store_be16(tcp + 2, dst);
	store_be32(tcp + 4, seq);
	store_be32(tcp + 8, 1001);
	tcp[12] = 0x50;
	tcp[13] = flags;
}

static void seal(uint8_t *frame, uint16_t len, uint8_t proto, unsigned sum_at)
{
	uint64_t sum = (uint64_t)htons((uint16_t)(len - L4)) + htons(proto);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	store_be16(frame + L4 + sum_at, 0);
	sum = csum_add_bytes(sum, frame + 22, 32);
	store_raw16(frame + L4 + sum_at,
		    csum_finish(csum_add_bytes(sum, frame + L4, (size_t)(len - L4))));
}

Test(dsr_reply_v6, tells_a_syn_ack_and_sees_a_wrong_checksum)
{
	struct dsr_reply reply;
	struct ip_addr vip = v6(1);
	struct ip_addr source = v6(200);
	uint8_t frame[FRAME_LEN] = {0};
	put_v6(frame + 14, IPPROTO_TCP, 20, 1, 200);
	put_tcp(frame + L4, 80, PORT, 7, SYN | ACK);
	seal(frame, sizeof(frame), IPPROTO_TCP, 16);
	cr_assert(dsr_reply_parse(frame, sizeof(frame), false, &source, &reply));
	cr_expect_eq(reply.kind, DSR_REPLY_SYN_ACK);
	cr_expect(ip_addr_equal(&reply.from.addr, &vip));
	cr_expect_eq(reply.from.port_be, htons(80));
	cr_expect_eq(reply.probe_port_be, htons(PORT));
	cr_expect_eq(reply.ack, 1001);
	cr_expect_not(reply.is_corrupt);
	frame[L4 + 17] ^= 1;
	cr_assert(dsr_reply_parse(frame, sizeof(frame), false, &source, &reply));
	cr_expect(reply.is_corrupt);
	cr_assert(dsr_reply_parse(frame, sizeof(frame), true, &source, &reply));
	cr_expect_not(reply.is_corrupt);
	cr_expect_not(dsr_reply_parse(frame, sizeof(frame), true, &vip, &reply), "to another");
}

Test(dsr_reply_v6, believes_an_error_that_is_intact_and_about_its_own_syn)
{
	struct dsr_reply reply = {0};
	struct ip_addr source = v6(200);
	struct ip_addr router = v6(254);
	struct dsr_evidence evidence = {
		.method = DSR_NAT,
		.source = source,
		.backend = {.addr = v6(101)},
		.vip = {.addr = v6(1)},
	};
	uint8_t frame[ERROR_LEN] = {0};
	put_v6(frame + 14, IPPROTO_ICMPV6, ERROR_LEN - L4, 254, 200);
	frame[L4] = 1;     // unreachable
	frame[L4 + 1] = 3; // address
	put_v6(frame + QUOTE, IPPROTO_TCP, 20, 200, 101);
	put_tcp(frame + QUOTE + 40, PORT, 80, 1000, SYN);
	seal(frame, sizeof(frame), IPPROTO_ICMPV6, 2);
	cr_assert(dsr_reply_parse(frame, sizeof(frame), false, &source, &reply));
	cr_expect_eq(reply.kind, DSR_REPLY_ICMP);
	cr_expect_eq(reply.icmp_code, 3);
	cr_expect(ip_addr_equal(&reply.from.addr, &router));
	cr_expect_eq(reply.probe_port_be, htons(PORT));
	cr_expect(dsr_reply_is_to(&reply, &evidence, 1000));
	cr_expect_not(dsr_reply_is_to(&reply, &evidence, 1001));
	evidence.method = DSR_L2; // that one goes to the VIP
	cr_expect_not(dsr_reply_is_to(&reply, &evidence, 1000));
	frame[L4 + 3] ^= 1;
	cr_expect_not(dsr_reply_parse(frame, sizeof(frame), false, &source, &reply), "corrupt");
	frame[L4] = 3; // time exceeded
	seal(frame, sizeof(frame), IPPROTO_ICMPV6, 2);
	cr_expect_not(dsr_reply_parse(frame, sizeof(frame), false, &source, &reply),
		      "another error");
}
