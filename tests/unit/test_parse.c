// SPDX-License-Identifier: Apache-2.0
// From bytes to a view: every result, and every length cut short. Frames are written in the
// notation of tests/golden.
#include "culvert/net/parse.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/frame_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum parse_result parse_text(const char *text, struct frame_view *view)
{
	struct text_frame frame = frame_from_text(text);
	enum parse_result result = parse_frame(frame.bytes, frame.len, view);
	text_frame_fini(&frame);
	return result;
}

static const struct {
	const char *text;
	enum parse_result result;
} frames[] = {
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S", PARSE_OK},
	{"1.2.3.4:1 > 5.6.7.8:0 tcp S", PARSE_OK},
	{"1.2.3.4:1 > 5.6.7.8:80 udp", PARSE_OK},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S ipopts rr,alert opts mss,ts len 3 pad 9", PARSE_OK},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S df", PARSE_OK},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S poke 12=8100", PARSE_NOT_OURS},
	{"1.2.3.4 > 5.6.7.8 proto 132 len 20", PARSE_NOT_OURS},
	{"1.2.3.4 > 5.6.7.8 icmp echo len 20", PARSE_NOT_OURS},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S cut 0", PARSE_OK}, // 0 is no cut in the notation
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S cut 1", PARSE_TRUNCATED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S cut 14", PARSE_TRUNCATED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S len 8 cut 61", PARSE_TRUNCATED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S poke 46=f0", PARSE_TRUNCATED},
	{"1.2.3.4:1 > 5.6.7.8:80 udp len 4 poke 38=000d", PARSE_TRUNCATED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S poke 14=55", PARSE_MALFORMED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S poke 14=44", PARSE_MALFORMED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S poke 16=0000", PARSE_MALFORMED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S poke 46=4f", PARSE_MALFORMED},
	{"1.2.3.4:1 > 5.6.7.8:80 udp poke 38=0007", PARSE_MALFORMED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S ipopts overrun", PARSE_MALFORMED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S ipopts short", PARSE_MALFORMED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S ipopts nop,nop,nop,stub", PARSE_MALFORMED},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S badipsum", PARSE_BAD_IP_CHECKSUM},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S ipopts rr poke 40=ff", PARSE_BAD_IP_CHECKSUM},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S ipopts nop,lsrr", PARSE_SOURCE_ROUTE},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S ipopts ssrr", PARSE_SOURCE_ROUTE},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp S mf opts ts", PARSE_OK},
	{"1.2.3.4:1 > 5.6.7.8:80 udp len 100 part 0 48", PARSE_OK},
	{"1.2.3.4:1 > 5.6.7.8:80 udp len 100 part 0 8", PARSE_OK},
	{"1.2.3.4:1 > 5.6.7.8:80 udp len 100 part 8 8", PARSE_LATER_FRAGMENT},
	{"1.2.3.4:1 > 5.6.7.8:80 udp len 100 part 96 12", PARSE_LATER_FRAGMENT},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp A len 100 part 24 8", PARSE_LATER_FRAGMENT},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp A len 100 part 8 8", PARSE_TINY_FRAGMENT},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp A len 100 part 16 8", PARSE_TINY_FRAGMENT},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp A len 100 part 0 16", PARSE_TINY_FRAGMENT},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp A len 100 opts ts part 0 24", PARSE_TINY_FRAGMENT},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp A len 100 opts ts part 0 32", PARSE_OK},
	{"1.2.3.4 > 5.6.7.8 proto 47 len 100 part 8 8", PARSE_NOT_OURS},
	{"1.2.3.4 > 5.6.7.8 icmp echo len 100 part 0 8", PARSE_NOT_OURS},
	{"1.2.3.4 > 5.6.7.8 icmp echo len 100 part 8 8", PARSE_NOT_OURS},
	{"1.2.3.4:1 > 5.6.7.8:80 udp len 3 mf", PARSE_MALFORMED},
	{"1.2.3.4:1 > 5.6.7.8:80 udp len 100 frag 8191", PARSE_MALFORMED},
	{"1.2.3.4:1 > 5.6.7.8:80 udp frag 8188", PARSE_LATER_FRAGMENT}, // to 65532
	{"127.0.0.1:1 > 5.6.7.8:80 udp len 100 part 8 8", PARSE_BAD_SOURCE},
	{"0.0.0.0:1 > 5.6.7.8:80 tcp S", PARSE_BAD_SOURCE},
	{"127.1.2.3:1 > 5.6.7.8:80 tcp S", PARSE_BAD_SOURCE},
	{"239.1.2.3:1 > 5.6.7.8:80 tcp S", PARSE_BAD_SOURCE},
	{"240.1.2.3:1 > 5.6.7.8:80 tcp S", PARSE_BAD_SOURCE},
	{"5.6.7.8:1 > 5.6.7.8:80 tcp S", PARSE_BAD_SOURCE},
	{"1.2.3.4:0 > 5.6.7.8:80 tcp S", PARSE_BAD_SOURCE},
	{"1.2.3.4:0 > 5.6.7.8:80 udp", PARSE_BAD_SOURCE},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp -", PARSE_BAD_TCP_FLAGS},
	{"1.2.3.4:1 > 5.6.7.8:80 tcp SAFR", PARSE_BAD_TCP_FLAGS},
	{"1.2.3.4 > 5.6.7.8 icmp frag-needed 0 { 5.6.7.8:1 > 9.9.9.9:80 tcp A }", PARSE_OK},
	{"1.2.3.4 > 5.6.7.8 icmp frag-needed 0 { 5.6.7.9:1 > 9.9.9.9:80 tcp A }", PARSE_NOT_OURS},
	{"1.2.3.4 > 5.6.7.8 icmp frag-needed 0 { 5.6.7.8:1 > 9.9.9.9:80 tcp A frag 4 }",
	 PARSE_NOT_OURS},
	{"1.2.3.4 > 5.6.7.8 icmp frag-needed 0 { 5.6.7.8 > 9.9.9.9 proto 47 len 9 }",
	 PARSE_NOT_OURS},
	{"1.2.3.4 > 5.6.7.8 icmp frag-needed 0 { [fd00::1]:1 > [fd00::2]:2 tcp A }",
	 PARSE_MALFORMED},
	{"1.2.3.4 > 5.6.7.8 icmp frag-needed 0 { 5.6.7.8:1 > 9.9.9.9:80 tcp A } poke 42=44",
	 PARSE_MALFORMED},
	{"1.2.3.4 > 5.6.7.8 icmp source-quench { 5.6.7.8:1 > 9.9.9.9:80 tcp A }", PARSE_NOT_OURS},
	{"1.2.3.4 > 5.6.7.8 icmp port-unreachable { 5.6.7.8:1 > 9.9.9.9:80 tcp A }", PARSE_OK},
	{"1.2.3.4 > 5.6.7.8 icmp port-unreachable { 5.6.7.8 > 9.9.9.9 ipip "
	 "{ 3.3.3.3:1 > 4.4.4.4:80 tcp A } } quote 27",
	 PARSE_NOT_OURS},
};

