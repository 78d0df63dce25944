// SPDX-License-Identifier: Apache-2.0
// What the parts of the parser share: parse.c reads what every packet has, parse_chain.c the
// extension headers of IPv6, parse_icmp.c ICMP errors and what they quote.
#pragma once

#include <string.h>

#include "culvert/net/bytes.h"
#include "culvert/net/parse.h"

enum { IPV6_FRAGMENT_LEN = 8 };

static inline struct ip_addr parse_addr_at(const uint8_t *bytes)
{
	struct ip_addr addr;
	memcpy(addr.bytes, bytes, sizeof(addr.bytes));
	return addr;
}

static inline void parse_ports(const uint8_t *l4, struct frame_view *view)
{
	view->src.port_be = load_raw16(l4);
	view->dst.port_be = load_raw16(l4 + 2);
}

// What follows the fixed header (RFC 8200 section 4).
struct header_chain {
	uint32_t at; // in the frame, of the header that `proto` names
	uint8_t proto;
	bool has_fragment_header;
	struct fragment_view fragment;
};

// From the fixed header at `at` to what is no extension header: a transport protocol, or what only
// the endpoints can read (RFC 4302, RFC 4303). What a later fragment carries is no header.
enum parse_result parse_chain(const uint8_t *frame, uint32_t at, uint32_t end,
			      struct header_chain *chain);

// An error about a packet of TCP or UDP. The view of it is that of the packet it quotes, which
// travelled the other way. *view has what the IP header says.
enum parse_result parse_icmp(const uint8_t *frame, struct frame_view *view);
enum parse_result parse_icmp6(const uint8_t *frame, struct frame_view *view);
