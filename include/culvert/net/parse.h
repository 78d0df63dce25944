// SPDX-License-Identifier: Apache-2.0
// From the bytes of an Ethernet frame to what the packet path needs to know about it.
// Pure; any thread.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/net/addr.h"

enum parse_result {
	PARSE_OK,
	PARSE_NOT_OURS,        // neither TCP, UDP nor an ICMP error about these, over IP
	PARSE_TRUNCATED,       // shorter than its own headers say
	PARSE_MALFORMED,       // header fields contradict each other
	PARSE_BAD_IP_CHECKSUM, // RFC 1812 section 5.2.2
	PARSE_SOURCE_ROUTE,    // RFC 7126 sections 4.3 and 4.4, RFC 5095
	PARSE_LATER_FRAGMENT,  // one without ports: all but the first
	PARSE_TINY_FRAGMENT,   // cuts the headers themselves (RFC 1858, RFC 3128, RFC 7112)
	PARSE_BAD_SOURCE,      // RFC 1812 section 5.3.7: a source that nobody can have
	PARSE_BAD_TCP_FLAGS,   // a combination that no TCP sends
	PARSE_HEADER_CHAIN,    // more IPv6 extension headers than anybody needs (RFC 8504 5.3)
};

enum {
	TCP_FLAG_FIN = 0x01,
	TCP_FLAG_SYN = 0x02,
	TCP_FLAG_RST = 0x04,
	TCP_FLAG_PSH = 0x08,
	TCP_FLAG_ACK = 0x10,
	TCP_FLAG_URG = 0x20,

	ETH_HEADER_LEN = 14,
	IP_HEADER_MIN = 20,
	IP_LEN_OFFSET = 2, // from the start of the IPv4 header
	IP_ID_OFFSET = 4,
	IP_FRAGMENT_OFFSET = 6,
	IP_TTL_OFFSET = 8,
	IP_PROTO_OFFSET = 9,
	IP_CSUM_OFFSET = 10,
	IP_SRC_OFFSET = 12,
	IP_DST_OFFSET = 16,
	IP_DONT_FRAGMENT = 0x4000, // in the word at IP_FRAGMENT_OFFSET
	IP_MORE_FRAGMENTS = 0x2000,
	IP_FRAGMENT_UNITS = 0x1fff, // where it belongs, in units of
	FRAGMENT_UNIT = 8,          // bytes
	IPV6_HEADER_LEN = 40,
	IPV6_LEN_OFFSET = 4, // from the start of the IPv6 header
	IPV6_NEXT_HEADER_OFFSET = 6,
	IPV6_HOP_LIMIT_OFFSET = 7,
	IPV6_SRC_OFFSET = 8,
	IPV6_DST_OFFSET = 24,
	IPV6_ADDR_LEN = 16,
	TCP_HEADER_MIN = 20,
	TCP_CSUM_OFFSET = 16, // from the start of the TCP header
	UDP_HEADER_LEN = 8,
	UDP_LEN_OFFSET = 4,
	UDP_CSUM_OFFSET = 6,
	ICMP_HEADER_LEN = 8,
	IP_PACKET_MAX = 65535,
};

// One of the pieces in which a datagram travels (RFC 791 section 3.2, RFC 8200 section 4.5).
struct fragment_view {
	bool is_part;  // false: the whole datagram, and nothing else here means anything
	bool has_more; // not the last one
	uint16_t at;   // bytes of the datagram before it; 0: the first, which has the ports
	uint16_t data; // offset of its own bytes from the start of the frame
	uint32_t id;   // host byte order
};

// Who speaks to whom. For an ICMP error: the packet that it quotes, as quoted; if that one carries
// another (RFC 2003), the one inside.
struct frame_view {
	struct endpoint src;
	struct endpoint dst;
	uint16_t l3; // offsets from the start of the frame
	uint16_t l4;
	uint16_t payload;
	uint32_t frame_len; // without Ethernet padding: l3 and the IP packet
	uint32_t seq;       // TCP: sequence number, host byte order
	uint32_t ack;
	uint8_t tcp_flags; // FIN, SYN, RST, PSH, ACK and URG
	uint8_t ttl;       // IPv6: hop limit
	bool is_v6;
	bool is_icmp_error;   // src, dst, seq: of the quoted packet
	bool is_tunnel_error; // the quoted packet was carried by another, from the error's
			      // receiver to tunnel_end
	bool is_unreachable; // the error says that the quoted packet's host or port cannot be
			     // reached; not, that this is forbidden
	uint16_t quoted_l3;  // ICMP errors: offsets of the quoted headers
	uint16_t quoted_l4;
	uint16_t icmp_mtu; // of "fragmentation needed" and "packet too big", host byte order; 0 in
			   // other errors
	struct ip_addr tunnel_end;
	struct fragment_view fragment;
};

// `frame` starts at the Ethernet header. With PARSE_LATER_FRAGMENT *view has no ports, and in IPv6
// perhaps the protocol of an extension header; with what is neither that nor PARSE_OK it is
// unspecified.
enum parse_result parse_frame(const uint8_t *frame, uint32_t len, struct frame_view *view);

// The sum of the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) of the packet that
// `view` describes, for `len` bytes of `proto`: a transport's checksum starts from it, ICMPv6's
// too.
uint64_t frame_pseudo_sum(const uint8_t *frame, const struct frame_view *view, uint8_t proto,
			  uint32_t len);

// Where the IP packet's addresses are in the frame, source first, and how long both are.
static inline uint32_t frame_view_addrs(const struct frame_view *view, uint32_t *len)
{
	*len = view->is_v6 ? 2 * IPV6_ADDR_LEN : 2 * 4;
	return view->l3 + (view->is_v6 ? (uint32_t)IPV6_SRC_OFFSET : (uint32_t)IP_SRC_OFFSET);
}

// Who the IP packet itself is from, and for: not what an ICMP error quotes.
struct ip_addr frame_outer_src(const uint8_t *frame, const struct frame_view *view);
struct ip_addr frame_outer_dst(const uint8_t *frame, const struct frame_view *view);

// The identification of an IPv4 packet or an IPv6 fragment, host byte order.
uint32_t frame_id(const uint8_t *frame, const struct frame_view *view);

// Bytes of TCP sequence space that the segment takes: payload, SYN and FIN.
static inline uint32_t frame_view_seq_len(const struct frame_view *view)
{
	return view->frame_len - view->payload + !!(view->tcp_flags & TCP_FLAG_SYN) +
	       !!(view->tcp_flags & TCP_FLAG_FIN);
}
