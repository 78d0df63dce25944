// SPDX-License-Identifier: Apache-2.0
#include "rig_client.h"

#include <netinet/in.h>
#include <stdlib.h>

enum { AT_A_TIME = 200, SRC_AT = 26, DST_AT = 30, SRC_PORT_AT = 34, DST_PORT_AT = 36 };

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

struct frame_spec rig_client_segment(uint32_t number, uint32_t vip, uint8_t flags)
{
	bool is_first = flags & TCP_FLAG_SYN;
	return (struct frame_spec){
		.src = frame_v4(RIG_CLIENT + number),
		.dst = frame_v4(vip),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = RIG_CLIENT_PORT,
		.dst_port = 80,
		.flags = flags,
		.seq = RIG_CLIENT_NEXT - is_first,
		.ack = is_first ? 0 : RIG_CLIENT_ANSWERED,
	};
}

void rig_client_push(struct rig *rig, uint32_t link, const struct frame_spec *spec)
{
	uint8_t frame[256];
	struct virtio_net_hdr vnet;
	struct frame_spec sent = *spec;
	sent.dst_mac = rig->scene->link_macs[link];
	uint32_t len = frame_build(&sent, frame, &vnet);
	rig_push(rig, link, frame, len, &vnet);
}

void rig_client_say(struct rig *rig, uint32_t number, uint32_t vip, uint8_t flags)
{
	struct frame_spec segment = rig_client_segment(number, vip, flags);
	rig_client_push(rig, SCENE_FRONT, &segment);
}

void rig_client_answer(struct rig *rig, const struct mem_frame *syn)
{
	struct frame_spec answer = {
		.src = frame_v4(get32(syn->bytes + DST_AT)),
		.dst = frame_v4(get32(syn->bytes + SRC_AT)),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = get16(syn->bytes + DST_PORT_AT),
		.dst_port = get16(syn->bytes + SRC_PORT_AT),
		.flags = TCP_FLAG_SYN | TCP_FLAG_ACK,
		.seq = RIG_CLIENT_ANSWERED - 1,
		.ack = RIG_CLIENT_NEXT,
	};
	rig_client_push(rig, SCENE_BACK, &answer);
}

// As many at a time as the rings hold.
static void say_all(struct rig *rig, uint32_t first, uint32_t n, uint32_t vip, uint8_t flags)
{
	for (uint32_t i = 0; i < n; i++) {
		rig_client_say(rig, first + i, vip, flags);
		if (i % AT_A_TIME == AT_A_TIME - 1)
			rig_settle(rig);
	}
	rig_settle(rig);
}

void rig_client_establish(struct rig *rig, uint32_t first, uint32_t n, uint32_t vip)
{
	struct mem_frame *sent;
	say_all(rig, first, n, vip, TCP_FLAG_SYN);
	while ((sent = mem_io_take(rig->io))) {
		if (sent->link == SCENE_BACK) // and not an answer that has passed already
			rig_client_answer(rig, sent);
		free(sent);
	}
	rig_settle(rig);
	say_all(rig, first, n, vip, TCP_FLAG_ACK);
	while ((sent = mem_io_take(rig->io)))
		free(sent);
}
