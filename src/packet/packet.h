// SPDX-License-Identifier: Apache-2.0
// A frame on its way through culvert, in a buffer that has one owner at a time:
// capture → worker → transmit → back to capture. Drops travel the same way.
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "culvert/flow/tcp_state.h"
#include "culvert/flow/verdict.h"
#include "culvert/net/parse.h"

enum {
	PACKET_BURST = 64, // packets that a stage handles at a time
	// The largest IP packet behind its Ethernet header, GSO super-frames included. The slot's
	// odd 128 bytes keep neighbouring buffers from starting on the same cache set.
	PACKET_FRAME_MAX = ETH_HEADER_LEN + IP_PACKET_MAX,
	PACKET_SLOT_BYTES = 65536 + 128,
};

struct packet {
	uint8_t *frame; // borrowed from the arena: PACKET_SLOT_BYTES from the Ethernet header on
	uint32_t len;   // 0 in a spare; more than PACKET_FRAME_MAX: cut off by the driver
	struct virtio_net_hdr vnet; // checksum and segmentation state, host byte order
	uint8_t rx_link;            // index in snapshot.links
	uint8_t tx_link;
	uint8_t worker;
	uint8_t from;      // enum flow_dir: which half of a flow it is on
	uint8_t verdict;   // enum verdict
	bool is_to_send;   // transmit it: forwarded, or turned into an answer
	bool is_spare;     // empty buffer for a worker's own packets: stands for no received frame
	uint16_t frontend; // from the client: which VIP
	uint32_t nat_pool; // from the backend: its pool
	uint32_t hash;     // from the client: flow_table_find()
	struct frame_view view;
};

// Does the transport checksum wait for hardware? One inside an encapsulated packet may, instead.
static inline bool packet_is_partial(const struct packet *packet)
{
	return (packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	       packet->vnet.csum_start == packet->view.l4;
}

static inline void packet_drop(struct packet *packet, enum verdict verdict)
{
	packet->verdict = (uint8_t)verdict;
	packet->is_to_send = false;
}
