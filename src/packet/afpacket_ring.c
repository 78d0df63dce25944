// SPDX-License-Identifier: Apache-2.0
#include "packet/afpacket_ring.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	N_SLOTS = 4096, // what may come in while a burst is worked on
	LINE_BYTES = 64,
	// An odd number of cache lines, so that slots come to lie on all of a cache's sets: only
	// the beginning of most is ever used.
	SLOT_LINES = 31,
	SLOT_BYTES = SLOT_LINES * LINE_BYTES,
	RING_BYTES = N_SLOTS * SLOT_BYTES,
	LOOK_AHEAD = 2, // slots whose first line is fetched before it is their turn
};

static int set_up(int fd)
{
	int version = TPACKET_V2;
	int may_queue = 1;
	// What the kernel allocates at a time: whole pages, and whole slots.
	unsigned block_bytes = SLOT_LINES * (unsigned)sysconf(_SC_PAGESIZE);
	struct tpacket_req ring = {
		.tp_block_size = block_bytes,
		.tp_block_nr = RING_BYTES / block_bytes,
		.tp_frame_size = SLOT_BYTES,
		.tp_frame_nr = N_SLOTS,
	};
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_COPY_THRESH, &may_queue, sizeof(may_queue)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)))
		return -errno;
	return 0;
}

int afpacket_ring_open(struct afpacket_ring *ring, int fd, struct err *err)
{
	*ring = (struct afpacket_ring){0};
	int code = set_up(fd);
	if (code)
		return err_sys(err, code, "packet socket: cannot set up a ring of %d bytes",
			       RING_BYTES);
	void *slots = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (slots == MAP_FAILED)
		return err_sys(err, -errno, "packet socket: cannot map its ring");
	ring->slots = slots;
	return 0;
}

void afpacket_ring_close(struct afpacket_ring *ring)
{
	if (ring->slots)
		munmap(ring->slots, RING_BYTES);
	*ring = (struct afpacket_ring){0};
}

static struct tpacket2_hdr *slot_at(const struct afpacket_ring *ring, uint32_t i)
{
	return (struct tpacket2_hdr *)(void *)(ring->slots + (size_t)(i % N_SLOTS) * SLOT_BYTES);
}

// The kernel writes and reads the word outside C's memory model; on both sides it is one access
// with a barrier.
static _Atomic uint32_t *status_of(struct tpacket2_hdr *slot)
{
	return (_Atomic uint32_t *)&slot->tp_status;
}

static bool is_ours(const struct afpacket_ring *ring, uint32_t i)
{
	// Pairs with the kernel's barrier before it marks the slot as ours.
	return atomic_load_explicit(status_of(slot_at(ring, i)), memory_order_acquire) &
	       TP_STATUS_USER;
}

// The first that the kernel fills, and the last before it comes back to that.
bool afpacket_ring_is_empty(const struct afpacket_ring *ring)
{
	return !is_ours(ring, ring->next) && !is_ours(ring, ring->next + N_SLOTS - 1);
}

void afpacket_ring_give_up(struct afpacket_ring *ring, int fd)
{
	const struct tpacket_req none = {0};
	afpacket_ring_close(ring);
	(void)setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none));
}

// The virtio_net_hdr is in front of the frame. What neither fits nor could be queued is cut off.
static void copy_out(const struct tpacket2_hdr *slot, struct packet *packet)
{
	const uint8_t *frame = (const uint8_t *)slot + slot->tp_mac;
	memcpy(&packet->vnet, frame - sizeof(packet->vnet), sizeof(packet->vnet));
	memcpy(packet->frame, frame, slot->tp_snaplen);
	packet->len = slot->tp_snaplen == slot->tp_len ? slot->tp_len : PACKET_FRAME_MAX + 1;
}

enum afpacket_slot afpacket_ring_take(struct afpacket_ring *ring, struct packet *packet)
{
	struct tpacket2_hdr *slot = slot_at(ring, ring->next);
	// Pairs with the kernel's barrier before it marks the slot as ours.
	uint32_t status = atomic_load_explicit(status_of(slot), memory_order_acquire);
	if (!(status & TP_STATUS_USER))
		return SLOT_EMPTY;
	__builtin_prefetch(slot_at(ring, ring->next + LOOK_AHEAD));
	if (!(status & TP_STATUS_COPY))
		copy_out(slot, packet);
	// Pairs with the kernel's look before it fills the slot again: we have read it.
	atomic_store_explicit(status_of(slot), TP_STATUS_KERNEL, memory_order_release);
	ring->next++;
	return status & TP_STATUS_COPY ? SLOT_QUEUED : SLOT_TAKEN;
}
