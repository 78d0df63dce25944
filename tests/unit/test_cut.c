// SPDX-License-Identifier: Apache-2.0
// Pieces of packets: segments are compared with packets built from nothing, fragments are put
// together again.
#include "culvert/net/cut.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/frame.h"

enum { N_ROUNDS = 3000, IP_AT = 14, TCP_FLAG_CWR = 0x80, MORE = 0x2000, OFFSET_MASK = 0x1fff };

static uint32_t any(uint32_t n)
{
	return (uint32_t)rand() % n;
}

static struct frame_options random_options(uint32_t n)
{
	struct frame_options options = {.len = (uint8_t)(4 * any(n))};
	memset(options.bytes, 1, options.len);
	return options;
}

static struct frame_spec random_spec(uint8_t proto)
{
	return (struct frame_spec){
		.src = frame_v4(0x0a010000 + any(1000)),
		.dst = frame_v4(0x0a020000 + any(1000)),
		.proto = proto,
		.ttl = 64,
		.tos = (uint8_t)any(256),
		.id = (uint16_t)rand(),
		.fragment = any(2) ? 0x4000 : 0,
		.ip_options = random_options(4),
		.src_port = (uint16_t)(1 + any(60000)),
		.dst_port = 80,
		.seq = (uint32_t)rand() << 2,
		.ack = (uint32_t)rand(),
		.flags = TCP_FLAG_ACK | (any(2) ? TCP_FLAG_PSH | TCP_FLAG_FIN : 0) |
			 (any(2) ? TCP_FLAG_CWR : 0),
		.window = (uint16_t)rand(),
		.tcp_options = random_options(5),
		.sum = any(2) ? SUM_PARTIAL : SUM_RIGHT,
	};
}

// The i-th piece as a frame. Returns its length.
static uint32_t piece_of(const struct cut *cut, const uint8_t *frame, const struct frame_view *view,
			 uint32_t i, uint8_t *out)
{
	struct cut_piece piece = cut_piece(cut, view, i);
	memcpy(out, frame, IP_AT);
	cut_write_headers(cut, frame, view, i, out + IP_AT);
	memcpy(out + IP_AT + piece.header_len, frame + piece.at, piece.len);
	return IP_AT + piece.header_len + piece.len;
}

static struct frame_spec segment_of(const struct frame_spec *whole, const struct cut *cut,
				    const struct frame_view *view, uint32_t i)
{
	struct frame_spec segment = *whole;
	bool is_last = i + 1 == cut->n;
	segment.sum = SUM_RIGHT;
	segment.id = (uint16_t)(whole->id + i);
	segment.payload_from = i * cut->piece_len;
	segment.payload_len = cut_piece(cut, view, i).len;
	segment.seq += i * cut->piece_len;
	if (i)
		segment.flags &= (uint8_t)~TCP_FLAG_CWR;
	if (!is_last)
		segment.flags &= (uint8_t) ~(TCP_FLAG_PSH | TCP_FLAG_FIN);
	return segment;
}

static void cut_at_random(uint8_t proto, enum cut_kind kind)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t piece[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	for (int round = 0; round < N_ROUNDS; round++) {
		struct frame_spec whole = random_spec(proto);
		struct virtio_net_hdr vnet;
		struct frame_view view;
		struct cut cut;
		uint32_t piece_len = 1 + any(3000);
		whole.payload_len = 1 + any(piece_len * 5);
		uint32_t len = frame_build(&whole, frame, &vnet);
		cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
		cr_assert(cut_plan(&cut, kind, &view, piece_len));
		uint32_t sum = 0;
		for (uint32_t i = 0; i < cut.n; i++) {
			struct frame_spec segment = segment_of(&whole, &cut, &view, i);
			uint32_t piece_frame_len = piece_of(&cut, frame, &view, i, piece);
			uint32_t expected_len = frame_build(&segment, expected, &vnet);
			char why[200];
			cr_assert_null(frame_difference(expected, expected_len, piece,
							piece_frame_len, why, sizeof(why)),
				       "round %d, piece %u of %u: %s", round, i, cut.n, why);
			sum += segment.payload_len;
		}
		cr_assert_eq(sum, whole.payload_len);
	}
}

Test(cut, TCP_segments_are_those_that_hardware_would_make)
{
	srand(1);
	cut_at_random(IPPROTO_TCP, CUT_TCP_SEGMENTS);
}

