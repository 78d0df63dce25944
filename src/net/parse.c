// SPDX-License-Identifier: Apache-2.0
// Every length is checked against the frame before the bytes behind it are read, and against the
// length of the IP packet before they are believed: what an Ethernet frame carries beyond that is
// padding.
#include "culvert/net/parse.h"

#include <arpa/inet.h>

#include "culvert/net/checksum.h"
#include "culvert/net/ipv6_extension.h"
#include "net/parse_parts.h"

enum {
	ETHERTYPE_OFFSET = 12,
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_IPV6 = 0x86dd,
	IP_OPTION_END = 0,
	IP_OPTION_NOP = 1,
	IP_OPTION_LOOSE_ROUTE = 131,
	IP_OPTION_STRICT_ROUTE = 137,
	TCP_FLAGS_LOOKED_AT =
		TCP_FLAG_FIN | TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK | TCP_FLAG_URG,
};

// Walks the options (RFC 791 section 3.1): rejects ones that overrun, and source routes.
static enum parse_result check_ip_options(const uint8_t *option, const uint8_t *end)
{
	while (option < end && *option != IP_OPTION_END) {
		if (*option == IP_OPTION_NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			return PARSE_MALFORMED;
		if (*option == IP_OPTION_LOOSE_ROUTE || *option == IP_OPTION_STRICT_ROUTE)
			return PARSE_SOURCE_ROUTE;
		option += option[1];
	}
	return PARSE_OK;
}

// A fragment that ends where no packet can is an attack on whoever puts it together (RFC 791
// section 3.1 allows 65535 bytes, `header_len` of them repeated in each fragment), and so is one
// that lies where a header of the first must be: together they could show two headers to two
// readers.
static enum parse_result check_fragment(const struct frame_view *view, uint8_t proto,
					uint32_t header_len)
{
	const struct fragment_view *fragment = &view->fragment;
	uint32_t len = view->frame_len - fragment->data;
	if (!fragment->is_part)
		return PARSE_OK;
	if (len == 0 || (fragment->has_more && len % FRAGMENT_UNIT != 0) ||
	    header_len + fragment->at + len > IP_PACKET_MAX)
		return PARSE_MALFORMED;
	if (fragment->at == 0)
		return PARSE_OK;
	bool is_tiny = proto == IPPROTO_TCP && fragment->at < TCP_HEADER_MIN;
	return is_tiny ? PARSE_TINY_FRAGMENT : PARSE_LATER_FRAGMENT;
}

// A header that its packet does not hold.
static enum parse_result too_short(const struct frame_view *view)
{
	return view->fragment.is_part ? PARSE_TINY_FRAGMENT : PARSE_TRUNCATED;
}

static void read_fragment(const uint8_t *ip, struct frame_view *view)
{
	uint16_t field = load_be16(ip + IP_FRAGMENT_OFFSET);
	view->fragment = (struct fragment_view){
		.is_part = field & (IP_MORE_FRAGMENTS | IP_FRAGMENT_UNITS),
		.has_more = field & IP_MORE_FRAGMENTS,
		.at = (uint16_t)((field & IP_FRAGMENT_UNITS) * FRAGMENT_UNIT),
		.data = view->l4,
		.id = load_be16(ip + IP_ID_OFFSET),
	};
}

// No client and no backend speaks from 0/8, 127/8, multicast, class E or broadcast.
static bool is_possible_source(uint32_t addr_be)
{
	uint8_t first = (uint8_t)(ntohl(addr_be) >> 24);
	return first != 0 && first != 127 && first < 224;
}

static bool is_header_sum_right(const uint8_t *ip, uint32_t header_len)
{
	uint64_t sum = (uint64_t)load_raw32(ip) + load_raw32(ip + 4) + load_raw32(ip + 8) +
		       load_raw32(ip + IP_SRC_OFFSET) + load_raw32(ip + IP_DST_OFFSET);
	if (header_len > IP_HEADER_MIN)
		sum = csum_add_bytes(sum, ip + IP_HEADER_MIN, header_len - IP_HEADER_MIN);
	return csum_fold(sum) == 0xffff;
}

static enum parse_result parse_ipv4(const uint8_t *frame, uint32_t len, struct frame_view *view)
{
	const uint8_t *ip = frame + view->l3;
	uint32_t room = len - view->l3;
	if (room < IP_HEADER_MIN)
		return PARSE_TRUNCATED;
	uint32_t header_len = (ip[0] & 0x0fU) * 4;
	uint32_t total_len = load_be16(ip + IP_LEN_OFFSET);
	if (ip[0] >> 4 != 4 || header_len < IP_HEADER_MIN || total_len < header_len)
		return PARSE_MALFORMED;
	if (total_len > room)
		return PARSE_TRUNCATED;
	if (!is_header_sum_right(ip, header_len))
		return PARSE_BAD_IP_CHECKSUM;
	if (header_len > IP_HEADER_MIN) {
		enum parse_result result = check_ip_options(ip + IP_HEADER_MIN, ip + header_len);
		if (result != PARSE_OK)
			return result;
	}

