// SPDX-License-Identifier: Apache-2.0
// IPv6: the walk along extension headers, ICMPv6 errors, and every length cut short.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/lib/frame_text.h"
#include "culvert/net/checksum.h"
#include "culvert/net/parse.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define CLIENT       "[fd00:1::11]"
#define VIP          "[fd00:1::100]"
#define TO_VIP       CLIENT ":1000 > " VIP ":80 "
#define ERROR        "[fd00:9::9] > " VIP " icmp6 "
#define QUOTED       " { " VIP ":80 > " CLIENT ":1000 "

enum { ETH_LEN = 14, IP6_LEN = 40 };

struct expectation {
	const char *text;
	enum parse_result result;
};

static enum parse_result parse_text(const char *text, struct frame_view *view)
{
	struct text_frame frame = frame_from_text(text);
	enum parse_result result = parse_frame(frame.bytes, frame.len, view);
	text_frame_fini(&frame);
	return result;
}

static void expect_all(const struct expectation *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct frame_view view;
		enum parse_result result = parse_text(cases[i].text, &view);
		cr_expect_eq(result, cases[i].result, "%s: expected %d, got %d", cases[i].text,
			     cases[i].result, result);
	}
}

Test(parse_ipv6, names_what_is_wrong)
{
	static const struct expectation cases[] = {
		{TO_VIP "tcp S", PARSE_OK},
		{TO_VIP "udp", PARSE_OK},
		{TO_VIP "udp nosum", PARSE_OK},
		{TO_VIP "tcp S tos 255 label 0xfffff pad 9", PARSE_OK},
		{TO_VIP "tcp S poke 12=0800", PARSE_MALFORMED},
		{TO_VIP "tcp S poke 14=40", PARSE_MALFORMED},
		{TO_VIP "tcp S cut 53", PARSE_TRUNCATED},
		{TO_VIP "tcp S cut 54", PARSE_TRUNCATED},
		{TO_VIP "tcp S len 8 cut 81", PARSE_TRUNCATED},
		{TO_VIP "tcp S poke 18=0000", PARSE_TRUNCATED}, // a jumbogram says it elsewhere
		{TO_VIP "tcp S poke 66=f0", PARSE_TRUNCATED},
		{TO_VIP "tcp S poke 66=4f", PARSE_MALFORMED},
		{TO_VIP "udp len 4 poke 58=000d", PARSE_TRUNCATED},
		{TO_VIP "udp poke 58=0007", PARSE_MALFORMED},
		{TO_VIP "tcp -", PARSE_BAD_TCP_FLAGS},
		{CLIENT ":0 > " VIP ":80 tcp S", PARSE_BAD_SOURCE},
		{CLIENT ":0 > " VIP ":80 udp", PARSE_BAD_SOURCE},
		{CLIENT " > " VIP " proto 132 len 20", PARSE_NOT_OURS},
		{CLIENT " > " VIP " proto 59", PARSE_NOT_OURS}, // no next header
		{CLIENT " > " VIP " proto 50 len 40", PARSE_NOT_OURS},
		{CLIENT " > " VIP " icmp echo", PARSE_NOT_OURS}, // ICMP of the other family
		{"1.2.3.4 > 5.6.7.8 proto 58 len 20", PARSE_NOT_OURS},
		{CLIENT " > " VIP " icmp6 echo len 20", PARSE_NOT_OURS},
	};
	expect_all(cases, COUNT(cases));
}