Test(cut, UDP_datagrams_likewise)
{
	srand(2);
	cut_at_random(IPPROTO_UDP, CUT_UDP_DATAGRAMS);
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void check_fragment(const uint8_t *ip, const struct cut *cut, uint32_t i, uint32_t total_len,
			   uint32_t piece_len)
{
	uint32_t field = get16(ip + 6);
	cr_assert_eq(frame_plain_sum(ip, cut->header_len, 0), 0xffff);
	cr_assert_eq(get16(ip + 2), total_len);
	cr_assert_eq((field & OFFSET_MASK) * 8, i * cut->piece_len);
	cr_assert_eq(!!(field & MORE), i + 1 < cut->n);
	if (i + 1 < cut->n)
		cr_assert_eq(piece_len % 8, 0);
}

Test(cut, fragments_put_together_are_the_datagram)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t piece[FRAME_MAX];
	static uint8_t whole[FRAME_MAX];
	srand(3);
	for (int round = 0; round < N_ROUNDS; round++) {
		struct frame_spec spec = random_spec(IPPROTO_UDP);
		struct virtio_net_hdr vnet;
		struct frame_view view;
		struct cut cut;
		uint32_t room = 8 + any(1500);
		spec.fragment = 0;
		spec.payload_len = any(4000);
		uint32_t len = frame_build(&spec, frame, &vnet);
		cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
		cr_assert(cut_plan(&cut, CUT_FRAGMENTS, &view, room));
		cr_assert_leq(cut.piece_len, room);
		uint32_t at = 0;
		for (uint32_t i = 0; i < cut.n; i++) {
			uint32_t piece_frame_len = piece_of(&cut, frame, &view, i, piece);
			uint32_t piece_len = piece_frame_len - IP_AT - cut.header_len;
			check_fragment(piece + IP_AT, &cut, i, piece_frame_len - IP_AT, piece_len);
			memcpy(whole + at, piece + IP_AT + cut.header_len, piece_len);
			at += piece_len;
		}
		cr_assert_eq(at, len - view.l4);
		cr_assert_arr_eq(whole, frame + view.l4, at);
	}
}

// The fragments of one datagram, put together, in `whole`. Returns the number of the next piece.
static uint32_t put_together(const struct cut *cut, const uint8_t *frame,
			     const struct frame_view *view, uint32_t i, uint32_t room,
			     uint8_t *whole, uint32_t *whole_len)
{
	static uint8_t piece[FRAME_MAX];
	uint32_t ip_header_len = (uint32_t)view->l4 - view->l3;
	*whole_len = IP_AT + ip_header_len;
	for (bool is_last = false; !is_last; i++) {
		uint32_t len = piece_of(cut, frame, view, i, piece);
		uint32_t field = get16(piece + IP_AT + 6);
		uint32_t data_at = IP_AT + ip_header_len;
		is_last = !(field & MORE);
		cr_assert_leq(len - data_at, room);
		cr_assert_eq(get16(piece + IP_AT + 2), len - IP_AT);
		cr_assert_eq((field & OFFSET_MASK) * 8, *whole_len - data_at);
		cr_assert(is_last || (len - data_at) % 8 == 0);
		cr_assert_eq(frame_plain_sum(piece + IP_AT, ip_header_len, 0), 0xffff);
		if ((field & OFFSET_MASK) == 0)
			memcpy(whole, piece, data_at);
		memcpy(whole + *whole_len, piece + data_at, len - data_at);
		*whole_len += len - data_at;
	}
	// As if it had never been in pieces.
	whole[IP_AT + 2] = (uint8_t)((*whole_len - IP_AT) >> 8);
	whole[IP_AT + 3] = (uint8_t)(*whole_len - IP_AT);
	memset(whole + IP_AT + 6, 0, 2);
	memset(whole + IP_AT + 10, 0, 2);
	uint16_t sum = (uint16_t)~frame_plain_sum(whole + IP_AT, ip_header_len, 0);
	whole[IP_AT + 10] = (uint8_t)(sum >> 8);
	whole[IP_AT + 11] = (uint8_t)sum;
	return i;
}

Test(cut, fragments_of_several_datagrams_are_each_one_datagram)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t whole[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(5);
	for (int round = 0; round < N_ROUNDS; round++) {
		struct frame_spec spec = random_spec(IPPROTO_UDP);
		struct virtio_net_hdr vnet;
		struct frame_view view;
		struct cut cut;
		uint32_t room = 16 + any(1500);
		uint32_t each = 1 + any(4000);
		char why[200];
		spec.fragment = 0;
		spec.payload_len = 1 + any(each * 3);
		uint32_t len = frame_build(&spec, frame, &vnet);
		cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
		cr_assert(cut_plan_datagrams(&cut, &view, each, room));
		uint32_t i = 0;
		for (uint32_t at = 0; at < spec.payload_len; at += each) {
			uint32_t whole_len;
			uint32_t rest = spec.payload_len - at;
			struct frame_spec datagram = spec;
			i = put_together(&cut, frame, &view, i, room, whole, &whole_len);
			datagram.sum = SUM_RIGHT;
			datagram.id = (uint16_t)(spec.id + at / each);
			datagram.payload_from = at;
			datagram.payload_len = rest < each ? rest : each;
			uint32_t expected_len = frame_build(&datagram, expected, &vnet);
			cr_assert_null(frame_difference(expected, expected_len, whole, whole_len,
							why, sizeof(why)),
				       "round %d, from %u: %s", round, at, why);
		}
		cr_assert_eq(i, cut.n);
	}
}

