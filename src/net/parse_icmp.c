// SPDX-License-Identifier: Apache-2.0
// ICMP errors (RFC 792, RFC 4443 section 3) about packets of TCP and UDP.
#include <arpa/inet.h>

#include "culvert/net/checksum.h"
#include "net/parse_parts.h"

enum {
	ICMP_MTU_OFFSET = 6,
	ICMP_FRAGMENTATION_NEEDED = 4,
	ICMP_UNREACHABLE = 3,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER_PROBLEM = 4,
	QUOTED_L4_MIN = 8, // RFC 792: the error quotes at least 64 bits of the transport header
};

// The length of the quoted header at `ip`, with `room` for it and the least of what follows.
static enum parse_result parse_quoted_header(const uint8_t *ip, uint32_t room, uint32_t *len)
{
	if (room < IP_HEADER_MIN)
		return PARSE_TRUNCATED;
	*len = (ip[0] & 0x0fU) * 4;
	if (ip[0] >> 4 != 4 || *len < IP_HEADER_MIN)
		return PARSE_MALFORMED;
	return room < *len + QUOTED_L4_MIN ? PARSE_TRUNCATED : PARSE_OK;
}

static void read_quoted_transport(const uint8_t *frame, uint8_t proto, struct frame_view *view)
{
	view->src.proto = view->dst.proto = proto;
	parse_ports(frame + view->quoted_l4, view);
	view->seq = load_be32(frame + view->quoted_l4 + 4);
}

// What is quoted at offset `at`, or the packet that it carries.
static enum parse_result parse_quote(const uint8_t *frame, uint32_t at, struct frame_view *view)
{
	uint32_t header_len;
	enum parse_result result =
		parse_quoted_header(frame + at, view->frame_len - at, &header_len);
	if (result != PARSE_OK)
		return result;
	if (frame[at + IP_PROTO_OFFSET] == IPPROTO_IPIP) {
		view->is_tunnel_error = true;
		view->tunnel_end = ip_addr_from_v4(load_raw32(frame + at + IP_DST_OFFSET));
		at += header_len;
		// Few routers quote that much; the kernel does not ask for more.
		if (parse_quoted_header(frame + at, view->frame_len - at, &header_len) != PARSE_OK)
			return PARSE_NOT_OURS;
	}
	const uint8_t *ip = frame + at;
	if ((load_be16(ip + IP_FRAGMENT_OFFSET) & IP_FRAGMENT_UNITS) ||
	    (ip[IP_PROTO_OFFSET] != IPPROTO_TCP && ip[IP_PROTO_OFFSET] != IPPROTO_UDP))
		return PARSE_NOT_OURS;
	view->quoted_l3 = (uint16_t)at;
	view->quoted_l4 = (uint16_t)(at + header_len);
	view->src.addr = ip_addr_from_v4(load_raw32(ip + IP_SRC_OFFSET));
	view->dst.addr = ip_addr_from_v4(load_raw32(ip + IP_DST_OFFSET));
	read_quoted_transport(frame, ip[IP_PROTO_OFFSET], view);
	return PARSE_OK;
}

static enum parse_result parse_quote_v6(const uint8_t *frame, uint32_t at, struct frame_view *view)
{
	struct header_chain chain;
	if (view->frame_len - at < IPV6_HEADER_LEN)
		return PARSE_TRUNCATED;
	if (frame[at] >> 4 != 6)
		return PARSE_MALFORMED;
	enum parse_result result = parse_chain(frame, at, view->frame_len, &chain);
	if (result != PARSE_OK)
		return result;
	if (chain.fragment.at || (chain.proto != IPPROTO_TCP && chain.proto != IPPROTO_UDP))
		return PARSE_NOT_OURS;
	if (view->frame_len - chain.at < QUOTED_L4_MIN)
		return PARSE_TRUNCATED;
	view->quoted_l3 = (uint16_t)at;
	view->quoted_l4 = (uint16_t)chain.at;
	view->src.addr = parse_addr_at(frame + at + IPV6_SRC_OFFSET);
	view->dst.addr = parse_addr_at(frame + at + IPV6_DST_OFFSET);
	// No packet on a wire has such an address (RFC 4291 section 2.5.5.2), and here it would
	// stand for a host of IPv4.
	if (ip_addr_is_v4(&view->src.addr) || ip_addr_is_v4(&view->dst.addr))
		return PARSE_NOT_OURS;
	read_quoted_transport(frame, chain.proto, view);
	return PARSE_OK;
}

