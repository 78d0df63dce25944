// SPDX-License-Identifier: Apache-2.0
// Bytes of no trust through the packet path: the body of the fuzzer and of the test that replays
// its corpus.
//
// The input is a list of records: a byte of BARRAGE_* flags, two bytes of length (big endian), and
// a frame. A network with TCP and UDP frontends and a few live flows is there from the start. It
// goes through passthrough mode and through DSR mode by each method.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	BARRAGE_BACK = 1,         // comes in on the back link
	BARRAGE_PARTIAL = 2,      // with a partial checksum
	BARRAGE_FIX_IP = 4,       // the IP checksum is set right
	BARRAGE_FIX_L4 = 8,       // and that of TCP, UDP or ICMP
	BARRAGE_TO_FLOW = 16,     // the destination port is the NAT port of the TCP flow
	BARRAGE_TO_UDP_FLOW = 32, // or of the UDP flow
	BARRAGE_QUOTE_FLOW = 64,  // the same for the source port that an ICMP error quotes
	// In DSR mode no port is translated.
	BARRAGE_TCP_SUPER = BARRAGE_TO_FLOW,     // a super-frame of TCP segments
	BARRAGE_UDP_SUPER = BARRAGE_TO_UDP_FLOW, // or of UDP datagrams
	BARRAGE_EVENT = 128,                     // no frame: the first byte says what happens

	BARRAGE_RECORD_HEAD = 3,
};

// What a byte behind BARRAGE_EVENT means, modulo 4.
enum { BARRAGE_DOWN, BARRAGE_UP, BARRAGE_SECOND, BARRAGE_DAY };

// NULL, or the first rule that was broken: the ledger balances, and a packet that was forwarded has
// a right checksum if and only if it came with one.
const char *barrage_run(const uint8_t *data, size_t size);