Test(parse_ipv6, sources_that_nobody_can_have)
{
	static const struct expectation cases[] = {
		{"[::]:1 > " VIP ":80 tcp S", PARSE_BAD_SOURCE},
		{"[::1]:1 > " VIP ":80 tcp S", PARSE_BAD_SOURCE},
		{"[ff02::1]:1 > " VIP ":80 tcp S", PARSE_BAD_SOURCE},
		{"[ff0e::1]:1 > " VIP ":80 udp", PARSE_BAD_SOURCE},
		{"[fe80::1]:1 > " VIP ":80 tcp S", PARSE_BAD_SOURCE},
		{"[febf::1]:1 > " VIP ":80 tcp S", PARSE_BAD_SOURCE},
		{"[fe80::1]:1 > " VIP ":80 udp", PARSE_BAD_SOURCE},
		{"[fe80::1] > " VIP " icmp6 echo len 20", PARSE_NOT_OURS},
		{"[fe80::1] > " VIP " icmp6 no-route { " VIP ":80 > " CLIENT ":1 tcp A }",
		 PARSE_OK}, // of a neighbour
		{"[ff02::1] > " VIP " icmp6 no-route { " VIP ":80 > " CLIENT ":1 tcp A }",
		 PARSE_BAD_SOURCE},
		{"[fec0::1]:1 > " VIP ":80 tcp S", PARSE_OK}, // once site-local, now as any other
		{"[::2]:1 > " VIP ":80 tcp S", PARSE_OK},
		{"[64:ff9b::a00:1]:1 > " VIP ":80 tcp S", PARSE_OK}, // through a NAT64
		{"1.2.3.4:1 > " VIP ":80 tcp S", PARSE_BAD_SOURCE},  // ::ffff:1.2.3.4
		{CLIENT ":1 > 1.2.3.4:80 tcp S", PARSE_BAD_SOURCE},
		{VIP ":1 > " VIP ":80 tcp S", PARSE_BAD_SOURCE},
	};
	expect_all(cases, COUNT(cases));
}

#define FOUR "dest,dest,dest,dest"

Test(parse_ipv6, reads_past_extension_headers_and_no_further_than_needed)
{
	static const struct expectation cases[] = {
		{TO_VIP "tcp S ext hop", PARSE_OK},
		{TO_VIP "tcp S ext alert", PARSE_OK},
		{TO_VIP "tcp S ext dest", PARSE_OK},
		{TO_VIP "udp ext hop,dest24,route0done,route2done,dest", PARSE_OK},
		{TO_VIP "tcp S ext dest,hop", PARSE_MALFORMED}, // RFC 8200 section 4.1
		{TO_VIP "tcp S ext hop,hop", PARSE_MALFORMED},
		{TO_VIP "tcp S ext route0", PARSE_SOURCE_ROUTE},
		{TO_VIP "tcp S ext hop,route0", PARSE_SOURCE_ROUTE},
		{TO_VIP "tcp S ext route2", PARSE_SOURCE_ROUTE},
		{TO_VIP "tcp S ext overrun", PARSE_TRUNCATED},
		{TO_VIP "tcp S ext ah", PARSE_NOT_OURS},
		{TO_VIP "tcp S ext dest,ah", PARSE_NOT_OURS},
		{TO_VIP "tcp S ext hop,ah,dest", PARSE_NOT_OURS},
		{TO_VIP "tcp S ext " FOUR "," FOUR, PARSE_OK},
		{TO_VIP "tcp S ext hop,dest,route2done," FOUR ",dest", PARSE_OK},
		{TO_VIP "tcp S ext " FOUR "," FOUR ",dest", PARSE_HEADER_CHAIN},
		{TO_VIP "tcp S ext " FOUR "," FOUR "," FOUR, PARSE_HEADER_CHAIN},
		{CLIENT " > " VIP " proto 59 ext dest", PARSE_NOT_OURS},
	};
	expect_all(cases, COUNT(cases));
}

Test(parse_ipv6, fragments)
{
	static const struct expectation cases[] = {
		{TO_VIP "udp len 64 ext frag", PARSE_OK}, // all of it
		{TO_VIP "udp mf len 8", PARSE_OK},
		{TO_VIP "udp mf len 9", PARSE_MALFORMED},
		{TO_VIP "udp frag 1", PARSE_LATER_FRAGMENT},
		{TO_VIP "udp frag 8191", PARSE_MALFORMED}, // ends behind 65535
		{TO_VIP "udp frag 8190", PARSE_LATER_FRAGMENT},
		{TO_VIP "udp frag 8190 ext hop",
		 PARSE_MALFORMED}, // with what each fragment repeats
		{TO_VIP "udp len 64 part 0 16", PARSE_OK},
		{TO_VIP "udp len 64 part 16 16 ext hop", PARSE_LATER_FRAGMENT},
		{TO_VIP "tcp A len 64 part 0 24", PARSE_OK},
		{TO_VIP "tcp A len 64 part 0 16", PARSE_TINY_FRAGMENT},
		{TO_VIP "tcp A len 64 part 8 16", PARSE_TINY_FRAGMENT},
		{TO_VIP "tcp A len 64 part 24 16", PARSE_LATER_FRAGMENT},
		{TO_VIP "udp len 64 part 0 32 ext frag,dest24", PARSE_OK},
		{TO_VIP "udp len 64 part 0 24 ext frag,dest24", PARSE_TINY_FRAGMENT},
		{TO_VIP "udp len 64 part 0 8 ext frag,dest24", PARSE_TINY_FRAGMENT},
		{TO_VIP "udp len 64 ext frag,frag", PARSE_MALFORMED},
		{CLIENT " > " VIP " icmp6 echo len 64 part 0 16", PARSE_NOT_OURS},
		{CLIENT " > " VIP " icmp6 echo len 64 part 16 16", PARSE_NOT_OURS},
		// What follows in a later fragment is no header, whatever it is called.
		{TO_VIP "udp len 64 part 8 64 ext frag,overrun", PARSE_LATER_FRAGMENT},
		{TO_VIP "udp len 64 part 0 64 ext frag,overrun", PARSE_TINY_FRAGMENT},
	};
	expect_all(cases, COUNT(cases));
}