Test(parse, names_what_is_wrong)
{
	for (size_t i = 0; i < COUNT(frames); i++) {
		struct frame_view view;
		cr_expect_eq(parse_text(frames[i].text, &view), frames[i].result, "%s",
			     frames[i].text);
	}
}

// Of the letters in `set`, those that matter: PSH may accompany anything.
static bool is_set_in(const char *set, const char *const *list, size_t n)
{
	char rest[8];
	size_t len = 0;
	for (; *set; set++) {
		if (*set != 'P')
			rest[len++] = *set;
	}
	rest[len] = '\0';
	for (size_t i = 0; i < n; i++) {
		if (strcmp(rest, list[i]) == 0)
			return true;
	}
	return false;
}

Test(parse, accepts_the_flags_that_TCP_sends_and_no_others)
{
	// In the order of the bits: FIN, SYN, RST, PSH, ACK, URG.
	static const char *const valid[] = {"S", "SA", "SU", "R", "RA", "FA", "FAU", "A", "AU"};
	for (unsigned flags = 0; flags < 64; flags++) {
		char text[64];
		char set[8];
		size_t len = 0;
		for (unsigned bit = 0; bit < 6; bit++) {
			if (flags >> bit & 1)
				set[len++] = "FSRPAU"[bit];
		}
		set[len] = '\0';
		struct frame_view view;
		snprintf(text, sizeof(text), "1.2.3.4:1 > 5.6.7.8:80 tcp %sEC", set);
		bool is_valid = is_set_in(set, valid, COUNT(valid));
		cr_expect_eq(parse_text(text, &view) == PARSE_OK, is_valid, "flags %s", set);
	}
}

