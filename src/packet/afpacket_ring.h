// SPDX-License-Identifier: Apache-2.0
// The ring in which the kernel leaves what a packet socket receives (TPACKET_V2): neither a system
// call per frame nor a clone of its buffer.
//
// A slot has room for frames of Ethernet's usual size. A larger one, such as a super-frame of
// segmentation offload, is queued at the socket instead, and the slot keeps its place in the order:
// the first that is queued belongs to the first slot that says so.
//
// A frame whose segmentation the kernel cannot describe (UDP super-frames before Linux 6.2, later
// those of UFO, which virtual machines may send) is lost, and its slot with it: the kernel takes it
// for one that is being filled, for ever, and drops all that comes after. Nobody is woken up by
// that; control, which reads how many frames were dropped, wakes capture up, and capture gives the
// ring up: without it such a frame is lost alone.
//
// Called by: the capturing thread, but for open and close (control).
#pragma once

#include <stdbool.h>

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

// Takes it off its socket, which queues whatever comes from then on.
void afpacket_ring_give_up(struct afpacket_ring *ring, int fd);

static inline bool afpacket_ring_is_open(const struct afpacket_ring *ring)
{
	return ring->slots;
}

// Is there nothing in any slot? Of a ring that drops frames for want of room there is, in all.
bool afpacket_ring_is_empty(const struct afpacket_ring *ring);

// Look at the next slot, and give it back to the kernel when there was a frame.
enum afpacket_slot afpacket_ring_take(struct afpacket_ring *ring, struct packet *packet);
