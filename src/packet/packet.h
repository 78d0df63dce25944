// SPDX-License-Identifier: Apache-2.0
// A frame on its way through culvert, in a buffer that has one owner at a time:
// capture → worker → transmit → back to capture. Drops travel the same way.
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "culvert/flow/tcp_state.h"
#include "culvert/flow/verdict.h"
#include "culvert/net/cut.h"
#include "culvert/net/parse.h"

enum {
	PACKET_BURST = 64, // packets that a stage handles at a time
	// The largest IP packet behind its Ethernet header, GSO super-frames included. The slot's
	// odd 128 bytes keep neighbouring buffers from starting on the same cache set.
	PACKET_FRAME_MAX = ETH_HEADER_LEN + IP_PACKET_MAX,
	PACKET_SLOT_BYTES = 65536 + 128,
	PACKET_HEADROOM = 64, // in front of a received frame, for a header more
};

_Static_assert(PACKET_HEADROOM + PACKET_FRAME_MAX <= PACKET_SLOT_BYTES, "a slot holds both");

// A packet that leaves as several frames: each has headers of its own, one after another in a
// spare, and a piece of the packet's payload.
struct packet_train {
	struct packet *headers; // owned; NULL: the packet leaves as it is
	uint16_t wrap_len;      // bytes of each frame before the headers that `cut` counts
	struct cut cut;
};

struct packet {
	uint8_t *frame; // borrowed from the arena: the Ethernet header, PACKET_HEADROOM before it
	uint32_t len;   // 0 in a spare; more than PACKET_FRAME_MAX: cut off by the driver
	struct virtio_net_hdr vnet; // checksum and segmentation state, host byte order
	uint8_t rx_link;            // index in snapshot.links
	uint8_t tx_link;
	uint8_t worker;
	uint8_t from;      // enum flow_dir: which half of a flow it is on
	uint8_t verdict;   // enum verdict
	bool is_to_send;   // transmit it: forwarded, or turned into an answer
	bool is_sampled;   // as it was before an answer took its place: sample.h
	bool is_spare;     // empty buffer for a worker's own packets: stands for no received frame
	uint16_t frontend; // from the client: which VIP
	uint32_t nat_pool; // from the backend: its pool
	uint32_t hash;     // from the client: flow_table_find()
	uint16_t backend;  // its running number, once the packet is forwarded to it or from it
	bool is_fragment;
	uint32_t datagram;        // of a fragment: fragments.h
	uint32_t datagram_serial; // the number is used again: this is not
	struct packet *next;      // while it waits for another
	struct frame_view view;
	struct packet_train train;
};

// What kind of super-frame it is: VIRTIO_NET_HDR_GSO_..., or PACKET_GSO_UDP_L4, that of several
// datagrams, whose name older headers lack.
enum { PACKET_GSO_UDP_L4 = 5 };

static inline uint8_t packet_gso_type(const struct packet *packet)
{
	return packet->vnet.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
}

// One of the frames that a packet leaves as.
struct packet_frame {
	uint8_t *header;
	uint32_t header_len;
	uint8_t *piece;
	uint32_t piece_len; // 0: all is in the header
};

static inline uint32_t packet_n_frames(const struct packet *packet)
{
	return packet->train.headers ? packet->train.cut.n : 1;
}

static inline struct packet_frame packet_frame_at(const struct packet *packet, uint32_t i)
{
	const struct packet_train *train = &packet->train;
	if (!train->headers)
		return (struct packet_frame){.header = packet->frame, .header_len = packet->len};
	struct cut_piece piece = cut_piece(&train->cut, &packet->view, i);
	uint32_t room = (uint32_t)train->wrap_len + train->cut.header_len;
	return (struct packet_frame){
		.header = train->headers->frame + (size_t)i * room,
		.header_len = train->wrap_len + piece.header_len,
		.piece = packet->frame + piece.at,
		.piece_len = piece.len,
	};
}

// Does the transport checksum wait for hardware? One inside an encapsulated packet may, instead.
static inline bool packet_is_partial(const struct packet *packet)
{
	return (packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	       packet->vnet.csum_start == packet->view.l4;
}

// Without ports or checksum.
static inline bool packet_is_later_fragment(const struct packet *packet)
{
	return packet->is_fragment && packet->view.fragment.at != 0;
}

static inline void packet_drop(struct packet *packet, enum verdict verdict)
{
	packet->verdict = (uint8_t)verdict;
	packet->is_to_send = false;
}