Test(cut, options_that_are_not_to_be_copied_stay_in_the_first_fragment)
{
	uint8_t frame[FRAME_MAX];
	uint8_t headers[60];
	struct virtio_net_hdr vnet;
	struct frame_view view;
	struct cut cut;
	struct frame_spec spec = random_spec(IPPROTO_UDP);
	spec.fragment = 0;
	spec.payload_len = 100;
	// Record route (not copied), router alert (copied), the end, and what follows it.
	spec.ip_options = (struct frame_options){{7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0, 0xaa, 0xbb,
						  0xcc, 0xdd},
						 16};
	static const uint8_t later[16] = {1, 1, 1, 1, 1,    1,    1,    148,
					  4, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd};
	uint32_t len = frame_build(&spec, frame, &vnet);
	cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
	cr_assert(cut_plan(&cut, CUT_FRAGMENTS, &view, 64));
	cut_write_headers(&cut, frame, &view, 0, headers);
	cr_expect_arr_eq(headers + 20, spec.ip_options.bytes, 16);
	cut_write_headers(&cut, frame, &view, 1, headers);
	cr_expect_arr_eq(headers + 20, later, 16);
	cr_expect_eq(frame_plain_sum(headers, 36, 0), 0xffff);
}

Test(cut, what_cannot_be_cut_is_refused)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct frame_view view;
	struct cut cut;
	struct frame_spec spec = random_spec(IPPROTO_TCP);
	uint32_t len = frame_build(&spec, frame, &vnet);
	cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
	cr_expect_not(cut_plan(&cut, CUT_TCP_SEGMENTS, &view, 1000), "no payload");
	spec.payload_len = 60000;
	len = frame_build(&spec, frame, &vnet);
	cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
	cr_expect_not(cut_plan(&cut, CUT_TCP_SEGMENTS, &view, 0));
	cr_expect_not(cut_plan(&cut, CUT_FRAGMENTS, &view, 7));
	cr_expect_not(cut_plan(&cut, CUT_TCP_SEGMENTS, &view, 1), "absurdly many");
	cr_expect(cut_plan(&cut, CUT_TCP_SEGMENTS, &view, 100));
	cr_expect_eq(cut.n, 600);
	spec.proto = IPPROTO_UDP;
	len = frame_build(&spec, frame, &vnet);
	cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
	cr_expect_not(cut_plan_datagrams(&cut, &view, 0, 1000));
	cr_expect_not(cut_plan_datagrams(&cut, &view, 2000, 15), "no room for eight bytes");
	cr_expect_not(cut_plan_datagrams(&cut, &view, 2000, 16), "absurdly many");
	cr_expect(cut_plan_datagrams(&cut, &view, 2000, 1008));
	cr_expect_eq(cut.n, 60);
}

Test(cut, a_completed_checksum_is_the_one_the_sender_would_have_computed)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(4);
	for (int round = 0; round < N_ROUNDS; round++) {
		struct frame_spec spec = random_spec(any(2) ? IPPROTO_TCP : IPPROTO_UDP);
		struct virtio_net_hdr vnet;
		struct virtio_net_hdr none;
		spec.payload_len = any(200);
		spec.sum = SUM_PARTIAL;
		uint32_t len = frame_build(&spec, frame, &vnet);
		cr_assert(cut_complete_checksum(frame, len, vnet.csum_start, vnet.csum_offset));
		spec.sum = SUM_RIGHT;
		frame_build(&spec, expected, &none);
		cr_assert_arr_eq(frame, expected, len, "round %d", round);
	}
}

Test(cut, a_checksum_outside_the_frame_is_refused)
{
	uint8_t frame[100] = {0};
	cr_expect(cut_complete_checksum(frame, sizeof(frame), 92, 6));
	cr_expect_not(cut_complete_checksum(frame, sizeof(frame), 93, 6));
	cr_expect_not(cut_complete_checksum(frame, sizeof(frame), 0xffff, 0xffff));
}