Test(parse, describes_a_TCP_segment)
{
	struct frame_view view;
	char text[ENDPOINT_TEXT_MAX];
	cr_assert_eq(parse_text("1.2.3.4:1000 > 5.6.7.8:80 tcp PA seq 7 ack 9 ipopts rr opts ts "
				"len 11 ttl 33 pad 5",
				&view),
		     PARSE_OK);
	cr_expect_str_eq(endpoint_format(&view.src, text), "1.2.3.4:1000");
	cr_expect_str_eq(endpoint_format(&view.dst, text), "5.6.7.8:80");
	cr_expect_eq(view.src.proto, IPPROTO_TCP);
	cr_expect_eq(view.dst.proto, IPPROTO_TCP);
	cr_expect_eq(view.src.zero + view.dst.zero, 0);
	cr_expect_eq(view.l3, 14);
	cr_expect_eq(view.l4, 14 + 28);
	cr_expect_eq(view.payload, 14 + 28 + 32);
	cr_expect_eq(view.frame_len, 14 + 28 + 32 + 11);
	cr_expect_eq(view.seq, 7);
	cr_expect_eq(view.ack, 9);
	cr_expect_eq(view.tcp_flags, TCP_FLAG_PSH | TCP_FLAG_ACK);
	cr_expect_eq(view.ttl, 33);
	cr_expect_not(view.is_icmp_error);
	cr_expect_eq(frame_view_seq_len(&view), 11);
}

Test(parse, counts_SYN_and_FIN_as_a_byte_each)
{
	static const struct {
		const char *text;
		uint32_t len;
	} cases[] = {
		{"1.2.3.4:1 > 5.6.7.8:80 tcp S pad 6", 1},
		{"1.2.3.4:1 > 5.6.7.8:80 tcp S len 10", 11},
		{"1.2.3.4:1 > 5.6.7.8:80 tcp FA len 10", 11},
		{"1.2.3.4:1 > 5.6.7.8:80 tcp A pad 6", 0},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct frame_view view;
		cr_assert_eq(parse_text(cases[i].text, &view), PARSE_OK);
		cr_expect_eq(frame_view_seq_len(&view), cases[i].len, "%s", cases[i].text);
	}
}

Test(parse, describes_the_packet_that_an_ICMP_error_quotes)
{
	struct frame_view view;
	char text[ENDPOINT_TEXT_MAX];
	cr_assert_eq(parse_text("9.9.9.9 > 5.6.7.8 icmp time-exceeded ipopts alert { 5.6.7.8:80 > "
				"1.2.3.4:1000 udp ipopts rr len 5 } quote 13 ttl 44",
				&view),
		     PARSE_OK);
	cr_expect(view.is_icmp_error);
	cr_expect_str_eq(endpoint_format(&view.src, text), "5.6.7.8:80");
	cr_expect_str_eq(endpoint_format(&view.dst, text), "1.2.3.4:1000");
	cr_expect_eq(view.src.proto, IPPROTO_UDP);
	cr_expect_eq(view.l4, 14 + 24);
	cr_expect_eq(view.quoted_l3, 14 + 24 + 8);
	cr_expect_eq(view.quoted_l4, 14 + 24 + 8 + 28);
	cr_expect_eq(view.frame_len, 14 + 24 + 8 + 28 + 13);
	cr_expect_eq(view.ttl, 44, "the time to live is the error's own");
}

