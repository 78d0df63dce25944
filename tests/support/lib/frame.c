// SPDX-License-Identifier: Apache-2.0
#include "frame.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

enum {
	VLAN_TAG_LEN = 4,
	IP_LEN = 20,
	IP6_LEN = 40,
	FRAGMENT_LEN = 8,
	TCP_LEN = 20,
	UDP_LEN = 8,
	ICMP_LEN = 8,
	WRONG_BY = 0x1234,
	MORE_FRAGMENTS = 0x2000,
	FRAGMENT_MASK = 0x3fff, // offset and "more follow"
	GSO_UDP_L4 = 5,         // VIRTIO_NET_HDR_GSO_UDP_L4, which older headers lack
};

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

// ---- addresses ---------------------------------------------------------------------------------

static bool is_v4(const struct ip_addr *addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	return memcmp(addr->bytes, mapped, sizeof(mapped)) == 0;
}

bool frame_is_v6(const struct frame_spec *spec)
{
	return !is_v4(&spec->src) || !is_v4(&spec->dst);
}

struct ip_addr frame_v4(uint32_t addr)
{
	struct ip_addr made = {{[10] = 0xff, [11] = 0xff}};
	put32(made.bytes + 12, addr);
	return made;
}

// Of IPv6 a digest, in which hosts of different networks differ as well.
struct mac_addr frame_mac_of(const struct ip_addr *addr)
{
	struct mac_addr mac = {{0x02, is_v4(addr) ? 0x01 : 0x06}};
	uint32_t digest = 0;
	for (unsigned i = 0; i < sizeof(addr->bytes); i++)
		digest = digest * 31 + addr->bytes[i];
	put32(mac.bytes + 2, digest);
	if (is_v4(addr))
		memcpy(mac.bytes + 2, addr->bytes + 12, 4);
	return mac;
}

// ---- extension headers -------------------------------------------------------------------------

bool frame_add_extension(struct frame_extensions *extensions, uint8_t proto, const uint8_t *header,
			 uint8_t len)
{
	if (extensions->len + len > FRAME_MAX_EXTENSIONS)
		return false;
	if (extensions->len == 0)
		extensions->first = proto;
	else
		extensions->bytes[extensions->last_at] = proto;
	if (proto == IPPROTO_FRAGMENT) {
		extensions->has_fragment = true;
		extensions->fragment_at = extensions->len;
	}
	extensions->last_at = extensions->len;
	memcpy(extensions->bytes + extensions->len, header, len);
	extensions->len = (uint8_t)(extensions->len + len);
	return true;
}

// The finished chain: a fragment has its header, and the last header names the transport.
static struct frame_extensions chain_of(const struct frame_spec *spec)
{
	static const uint8_t empty[FRAGMENT_LEN];
	struct frame_extensions chain = spec->extensions;
	if (!chain.has_fragment && (spec->part_len || (spec->fragment & FRAGMENT_MASK)))
		frame_add_extension(&chain, IPPROTO_FRAGMENT, empty, FRAGMENT_LEN);
	if (chain.has_fragment) {
		uint8_t *header = chain.bytes + chain.fragment_at;
		put16(header + 2,
		      (spec->fragment << 3 & 0xfff8U) | !!(spec->fragment & MORE_FRAGMENTS));
		put32(header + 4, spec->id);
	}
	if (chain.len)
		chain.bytes[chain.last_at] = spec->proto;
	else
		chain.first = spec->proto;
	return chain;
}

static uint32_t ip_header_len(const struct frame_spec *spec)
{
	if (!frame_is_v6(spec))
		return IP_LEN + spec->ip_options.len;
	return IP6_LEN + chain_of(spec).len;
}

// ---- sums --------------------------------------------------------------------------------------

uint16_t frame_plain_sum(const uint8_t *data, uint32_t len, uint32_t start)
{
	uint32_t sum = start;
	for (uint32_t i = 0; i < len; i++) {
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
		if (sum > 0xffff)
			sum = (sum & 0xffff) + 1;
	}
	return (uint16_t)sum;
}

static uint32_t pseudo_sum(const struct frame_spec *spec, uint32_t len)
{
	uint8_t pseudo[40] = {0};
	uint32_t skipped = frame_is_v6(spec) ? 0 : 12;
	uint32_t addr_len = 16 - skipped;
	memcpy(pseudo, spec->src.bytes + skipped, addr_len);
	memcpy(pseudo + addr_len, spec->dst.bytes + skipped, addr_len);
	uint8_t *rest = pseudo + addr_len + addr_len;
	put32(rest, len);
	rest[7] = spec->proto;
	return frame_plain_sum(pseudo, 2 * addr_len + 8, 0);
}

static bool is_icmp(const struct frame_spec *spec)
{
	return spec->proto == IPPROTO_ICMP || spec->proto == IPPROTO_ICMPV6;
}

