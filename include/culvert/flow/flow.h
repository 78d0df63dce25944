// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/ds/wheel.h"
#include "culvert/flow/tcp_state.h"
#include "culvert/net/addr.h"
#include "culvert/net/checksum.h"

enum {
	FLOW_IS_ORPHAN = 1,       // its backend went down and the client was reset
	FLOW_RESET_BY_CLIENT = 2, // while it was live
	FLOW_RESET_BY_BACKEND = 4,
	FLOW_FIN_BY_CLIENT = 8,
	FLOW_FIN_BY_BACKEND = 16,
	FLOW_HIDES_TIMESTAMPS = 32, // not one-sided: its SYN goes without (TCP option), since its
				    // NAT port was another connection's a moment ago
	FLOW_SYN_AGAIN = 32,        // one-sided: another SYN has come; see other_client_next
	FLOW_RESET_IN_HANDSHAKE =
		64,          // not one-sided: with FLOW_RESET_BY_CLIENT, before its last word
	FLOW_IS_DOUBLE = 64, // one-sided: a client went on from that SYN; see other_client_next
	FLOW_OTHER_IS_OVER = 128, // with FLOW_IS_DOUBLE: the other connection had ended before
};

enum { FLOW_SEQ_WINDOW = 1 << 20 }; // how far a segment's numbers may be from those expected

// One connection, or one UDP conversation. Flows live in the table of one worker and are named by
// their index there; 0 names none. Only that worker reads or writes them.
struct flow {
	// What a lookup compares.
	struct ip_addr client;
	uint16_t client_port_be;
	uint16_t nat_port; // host byte order; source port towards the backend; one-sided: 0
	uint16_t frontend; // slot
	uint16_t backend;  // slot
	uint8_t proto;
	uint8_t state; // enum flow_state
	uint8_t snat;  // index of the source address towards the backend

	// How to reach the client: where its last packet came from.
	uint8_t client_link;
	struct mac_addr client_mac;
	uint8_t class : 4; // enum flow_class: the list of its NAT pool that it is on
	bool is_aside : 1; // its packets pass the worker by, which is told of them (flow_aside)
	uint8_t marks;     // FLOW_IS_ORPHAN and the like
	uint32_t hash;     // of the client's half, as the index map knows it
	struct csum_deltas deltas; // client → backend; the way back has the negatives

	struct wheel_node timer;
	uint32_t list_next; // in its NAT pool's list of its class
	uint32_t list_prev;
	uint32_t nat_pool;
	uint32_t expires; // second of the worker's clock; the timer may be linked earlier

	// TCP: the next sequence number expected from each side, host byte order. One-sided, the
	// backend's is what the client has acknowledged; 0 is nothing yet. Else, while there is
	// no answer to a SYN, it is the number after another SYN of the client, or 0.
	uint32_t client_next;
	uint32_t backend_next;

	uint64_t bytes_tx; // IP bytes towards the backend
	union {
		uint64_t bytes_rx; // and from it
		// One-sided: with FLOW_SYN_AGAIN the number after that SYN; with FLOW_IS_DOUBLE
		// the numbers of another connection between the same two, one of which is invented.
		struct {
			uint32_t other_client_next;
			uint32_t other_backend_next;
		};
	};
};

_Static_assert(sizeof(struct flow) == 96, "the documented memory per flow depends on this");
