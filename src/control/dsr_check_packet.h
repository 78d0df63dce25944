// SPDX-License-Identifier: Apache-2.0
// The frames that the readiness check sends, built by libnet: segments without data, each the way
// that a client's packet takes to a backend, and what neighbours say of addresses.
// Called by: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/config/config.h"
#include "culvert/net/addr.h"

enum { CHECK_FRAME_MAX = 128 };

struct check_frame {
	uint8_t bytes[CHECK_FRAME_MAX];
	uint32_t len;
};

struct check_segment {
	struct mac_addr src_mac;
	struct mac_addr dst_mac;
	struct endpoint src;
	struct endpoint dst;       // of the same family; nat: the backend; l2, ipip: the frontend
	bool is_tunneled;          // ipip: in a packet from one of these to the other
	struct ip_addr tunnel_src; // IPv4, as the endpoints are then
	struct ip_addr tunnel_dst;
	uint32_t seq;
	bool is_reset; // else a SYN
	// Identification of the outermost IPv4 header: ICMP errors quote it, be it a tunnel's.
	uint16_t id;
};

// 0 or -errno; *frame is untouched on failure.
int check_segment_build(const struct check_segment *segment, struct check_frame *frame,
			struct err *err);

// ARP; for IPv6 a neighbour solicitation or advertisement (RFC 4861 section 4).
struct check_neighbour {
	bool is_request;
	struct mac_addr src_mac; // of the frame and the sender
	struct mac_addr dst_mac; // of the frame; ARP: of the target, too, in a reply
	struct ip_addr sender;   // whose link address it is; of a question: unspecified
	struct ip_addr target;   // whom is asked for; whom it is told, which may be a group of IPv6
};

int check_neighbour_build(const struct check_neighbour *packet, struct check_frame *frame,
			  struct err *err);