static uint32_t transport_len(const struct frame_spec *spec)
{
	switch (spec->proto) {
	case IPPROTO_TCP:
		return TCP_LEN + spec->tcp_options.len;
	case IPPROTO_UDP:
		return UDP_LEN;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return ICMP_LEN;
	default:
		return 0;
	}
}

// ---- the parts, each returning its length ------------------------------------------------------

static uint32_t write_payload(const struct frame_spec *spec, uint8_t *at)
{
	for (uint32_t i = 0; i < spec->payload_len; i++)
		at[i] = (uint8_t)((spec->payload_from + i) * 7 + 3);
	return spec->payload_len;
}

static void write_tcp(const struct frame_spec *spec, uint8_t *tcp)
{
	put16(tcp, spec->src_port);
	put16(tcp + 2, spec->dst_port);
	put32(tcp + 4, spec->seq);
	put32(tcp + 8, spec->ack);
	tcp[12] = (uint8_t)(transport_len(spec) / 4 << 4);
	tcp[13] = spec->flags;
	put16(tcp + 14, spec->window);
	put16(tcp + 16, 0);
	put16(tcp + 18, spec->urgent);
	memcpy(tcp + TCP_LEN, spec->tcp_options.bytes, spec->tcp_options.len);
}

static void write_udp(const struct frame_spec *spec, uint8_t *udp)
{
	put16(udp, spec->src_port);
	put16(udp + 2, spec->dst_port);
	put16(udp + 4, UDP_LEN + spec->payload_len);
	put16(udp + 6, 0);
}

static uint32_t write_ip_packet(const struct frame_spec *spec, uint8_t *ip);

static uint32_t write_icmp(const struct frame_spec *spec, uint8_t *icmp)
{
	icmp[0] = spec->icmp_type;
	icmp[1] = spec->icmp_code;
	put16(icmp + 2, 0);
	put32(icmp + 4, spec->icmp_rest);
	if (!spec->quoted)
		return ICMP_LEN + write_payload(spec, icmp + ICMP_LEN);
	uint32_t whole = write_ip_packet(spec->quoted, icmp + ICMP_LEN);
	uint32_t kept = ip_header_len(spec->quoted) + spec->quote_len;
	if (spec->quote_room)
		kept = spec->quote_room;
	return ICMP_LEN + (kept < whole ? kept : whole);
}

static void write_transport_sum(const struct frame_spec *spec, uint8_t *l4, uint32_t len)
{
	uint32_t offset = spec->proto == IPPROTO_TCP ? 16 : spec->proto == IPPROTO_UDP ? 6 : 2;
	uint32_t pseudo = spec->proto == IPPROTO_ICMP ? 0 : pseudo_sum(spec, len);
	uint32_t sum = 0xffff & ~(uint32_t)frame_plain_sum(l4, len, pseudo);
	if (spec->sum == SUM_PARTIAL)
		sum = pseudo;
	else if (spec->sum == SUM_WRONG)
		sum = (sum + WRONG_BY) % 0xffff;
	if (spec->proto == IPPROTO_UDP && sum == 0)
		sum = 0xffff;
	put16(l4 + offset, spec->sum == SUM_NONE ? 0 : sum);
}

static uint32_t write_transport(const struct frame_spec *spec, uint8_t *l4)
{
	uint32_t len = transport_len(spec) + spec->payload_len;
	if (is_icmp(spec))
		len = write_icmp(spec, l4);
	else if (spec->proto == IPPROTO_IPIP && spec->quoted)
		len = write_ip_packet(spec->quoted, l4);
	else
		write_payload(spec, l4 + transport_len(spec));
	if (spec->proto == IPPROTO_TCP)
		write_tcp(spec, l4);
	else if (spec->proto == IPPROTO_UDP)
		write_udp(spec, l4);
	if (transport_len(spec))
		write_transport_sum(spec, l4, len);
	if (spec->is_corrupt)
		l4[len - 1] ^= 0x40;
	return len;
}

static void write_ipv4_header(const struct frame_spec *spec, uint8_t *ip, uint32_t len)
{
	uint32_t header_len = ip_header_len(spec);
	ip[0] = (uint8_t)(0x40 | header_len / 4);
	ip[1] = spec->tos;
	put16(ip + 2, len);
	put16(ip + 4, spec->id);
	put16(ip + 6, spec->fragment);
	ip[8] = spec->ttl;
	ip[9] = spec->proto;
	put16(ip + 10, 0);
	memcpy(ip + 12, spec->src.bytes + 12, 4);
	memcpy(ip + 16, spec->dst.bytes + 12, 4);
	memcpy(ip + IP_LEN, spec->ip_options.bytes, spec->ip_options.len);
	uint32_t sum = 0xffff & ~(uint32_t)frame_plain_sum(ip, header_len, 0);
	put16(ip + 10, spec->is_ip_sum_wrong ? sum ^ 0x0101 : sum);
}

