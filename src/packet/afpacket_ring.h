// SPDX-License-Identifier: Apache-2.0
// The ring in which the kernel leaves what a packet socket receives (TPACKET_V2): neither a system
// call per frame nor a clone of its buffer.
//
// A slot has room for frames of Ethernet's usual size. A larger one, such as a super-frame of
// segmentation offload, is queued at the socket instead, and the slot keeps its place in the order:
// the first that is queued belongs to the first slot that says so.
//
// Called by: the capturing thread, but for open and close (control).
#pragma once

#include "culvert/base/err.h"
#include "packet/packet.h"

struct afpacket_ring {
	uint8_t *slots; // owned, mapped; NULL: not open
	uint32_t next;  // the slot that is looked at next
};

enum afpacket_slot {
	SLOT_EMPTY,
	SLOT_TAKEN,  // the packet has the frame
	SLOT_QUEUED, // the packet's frame is the next one in the socket's queue
};

// Of a socket that is not bound yet. 0 or -errno.
int afpacket_ring_open(struct afpacket_ring *ring, int fd, struct err *err);
void afpacket_ring_close(struct afpacket_ring *ring);

// Look at the next slot, and give it back to the kernel when there was a frame.
enum afpacket_slot afpacket_ring_take(struct afpacket_ring *ring, struct packet *packet);
