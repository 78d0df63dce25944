// SPDX-License-Identifier: Apache-2.0
#include "packet/partial.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>

#include "../support/lib/frame.h"

static const struct ip_addr v6_src = {{0xfd, [15] = 9}};
static const struct ip_addr v6_dst = {{0xfd, [15] = 1}};

static struct frame_spec spec_of(bool is_v6, uint8_t proto, enum frame_sum sum)
{
	return (struct frame_spec){
		.src = is_v6 ? v6_src : frame_v4(0x0a00000a),
		.dst = is_v6 ? v6_dst : frame_v4(0x0a000001),
		.proto = proto,
		.ttl = 64,
		.src_port = 40000,
		.dst_port = 80,
		.payload_len = 101,
		.sum = sum,
	};
}

static struct packet packet_of(const struct frame_spec *spec, uint8_t *frame)
{
	struct virtio_net_hdr vnet;
	struct packet packet = {.frame = frame};
	packet.len = frame_build(spec, frame, &vnet);
	memset(&packet.vnet, 0xff, sizeof(packet.vnet));
	return packet;
}

static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP};

static void assert_completed(uint32_t payload_len)
{
	static uint8_t frame[FRAME_MAX];
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		for (size_t i = 0; i < sizeof(protos); i++) {
			struct frame_spec spec = spec_of(is_v6, protos[i], SUM_PARTIAL);
			spec.payload_len = payload_len;
			struct packet packet = packet_of(&spec, frame);
			partial_recognise(&packet);
			cr_expect_eq(packet.vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
			cr_expect_eq(packet.vnet.csum_start, is_v6 ? 54 : 34);
			cr_expect_eq(packet.vnet.csum_offset, protos[i] == IPPROTO_TCP ? 16 : 6);
			cr_expect_eq(packet.vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
			partial_complete(&packet);
			cr_expect_eq(packet.vnet.flags, 0);
			cr_expect_eq(frame_transport_sum(frame, packet.len, false), SUM_RIGHT);
		}
	}
}

Test(partial, a_sum_that_waits_is_recognised_and_completed)
{
	assert_completed(101);
	assert_completed(1000);
}

Test(partial, however_short_the_packet_is)
{
	for (uint32_t payload_len = 0; payload_len < 20; payload_len++)
		assert_completed(payload_len);
}

Test(partial, what_is_complete_wrong_or_absent_stays)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t before[FRAME_MAX];
	const enum frame_sum sums[] = {SUM_RIGHT, SUM_WRONG, SUM_NONE};
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
			struct frame_spec spec = spec_of(is_v6, IPPROTO_UDP, sums[i]);
			struct packet packet = packet_of(&spec, frame);
			memcpy(before, frame, packet.len);
			partial_recognise(&packet);
			cr_expect_eq(packet.vnet.flags, 0);
			partial_complete(&packet);
			cr_expect_arr_eq(frame, before, packet.len);
		}
	}
}

// A right checksum that is the sum of its pseudo-header by chance: the payload makes it so.
Test(partial, a_right_checksum_that_looks_like_it_is_still_right)
{
	static uint8_t frame[FRAME_MAX];
	struct frame_spec spec = spec_of(false, IPPROTO_UDP, SUM_RIGHT);
	struct packet packet;
	bool is_found = false;
	for (uint32_t port = 1; port < 65536 && !is_found; port++) {
		spec.src_port = (uint16_t)port;
		packet = packet_of(&spec, frame);
		partial_recognise(&packet);
		is_found = packet.vnet.flags;
	}
	cr_assert(is_found, "some port makes it so");
	cr_expect_eq(frame_transport_sum(frame, packet.len, false), SUM_RIGHT);
	partial_complete(&packet);
	cr_expect_eq(frame_transport_sum(frame, packet.len, false), SUM_RIGHT);
}

Test(partial, a_checksum_that_comes_out_as_zero_is_written_as_its_other_form)
{
	static uint8_t frame[FRAME_MAX];
	struct frame_spec spec = spec_of(false, IPPROTO_UDP, SUM_PARTIAL);
	uint8_t check[2] = {0};
	for (uint32_t port = 1; port < 65536 && check[0] != 0xff; port++) {
		spec.src_port = (uint16_t)port;
		struct packet packet = packet_of(&spec, frame);
		partial_recognise(&packet);
		partial_complete(&packet);
		memcpy(check, frame + 40, sizeof(check));
		cr_assert(check[0] || check[1]);
		if (check[1] != 0xff)
			check[0] = 0;
	}
	cr_expect_eq(check[0], 0xff);
}

Test(partial, frames_that_end_early_are_not_read_beyond_their_end)
{
	static uint8_t frame[FRAME_MAX];
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		struct frame_spec spec = spec_of(is_v6, IPPROTO_TCP, SUM_PARTIAL);
		struct packet packet = packet_of(&spec, frame);
		packet.len = is_v6 ? 71 : 51;
		partial_recognise(&packet);
		cr_expect_eq(packet.vnet.flags, 0);
		packet.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		packet.vnet.csum_start = (uint16_t)(packet.len - 1);
		partial_complete(&packet);
		packet.len = 20;
		partial_recognise(&packet);
		cr_expect_eq(packet.vnet.flags, 0);
	}
}
