// SPDX-License-Identifier: Apache-2.0
// Datagrams that come in fragments. Only the first fragment of one has ports; what steering found
// out about it is remembered here for the others, which follow it to its worker. What comes before
// the first waits here for it.
//
// Everything is bounded: datagrams, packets that wait and their bytes, and the time. When room runs
// short, the datagram that has been incomplete for longest makes it: a flood of fragments that
// nobody completes costs those that are completed nothing. A datagram that is complete is forgotten
// at once. A fragment that overlaps another makes the whole datagram one to drop (RFC 5722, RFC
// 8200 section 4.5; IPv4 likewise: no sender makes such fragments); one that repeats what has been
// seen is dropped alone.
//
// Called by: capture, but for init, fini and `held`.
#pragma once

#include "culvert/balance/endpoint_map.h"
#include "culvert/balance/snapshot.h"
#include "culvert/base/counter.h"
#include "packet/packet.h"

enum {
	FRAGMENTS_DATAGRAMS = 4096,
	// Numbers of datagrams beyond those that may be incomplete: one is not used again as long
	// as packets of its last datagram may be in the same burst.
	FRAGMENTS_RESERVE = PACKET_BURST,
	FRAGMENTS_NUMBERS = FRAGMENTS_DATAGRAMS + FRAGMENTS_RESERVE,
	FRAGMENTS_PACKETS = 1024,     // that wait
	FRAGMENTS_PACKETS_EACH = 128, // of one datagram
	FRAGMENTS_BYTES = 4 << 20,    // of all that wait
	FRAGMENTS_SECONDS = 5,        // for the first fragment, and from there for the rest
	FRAGMENTS_LOOK_MS = 100,      // how often to look for what has waited too long
};

struct fragments_params {
	uint64_t secret; // random per start
	uint32_t n_datagrams;
	uint32_t n_packets;
	uint32_t n_bytes;
};

struct packet_list {
	struct packet *head;
	struct packet *tail;
	uint32_t n;
};

// Datagrams in the order in which their time ends.
struct datagram_list {
	uint32_t oldest;
	uint32_t newest;
};

struct datagram;

struct fragments {
	struct fragments_params params;
	struct datagram *datagrams; // owned; [0] is none
	struct index_map index;
	struct datagram_list unused;   // in turn, and never fewer than the reserve
	struct datagram_list waiting;  // for their first fragment
	struct datagram_list followed; // the first has been here, or it is of no use any more
	struct packet_list released;   // do not wait any more, and have not been taken yet
	uint32_t n_incomplete;
	uint32_t last_serial;
	uint32_t n_bytes; // that wait
	counter_t held;   // packets that wait; w: capture, r: any
};

int fragments_init(struct fragments *fragments, const struct fragments_params *params,
		   struct err *err);
void fragments_fini(struct fragments *fragments); // leaves packets alone

// A fragment comes by: the first one with what steering has decided about it, a later one without.
// False: it waits, and belongs to `fragments`. True: its verdict says whether it goes on, to the
// worker that is named then. What waited for it is released.
bool fragments_accept(struct fragments *fragments, const struct snapshot *snapshot,
		      struct packet *packet, uint64_t now_ns);

// Forget what has been incomplete for too long, and release what waited for it.
void fragments_expire(struct fragments *fragments, uint64_t now_ns);
// Likewise everything that waits.
void fragments_give_up(struct fragments *fragments);

// The next packet that has been released, its verdict set as by fragments_accept(), or NULL.
struct packet *fragments_next_released(struct fragments *fragments);

// Is any datagram incomplete?
static inline bool fragments_are_any(const struct fragments *fragments)
{
	return fragments->waiting.oldest || fragments->followed.oldest;
}

static inline bool fragments_do_wait(const struct fragments *fragments)
{
	return counter_read(&fragments->held) != 0;
}
