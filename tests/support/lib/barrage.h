// SPDX-License-Identifier: Apache-2.0
// Bytes of no trust through the packet path: the body of the fuzzer and of the test that replays
// its corpus.
//
// The first byte of the input is BARRAGE_* of its setup. A list of records follows: a byte of
// flags, two bytes of length (big endian), and a frame; with BARRAGE_EVENT it is no frame but
// something that happens, or a recipe (recipe.h) for a frame of one of the flows. A network with
// TCP and UDP frontends in both families and a few live flows is there from the start.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	BARRAGE_WAYS = 4, // passthrough, and DSR by each method: the first byte modulo this
	BARRAGE_NARROW_BACK = 4,
	BARRAGE_NARROW_FRONT = 8,
	BARRAGE_FEW_FLOWS = 16,
	BARRAGE_CLAMP = 32,

	BARRAGE_BACK = 1,         // comes in on the back link
	BARRAGE_PARTIAL = 2,      // with a partial checksum
	BARRAGE_FIX_IP = 4,       // the IP checksum is set right
	BARRAGE_FIX_L4 = 8,       // and that of TCP, UDP or ICMP
	BARRAGE_TO_FLOW = 16,     // the destination port is the NAT port of a TCP flow
	BARRAGE_TO_UDP_FLOW = 32, // or of a UDP flow
	BARRAGE_QUOTE_FLOW = 64,  // the same for the source port that an ICMP error quotes
	// In DSR mode no port is translated.
	BARRAGE_TCP_SUPER = BARRAGE_TO_FLOW,     // a super-frame of TCP segments
	BARRAGE_UDP_SUPER = BARRAGE_TO_UDP_FLOW, // or of UDP datagrams
	BARRAGE_EVENT = 128,                     // the first byte says what happens

	BARRAGE_RECORD_HEAD = 3,

	// Of recipe.who.
	BARRAGE_WHO_NUMBER = 31, // which client, or which flow
	BARRAGE_WHO_BACK = 32,   // from the backend
	BARRAGE_WHO_FLOW = 64,   // one that there is
	BARRAGE_WHO_V6 = 128,    // otherwise: the family
};

// What a byte behind BARRAGE_EVENT means, modulo BARRAGE_N_EVENTS.
enum {
	BARRAGE_DOWN, // the backends in the bits of the next byte, or all
	BARRAGE_UP,
	BARRAGE_SECOND,
	BARRAGE_DAY,
	BARRAGE_RECIPE,
	BARRAGE_REFUSE, // nothing can be sent any more
	BARRAGE_ACCEPT,
	BARRAGE_UNRESOLVED, // next hops are unknown or known again, as DOWN
	BARRAGE_TRAIN,      // a recipe in fragments; two bytes before it say how
	BARRAGE_N_EVENTS,
};

// NULL, or the first rule that was broken: buffers come back, the ledger and the flow table
// balance, and what is sent is whole: its addresses changed and its time to live, its payload not,
// and its checksums right if and only if they came so.
const char *barrage_run(const uint8_t *data, size_t size);