Test(parse_ipv6, errors_are_about_TCP_or_UDP_and_go_to_their_sender)
{
	static const struct expectation cases[] = {
		{ERROR "too-big 1400" QUOTED "tcp A }", PARSE_OK},
		{ERROR "port-unreachable" QUOTED "udp }", PARSE_OK},
		{ERROR "no-route" QUOTED "udp }", PARSE_OK},
		{ERROR "time-exceeded" QUOTED "udp }", PARSE_OK},
		{ERROR "unknown-header" QUOTED "udp }", PARSE_OK},
		{ERROR "too-big 1400 ext dest" QUOTED "tcp A ext hop,route2done }", PARSE_OK},
		{ERROR "too-big 1400" QUOTED "tcp A } quote 8", PARSE_OK},
		{ERROR "too-big 1400" QUOTED "tcp A ext dest } quote 8", PARSE_OK},
		{ERROR "too-big 1400" QUOTED "tcp A } quote 7", PARSE_TRUNCATED},
		{ERROR "too-big 1400", PARSE_TRUNCATED},
		{ERROR "too-big 1400 len 40 poke 62=40", PARSE_MALFORMED},
		{ERROR "too-big 1400 { 1.2.3.4:1 > 5.6.7.8:2 tcp A len 30 } quote 50",
		 PARSE_MALFORMED},
		{ERROR "too-big 1400 { " CLIENT ":1 > [fd00::1]:2 tcp A }", PARSE_NOT_OURS},
		{ERROR "too-big 1400" QUOTED "proto 132 len 20 } quote 20", PARSE_NOT_OURS},
		{ERROR "too-big 1400" QUOTED "icmp6 echo }", PARSE_NOT_OURS},
		{ERROR "too-big 1400" QUOTED "tcp A ext ah } quote 20", PARSE_NOT_OURS},
		{ERROR "too-big 1400" QUOTED "udp mf len 20 }", PARSE_OK},
		{ERROR "too-big 1400" QUOTED "udp frag 2 len 20 }", PARSE_NOT_OURS},
		{ERROR "too-big 1400" QUOTED "tcp A ext dest,hop }", PARSE_MALFORMED},
		{ERROR "too-big 1400" QUOTED "tcp A ext route2 }", PARSE_SOURCE_ROUTE},
		{ERROR "too-big 1400" QUOTED "tcp A ext " FOUR "," FOUR ",dest }",
		 PARSE_HEADER_CHAIN},
		{ERROR "unknown-error" QUOTED "udp }", PARSE_NOT_OURS},
		{ERROR "redirect" QUOTED "udp }", PARSE_NOT_OURS},
		{ERROR "too-big 1400" QUOTED "udp } poke 54=00", PARSE_NOT_OURS},
		{ERROR "too-big 1400" QUOTED "udp } poke 54=05", PARSE_NOT_OURS},
	};
	expect_all(cases, COUNT(cases));
}

