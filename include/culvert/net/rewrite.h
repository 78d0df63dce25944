// SPDX-License-Identifier: Apache-2.0
// Changing addresses and ports in place, checksums by increment only: what was corrupt on arrival
// stays detectably corrupt, and nothing of the payload is read.
// Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/checksum.h"
#include "culvert/net/parse.h"

// New endpoints for a packet and the checksum deltas (checksum.h) that they cause against the
// packet's present ones: computed once per flow by rewrite_deltas().
struct rewrite {
	const struct endpoint *src; // borrowed
	const struct endpoint *dst;
	struct csum_deltas deltas;
};

// The deltas of replacing (from_src, from_dst) by (to_src, to_dst). The way back has their
// negatives.
struct csum_deltas rewrite_deltas(const struct endpoint *from_src, const struct endpoint *from_dst,
				  const struct endpoint *to_src, const struct endpoint *to_dst);

// Apply to the frame that `view` describes and take one from the time to live, which must be more
// than 1. With `is_partial` the transport checksum field holds only the pseudo-header's sum, not
// complemented (the sender left the rest to hardware). `view` describes the frame before.
void rewrite_packet(uint8_t *frame, const struct frame_view *view, const struct rewrite *rewrite,
		    bool is_partial);

// A fragment after the first has addresses, and nothing else of these. Takes one from the time to
// live, as rewrite_packet().
void rewrite_fragment(uint8_t *frame, const struct frame_view *view, const struct ip_addr *src,
		      const struct ip_addr *dst);

// Give an IPv4 packet or an IPv6 fragment another identification (host byte order).
void rewrite_id(uint8_t *frame, const struct frame_view *view, uint32_t id);

// Only take one from the time to live, which must be more than 1.
void rewrite_ttl(uint8_t *frame, const struct frame_view *view);

// Apply to an ICMP error about a flow: what it quotes gets the endpoints that its first sender gave
// it, the error itself goes from `outer_src` to `outer_dst`. Every checksum that covers a changed
// byte follows (RFC 5508 REQ-4 and REQ-5). Takes one from the time to live, as rewrite_packet().
void rewrite_icmp_error(uint8_t *frame, const struct frame_view *view,
			const struct endpoint *quoted_src, const struct endpoint *quoted_dst,
			const struct ip_addr *outer_src, const struct ip_addr *outer_dst);
