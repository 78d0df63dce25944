// SPDX-License-Identifier: Apache-2.0
// IPv4 in IPv4 (RFC 2003).
// Pure; any thread.
#pragma once

#include <stdint.h>

#include "culvert/net/addr.h"

enum { IPIP_HEADER_LEN = 20 };

// The two ends of the tunnel, and the identification for a packet that may be fragmented on its
// way.
struct ipip_tunnel {
	struct ip_addr src; // IPv4
	struct ip_addr dst;
	uint16_t id; // host byte order
};

// Write the outer header for a packet of `inner_len` bytes whose own header is at `inner`, into
// `outer` (IPIP_HEADER_LEN bytes). Type of service, congestion marks among it (RFC 2983 section 3,
// RFC 6040 section 4.1), and "don't fragment" are the inner packet's.
void ipip_write_header(uint8_t *outer, const struct ipip_tunnel *tunnel, const uint8_t *inner,
		       uint32_t inner_len);