Test(parse_ipv6, describes_a_TCP_segment)
{
	struct frame_view view;
	char text[ENDPOINT_TEXT_MAX];
	cr_assert_eq(parse_text(TO_VIP "tcp PA seq 7 ack 9 ext hop,dest24 opts ts len 11 ttl 33 "
				       "pad 5",
				&view),
		     PARSE_OK);
	cr_expect(view.is_v6);
	cr_expect_str_eq(endpoint_format(&view.src, text), "[fd00:1::11]:1000");
	cr_expect_str_eq(endpoint_format(&view.dst, text), "[fd00:1::100]:80");
	cr_expect_eq(view.src.proto, IPPROTO_TCP);
	cr_expect_eq(view.dst.proto, IPPROTO_TCP);
	cr_expect_eq(view.src.zero + view.dst.zero, 0);
	cr_expect_eq(view.l3, ETH_LEN);
	cr_expect_eq(view.l4, ETH_LEN + IP6_LEN + 32);
	cr_expect_eq(view.payload, ETH_LEN + IP6_LEN + 32 + 32);
	cr_expect_eq(view.frame_len, ETH_LEN + IP6_LEN + 32 + 32 + 11);
	cr_expect_eq(view.seq, 7);
	cr_expect_eq(view.ack, 9);
	cr_expect_eq(view.tcp_flags, TCP_FLAG_PSH | TCP_FLAG_ACK);
	cr_expect_eq(view.ttl, 33);
	cr_expect_not(view.is_icmp_error);
	cr_expect_eq(frame_view_seq_len(&view), 11);
}

Test(parse_ipv6, describes_the_packet_that_an_error_quotes)
{
	struct frame_view view;
	char text[ENDPOINT_TEXT_MAX];
	cr_assert_eq(parse_text(ERROR "too-big 1400 ext dest" QUOTED
				      "tcp A seq 77 ext hop len 5 } quote 13 ttl 44",
				&view),
		     PARSE_OK);
	cr_expect(view.is_icmp_error);
	cr_expect_not(view.is_tunnel_error);
	cr_expect_str_eq(endpoint_format(&view.src, text), "[fd00:1::100]:80");
	cr_expect_str_eq(endpoint_format(&view.dst, text), "[fd00:1::11]:1000");
	cr_expect_eq(view.src.proto, IPPROTO_TCP);
	cr_expect_eq(view.seq, 77);
	cr_expect_eq(view.l4, ETH_LEN + IP6_LEN + 8);
	cr_expect_eq(view.payload, view.l4 + 8);
	cr_expect_eq(view.quoted_l3, view.l4 + 8);
	cr_expect_eq(view.quoted_l4, view.quoted_l3 + IP6_LEN + 8);
	cr_expect_eq(view.frame_len, view.quoted_l4 + 13U);
	cr_expect_eq(view.ttl, 44, "the hop limit is the error's own");
	cr_expect_eq(view.icmp_mtu, 1400);
}

Test(parse_ipv6, the_MTU_is_that_of_packet_too_big_alone)
{
	static const struct {
		const char *text;
		uint16_t mtu;
	} cases[] = {
		{ERROR "too-big 1280" QUOTED "udp }", 1280},
		{ERROR "too-big 0" QUOTED "udp }", 0},
		{ERROR "too-big 65535" QUOTED "udp }", 65535},
		{ERROR "too-big 65536" QUOTED "udp }", 65535}, // 32 bits, of which we need 16
		{ERROR "too-big 4294967295" QUOTED "udp }", 65535},
		{ERROR "param-problem rest 1400" QUOTED "udp }", 0},
		{ERROR "port-unreachable rest 1400" QUOTED "udp }", 0},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct frame_view view;
		cr_assert_eq(parse_text(cases[i].text, &view), PARSE_OK, "%s", cases[i].text);
		cr_expect_eq(view.icmp_mtu, cases[i].mtu, "%s", cases[i].text);
	}
}

// RFC 4291 section 2.5.5.2: no packet has such an address, which here would stand for an IPv4 host.
Test(parse_ipv6, an_error_that_quotes_an_IPv4_host_is_not_ours)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct text_frame frame = frame_from_text(ERROR "too-big 1400" QUOTED "tcp A }");
	struct frame_view view;
	cr_assert_eq(parse_frame(frame.bytes, frame.len, &view), PARSE_OK);
	memcpy(frame.bytes + view.quoted_l3 + IPV6_DST_OFFSET, mapped, sizeof(mapped));
	cr_expect_eq(parse_frame(frame.bytes, frame.len, &view), PARSE_NOT_OURS);
	text_frame_fini(&frame);
}