static void write_ipv6_header(const struct frame_spec *spec, uint8_t *ip, uint32_t len)
{
	struct frame_extensions chain = chain_of(spec);
	put32(ip, 6U << 28 | (uint32_t)spec->tos << 20 | spec->flow_label);
	put16(ip + 4, len - IP6_LEN);
	ip[6] = chain.first;
	ip[7] = spec->ttl;
	memcpy(ip + 8, spec->src.bytes, 16);
	memcpy(ip + 24, spec->dst.bytes, 16);
	memcpy(ip + IP6_LEN, chain.bytes, chain.len);
}

// What may be cut begins behind the header that says how.
static uint32_t fragmentable_at(const struct frame_spec *spec)
{
	if (!frame_is_v6(spec))
		return ip_header_len(spec);
	return IP6_LEN + chain_of(spec).fragment_at + FRAGMENT_LEN;
}

// Makes a fragment of the packet. Returns the length of what is left, and says in `part` what its
// header has to tell.
static uint32_t keep_part(const struct frame_spec *spec, uint8_t *ip, uint32_t len,
			  struct frame_spec *part)
{
	uint8_t *body = ip + fragmentable_at(spec);
	uint32_t body_len = len - fragmentable_at(spec);
	bool is_last = spec->part_at + spec->part_len >= body_len;
	uint32_t kept = is_last ? body_len - spec->part_at : spec->part_len;
	memmove(body, body + spec->part_at, kept);
	part->fragment |= (uint16_t)(spec->part_at / 8 | (is_last ? 0U : MORE_FRAGMENTS));
	return fragmentable_at(spec) + kept;
}

// Returns the length of the IP packet. The extension headers behind a fragment header are written
// before they are cut, those before it and itself at last.
static uint32_t write_ip_packet(const struct frame_spec *spec, uint8_t *ip)
{
	struct frame_spec part = *spec;
	uint32_t len = ip_header_len(spec);
	len += write_transport(spec, ip + len);
	if (frame_is_v6(spec))
		write_ipv6_header(spec, ip, len);
	if (spec->part_len)
		len = keep_part(spec, ip, len, &part);
	if (!frame_is_v6(spec)) {
		write_ipv4_header(&part, ip, len);
	} else if (spec->part_len) {
		struct frame_extensions chain = chain_of(&part);
		put16(ip + 4, len - IP6_LEN);
		memcpy(ip + IP6_LEN, chain.bytes, chain.fragment_at + (size_t)FRAGMENT_LEN);
	}
	return len;
}

// Returns where the IP packet begins.
static uint32_t write_ethernet(const struct frame_spec *spec, uint8_t *frame)
{
	uint32_t at = 2 * ETH_ALEN;
	memcpy(frame, spec->dst_mac.bytes, ETH_ALEN);
	memcpy(frame + ETH_ALEN, spec->src_mac.bytes, ETH_ALEN);
	for (unsigned i = 0; i < spec->n_vlans; i++) {
		put16(frame + at, i + 1 < spec->n_vlans ? ETH_P_8021AD : ETH_P_8021Q);
		put16(frame + at + 2, spec->vlans[i]);
		at += VLAN_TAG_LEN;
	}
	put16(frame + at, frame_is_v6(spec) ? ETH_P_IPV6 : ETH_P_IP);
	return at + 2;
}

static void write_vnet(const struct frame_spec *spec, uint32_t l3, struct virtio_net_hdr *vnet)
{
	uint32_t l4 = l3 + ip_header_len(spec);
	*vnet = (struct virtio_net_hdr){0};
	if (spec->sum != SUM_PARTIAL)
		return;
	vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	vnet->csum_start = (uint16_t)l4;
	vnet->csum_offset = spec->proto == IPPROTO_TCP ? 16 : 6;
	if (!spec->gso_size)
		return;
	vnet->gso_size = spec->gso_size;
	vnet->hdr_len = (uint16_t)(l4 + transport_len(spec));
	vnet->gso_type = spec->proto != IPPROTO_TCP ? GSO_UDP_L4
			 : frame_is_v6(spec)        ? VIRTIO_NET_HDR_GSO_TCPV6
						    : VIRTIO_NET_HDR_GSO_TCPV4;
}

uint32_t frame_build(const struct frame_spec *spec, uint8_t *frame, struct virtio_net_hdr *vnet)
{
	uint32_t l3 = write_ethernet(spec, frame);
	uint32_t len = l3 + write_ip_packet(spec, frame + l3);
	memset(frame + len, 0xee, spec->padding);
	len += spec->padding;
	for (unsigned i = 0; i < spec->n_pokes; i++)
		frame[spec->pokes[i].offset] = spec->pokes[i].value;
	write_vnet(spec, l3, vnet);
	return spec->cut_to && spec->cut_to < len ? spec->cut_to : len;
}