// RFC 2003 section 4: what a tunnel's router says, about what went in.
Test(parse, describes_the_packet_that_a_quoted_tunnel_carries)
{
	struct frame_view view;
	char text[ENDPOINT_TEXT_MAX];
	cr_assert_eq(parse_text("9.9.9.9 > 5.6.7.8 icmp frag-needed 1400 { 5.6.7.8 > 1.1.1.1 ipip "
				"{ 3.3.3.3:1000 > 4.4.4.4:80 tcp A seq 7 } } quote 28",
				&view),
		     PARSE_OK);
	cr_expect(view.is_tunnel_error);
	cr_expect_str_eq(ip_addr_format(&view.tunnel_end, text), "1.1.1.1");
	cr_expect_str_eq(endpoint_format(&view.src, text), "3.3.3.3:1000");
	cr_expect_str_eq(endpoint_format(&view.dst, text), "4.4.4.4:80");
	cr_expect_eq(view.quoted_l3, 14 + 28 + 20);
	cr_expect_eq(view.quoted_l4, 14 + 28 + 40);
	cr_expect_eq(view.seq, 7);
	cr_expect_eq(view.icmp_mtu, 1400);
	struct text_frame frame = frame_from_text("9.9.9.9:1 > 5.6.7.8:2 udp");
	cr_assert_eq(parse_frame(frame.bytes, frame.len, &view), PARSE_OK);
	struct ip_addr src = frame_outer_src(frame.bytes, &view);
	cr_expect_str_eq(ip_addr_format(&src, text), "9.9.9.9");
	text_frame_fini(&frame);
}

// Each frame at each length: cut by the wire, and cut with the headers' own lengths following.
Test(parse, reads_nothing_beyond_the_frame)
{
	static const char *const texts[] = {
		"1.2.3.4:1 > 5.6.7.8:80 tcp S opts mss,sack,ts,ws ipopts rr len 4",
		"1.2.3.4:1 > 5.6.7.8:80 udp len 4",
		"1.2.3.4 > 5.6.7.8 icmp frag-needed 9 { 5.6.7.8:1 > 9.9.9.9:80 tcp A ipopts rr } "
		"quote 40",
		"1.2.3.4 > 5.6.7.8 icmp frag-needed 9 { 5.6.7.8:1 > 9.9.9.9:80 udp len 9 } quote "
		"40",
	};
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct text_frame made = frame_from_text(texts[i]);
		for (uint32_t len = 0; len < made.len; len++) {
			struct frame_view view;
			uint8_t *exact = text_frame_cut(&made, len);
			cr_expect_eq(parse_frame(exact, len, &view), PARSE_TRUNCATED, "%s at %u",
				     texts[i], len);
			free(exact);
		}
		text_frame_fini(&made);
	}
}

// The IP total length cut with the frame, its checksum set right: the transport header, or the
// quote, is what ends early.
Test(parse, a_packet_cut_with_its_length_is_truncated_up_to_its_headers)
{
	static const struct {
		const char *text;
		uint32_t n_needed; // bytes of IP packet
	} cases[] = {
		{"1.2.3.4:1 > 5.6.7.8:80 tcp S opts ts", 20 + 32},
		{"1.2.3.4:1 > 5.6.7.8:80 udp", 20 + 8},
		{"1.2.3.4 > 5.6.7.8 icmp frag-needed 9 { 5.6.7.8:1 > 9.9.9.9:80 tcp A ipopts rr } "
		 "quote 40",
		 20 + 8 + 28 + 8},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct text_frame made = frame_from_text(cases[i].text);
		for (uint32_t len = 20; len <= made.len - 14; len++) {
			struct frame_view view;
			uint8_t *ip = made.bytes + 14;
			ip[2] = (uint8_t)(len >> 8);
			ip[3] = (uint8_t)len;
			ip[10] = ip[11] = 0;
			uint16_t sum = (uint16_t)~frame_plain_sum(ip, 20, 0);
			ip[10] = (uint8_t)(sum >> 8);
			ip[11] = (uint8_t)sum;
			enum parse_result expected =
				len < cases[i].n_needed ? PARSE_TRUNCATED : PARSE_OK;
			cr_expect_eq(parse_frame(made.bytes, 14 + len, &view), expected, "%s at %u",
				     cases[i].text, len);
		}
		text_frame_fini(&made);
	}
}