// Net, host, protocol and port unreachable; net and host unknown (RFC 792, RFC 1812 section
// 5.2.7.1). The others forbid something, or ask for something else.
static bool is_unreachable(const uint8_t *icmp)
{
	return icmp[0] == ICMP_UNREACHABLE && (icmp[1] <= 3 || icmp[1] == 6 || icmp[1] == 7);
}

// No route, address and port unreachable (RFC 4443 section 3.1).
static bool is_unreachable_v6(const uint8_t *icmp)
{
	return icmp[0] == ICMP6_UNREACHABLE && (icmp[1] == 0 || icmp[1] == 3 || icmp[1] == 4);
}

enum parse_result parse_icmp(const uint8_t *frame, struct frame_view *view)
{
	const uint8_t *icmp = frame + view->l4;
	uint32_t room = view->frame_len - view->l4;
	if (view->fragment.is_part)
		return PARSE_NOT_OURS;
	if (room < ICMP_HEADER_LEN)
		return PARSE_TRUNCATED;
	if (icmp[0] != ICMP_UNREACHABLE && icmp[0] != ICMP_TIME_EXCEEDED &&
	    icmp[0] != ICMP_PARAMETER_PROBLEM)
		return PARSE_NOT_OURS;

	// An error goes to the sender of what it quotes; one that does not was made up.
	const uint8_t *ip = icmp + ICMP_HEADER_LEN;
	struct ip_addr receiver = view->dst.addr;
	enum parse_result result = parse_quote(frame, view->l4 + ICMP_HEADER_LEN, view);
	if (result != PARSE_OK)
		return result;
	if (load_raw32(ip + IP_SRC_OFFSET) != ip_addr_v4_be(&receiver))
		return PARSE_NOT_OURS;
	view->is_icmp_error = true;
	view->payload = (uint16_t)(view->l4 + ICMP_HEADER_LEN);
	view->is_unreachable = is_unreachable(icmp);
	if (icmp[0] == ICMP_UNREACHABLE && icmp[1] == ICMP_FRAGMENTATION_NEEDED)
		view->icmp_mtu = load_be16(icmp + ICMP_MTU_OFFSET);
	return PARSE_OK;
}

enum parse_result parse_icmp6(const uint8_t *frame, struct frame_view *view)
{
	const uint8_t *icmp = frame + view->l4;
	if (view->fragment.is_part)
		return PARSE_NOT_OURS;
	if (view->frame_len - view->l4 < ICMP_HEADER_LEN)
		return PARSE_TRUNCATED;
	if (icmp[0] < ICMP6_UNREACHABLE || icmp[0] > ICMP6_PARAMETER_PROBLEM)
		return PARSE_NOT_OURS;
	struct ip_addr receiver = view->dst.addr;
	enum parse_result result = parse_quote_v6(frame, view->l4 + ICMP_HEADER_LEN, view);
	if (result != PARSE_OK)
		return result;
	if (!ip_addr_equal(&view->src.addr, &receiver))
		return PARSE_NOT_OURS;
	view->is_icmp_error = true;
	view->payload = (uint16_t)(view->l4 + ICMP_HEADER_LEN);
	view->is_unreachable = is_unreachable_v6(icmp);
	uint32_t mtu = load_be32(icmp + 4);
	if (icmp[0] == ICMP6_TOO_BIG)
		view->icmp_mtu = (uint16_t)(mtu < IP_PACKET_MAX ? mtu : IP_PACKET_MAX);
	return PARSE_OK;
}