Test(parse_ipv6, the_pseudo_header_and_the_outer_source_are_the_packets_own)
{
	struct text_frame frame =
		frame_from_text(ERROR "too-big 1400 ext dest" QUOTED "tcp A len 3 }");
	struct frame_view view;
	char text[IP_ADDR_TEXT_MAX];
	cr_assert_eq(parse_frame(frame.bytes, frame.len, &view), PARSE_OK);
	uint32_t len = view.frame_len - view.l4;
	uint64_t sum = frame_pseudo_sum(frame.bytes, &view, IPPROTO_ICMPV6, len);
	cr_expect_eq(csum_fold(csum_add_bytes(sum, frame.bytes + view.l4, len)), 0xffff);
	struct ip_addr src = frame_outer_src(frame.bytes, &view);
	cr_expect_str_eq(ip_addr_format(&src, text), "fd00:9::9");
	text_frame_fini(&frame);
}

static const char *const whole[] = {
	TO_VIP "tcp S ext hop,dest24,route2done opts mss,sack,ts,ws len 4",
	TO_VIP "udp ext dest len 4",
	TO_VIP "udp mf len 4",
	ERROR "too-big 1400 ext dest" QUOTED "tcp A ext hop,dest } quote 40",
	ERROR "time-exceeded" QUOTED "udp len 9 } quote 40",
};

// Each frame at each length, in memory that ends there.
Test(parse_ipv6, reads_nothing_beyond_the_frame)
{
	for (size_t i = 0; i < COUNT(whole); i++) {
		struct text_frame made = frame_from_text(whole[i]);
		for (uint32_t len = 0; len < made.len; len++) {
			struct frame_view view;
			uint8_t *exact = text_frame_cut(&made, len);
			cr_expect_eq(parse_frame(exact, len, &view), PARSE_TRUNCATED, "%s at %u",
				     whole[i], len);
			free(exact);
		}
		text_frame_fini(&made);
	}
}

// The payload length is cut with the frame: a header is what ends early.
Test(parse_ipv6, a_packet_cut_with_its_length_is_truncated_up_to_its_headers)
{
	static const struct {
		const char *text;
		uint32_t n_needed; // bytes of IP packet
	} cases[] = {
		{TO_VIP "tcp S ext hop,dest24 opts ts len 9", 40 + 32 + 32},
		{TO_VIP "udp ext dest", 40 + 8 + 8},
		{ERROR "too-big 1400 ext dest" QUOTED "tcp A ext hop } quote 40",
		 40 + 8 + 8 + 40 + 8 + 8},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct text_frame made = frame_from_text(cases[i].text);
		for (uint32_t len = IP6_LEN; len <= made.len - ETH_LEN; len++) {
			struct frame_view view;
			uint8_t *exact = text_frame_cut(&made, ETH_LEN + len);
			exact[ETH_LEN + 4] = (uint8_t)((len - IP6_LEN) >> 8);
			exact[ETH_LEN + 5] = (uint8_t)(len - IP6_LEN);
			enum parse_result expected =
				len < cases[i].n_needed ? PARSE_TRUNCATED : PARSE_OK;
			cr_expect_eq(parse_frame(exact, ETH_LEN + len, &view), expected, "%s at %u",
				     cases[i].text, len);
			free(exact);
		}
		text_frame_fini(&made);
	}
}

// What the bytes say may be nonsense; what is read stays within the frame. Address checkers watch.
Test(parse_ipv6, survives_any_byte_in_any_place)
{
	for (size_t i = 0; i < COUNT(whole); i++) {
		struct text_frame made = frame_from_text(whole[i]);
		uint8_t *exact = text_frame_cut(&made, made.len);
		for (uint32_t at = ETH_LEN; at < made.len; at++) {
			for (unsigned value = 0; value <= UINT8_MAX; value++) {
				struct frame_view view;
				exact[at] = (uint8_t)value;
				if (parse_frame(exact, made.len, &view) != PARSE_OK)
					continue;
				cr_assert_leq(view.frame_len, made.len);
				cr_assert_leq(view.payload, view.frame_len);
				cr_assert(view.l4 < view.payload);
			}
			exact[at] = made.bytes[at];
		}
		free(exact);
		text_frame_fini(&made);
	}
}