	view->frame_len = view->l3 + total_len;
	view->l4 = view->payload = (uint16_t)(view->l3 + header_len);
	view->ttl = ip[IP_TTL_OFFSET];
	view->src.addr = ip_addr_from_v4(load_raw32(ip + IP_SRC_OFFSET));
	view->dst.addr = ip_addr_from_v4(load_raw32(ip + IP_DST_OFFSET));
	view->src.proto = view->dst.proto = ip[IP_PROTO_OFFSET];
	if (!is_possible_source(load_raw32(ip + IP_SRC_OFFSET)) ||
	    ip_addr_equal(&view->src.addr, &view->dst.addr))
		return PARSE_BAD_SOURCE;
	read_fragment(ip, view);
	return check_fragment(view, view->src.proto, header_len);
}

// ---- IPv6 ---------------------------------------------------------------------------------------

// Nobody speaks from ::, ::1 or multicast (RFC 4291 sections 2.5 and 2.7). IPv4 addresses in this
// form are never on a wire (RFC 4942 section 2.2), and here they are the IPv4 addresses themselves.
// A router passes nothing on from a link's own addresses, but a neighbour that is a router may have
// no others there to send its errors from (RFC 4443 section 2.2).
static bool is_possible_source_v6(const struct ip_addr *addr, uint8_t proto)
{
	static const struct ip_addr loopback = {{[15] = 1}};
	return addr->bytes[0] != 0xff &&
	       (proto == IPPROTO_ICMPV6 || !ip_addr_is_link_local(addr)) &&
	       !ip_addr_is_unspecified(addr) && !ip_addr_equal(addr, &loopback) &&
	       !ip_addr_is_v4(addr);
}

static enum parse_result parse_ipv6(const uint8_t *frame, uint32_t len, struct frame_view *view)
{
	const uint8_t *ip = frame + view->l3;
	uint32_t room = len - view->l3;
	struct header_chain chain;
	if (room < IPV6_HEADER_LEN)
		return PARSE_TRUNCATED;
	uint32_t total_len = IPV6_HEADER_LEN + load_be16(ip + IPV6_LEN_OFFSET);
	if (ip[0] >> 4 != 6)
		return PARSE_MALFORMED;
	if (total_len > room)
		return PARSE_TRUNCATED;
	view->is_v6 = true;
	view->frame_len = view->l3 + total_len;
	view->ttl = ip[IPV6_HOP_LIMIT_OFFSET];
	view->src.addr = parse_addr_at(ip + IPV6_SRC_OFFSET);
	view->dst.addr = parse_addr_at(ip + IPV6_DST_OFFSET);
	enum parse_result result = parse_chain(frame, view->l3, view->frame_len, &chain);
	view->fragment = chain.fragment;
	if (result == PARSE_TRUNCATED)
		return too_short(view);
	if (result != PARSE_OK)
		return result;
	view->l4 = view->payload = (uint16_t)chain.at;
	view->src.proto = view->dst.proto = chain.proto;
	if (!is_possible_source_v6(&view->src.addr, chain.proto) ||
	    ip_addr_is_v4(&view->dst.addr) || ip_addr_equal(&view->src.addr, &view->dst.addr))
		return PARSE_BAD_SOURCE;
	uint32_t repeated =
		view->fragment.data - view->l3 - (uint32_t)IPV6_HEADER_LEN - IPV6_FRAGMENT_LEN;
	return check_fragment(view, chain.proto, repeated);
}

// ---- TCP and UDP --------------------------------------------------------------------------------

// PSH, ECE and CWR may accompany anything.
static bool are_tcp_flags_valid(uint8_t flags)
{
	switch (flags & TCP_FLAGS_LOOKED_AT) {
	case TCP_FLAG_SYN:
	case TCP_FLAG_SYN | TCP_FLAG_URG:
	case TCP_FLAG_SYN | TCP_FLAG_ACK:
	case TCP_FLAG_RST:
	case TCP_FLAG_RST | TCP_FLAG_ACK:
	case TCP_FLAG_FIN | TCP_FLAG_ACK:
	case TCP_FLAG_FIN | TCP_FLAG_ACK | TCP_FLAG_URG:
	case TCP_FLAG_ACK:
	case TCP_FLAG_ACK | TCP_FLAG_URG:
		return true;
	default:
		return false;
	}
}

static enum parse_result parse_tcp(const uint8_t *frame, struct frame_view *view)
{
	const uint8_t *tcp = frame + view->l4;
	uint32_t room = view->frame_len - view->l4;
	if (room < TCP_HEADER_MIN)
		return too_short(view);
	uint32_t header_len = (tcp[12] >> 4) * 4U;
	if (header_len < TCP_HEADER_MIN)
		return PARSE_MALFORMED;
	if (header_len > room)
		return too_short(view);
	parse_ports(tcp, view);
	view->payload = (uint16_t)(view->l4 + header_len);
	view->seq = load_be32(tcp + 4);
	view->ack = load_be32(tcp + 8);
	view->tcp_flags = tcp[13] & 0x3f;
	if (view->src.port_be == 0)
		return PARSE_BAD_SOURCE;
	return are_tcp_flags_valid(view->tcp_flags) ? PARSE_OK : PARSE_BAD_TCP_FLAGS;
}

static enum parse_result parse_udp(const uint8_t *frame, struct frame_view *view)
{
	const uint8_t *udp = frame + view->l4;
	uint32_t room = view->frame_len - view->l4;
	if (room < UDP_HEADER_LEN)
		return too_short(view);
	uint32_t udp_len = load_be16(udp + UDP_LEN_OFFSET);
	if (udp_len < UDP_HEADER_LEN)
		return PARSE_MALFORMED;
	if (udp_len > room && !view->fragment.is_part)
		return PARSE_TRUNCATED;
	parse_ports(udp, view);
	view->payload = (uint16_t)(view->l4 + UDP_HEADER_LEN);
	// A reply must find its way back, so port 0 is refused here (RFC 768 allows it).
	return view->src.port_be ? PARSE_OK : PARSE_BAD_SOURCE;
}

// ---- the whole ----------------------------------------------------------------------------------

static enum parse_result parse_ip(const uint8_t *frame, uint32_t len, struct frame_view *view)
{
	switch (load_be16(frame + ETHERTYPE_OFFSET)) {
	case ETHERTYPE_IPV4:
		return parse_ipv4(frame, len, view);
	case ETHERTYPE_IPV6:
		return parse_ipv6(frame, len, view);
	default:
		return PARSE_NOT_OURS;
	}
}

// Whether a later fragment may be of TCP or UDP: behind the fragment header there may be more
// headers, of which it only knows the first.
static bool may_be_ours(const struct frame_view *view)
{
	uint8_t proto = view->src.proto;
	if (proto == IPPROTO_TCP || proto == IPPROTO_UDP)
		return true;
	return view->is_v6 && proto != IPPROTO_FRAGMENT && ipv6_is_extension(proto);
}

// Copied, since to clear as much gcc repeats one instruction, which takes longer than to read the
// headers.
static const struct frame_view blank = {.l3 = ETH_HEADER_LEN};

enum parse_result parse_frame(const uint8_t *frame, uint32_t len, struct frame_view *view)
{
	if (len < ETH_HEADER_LEN)
		return PARSE_TRUNCATED;
	*view = blank;
	enum parse_result result = parse_ip(frame, len, view);
	if (result == PARSE_LATER_FRAGMENT && !may_be_ours(view))
		return PARSE_NOT_OURS;
	if (result != PARSE_OK)
		return result;
	switch (view->src.proto) {
	case IPPROTO_TCP:
		return parse_tcp(frame, view);
	case IPPROTO_UDP:
		return parse_udp(frame, view);
	case IPPROTO_ICMP:
		return view->is_v6 ? PARSE_NOT_OURS : parse_icmp(frame, view);
	case IPPROTO_ICMPV6:
		return view->is_v6 ? parse_icmp6(frame, view) : PARSE_NOT_OURS;
	default:
		return PARSE_NOT_OURS;
	}
}

uint64_t frame_pseudo_sum(const uint8_t *frame, const struct frame_view *view, uint8_t proto,
			  uint32_t len)
{
	uint32_t addrs_len;
	uint32_t at = frame_view_addrs(view, &addrs_len);
	uint64_t sum = csum_add_bytes(0, frame + at, addrs_len);
	uint32_t len_be = htonl(len);
	return csum_add_bytes(sum + htons(proto), &len_be, sizeof(len_be));
}

struct ip_addr frame_outer_src(const uint8_t *frame, const struct frame_view *view)
{
	uint32_t addrs_len;
	const uint8_t *addr = frame + frame_view_addrs(view, &addrs_len);
	return view->is_v6 ? parse_addr_at(addr) : ip_addr_from_v4(load_raw32(addr));
}

struct ip_addr frame_outer_dst(const uint8_t *frame, const struct frame_view *view)
{
	uint32_t addrs_len;
	const uint8_t *addr = frame + frame_view_addrs(view, &addrs_len) + addrs_len / 2;
	return view->is_v6 ? parse_addr_at(addr) : ip_addr_from_v4(load_raw32(addr));
}

uint32_t frame_id(const uint8_t *frame, const struct frame_view *view)
{
	if (view->is_v6)
		return load_be32(frame + view->fragment.data - sizeof(uint32_t));
	return load_be16(frame + view->l3 + IP_ID_OFFSET);
}
