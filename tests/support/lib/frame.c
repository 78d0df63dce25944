// SPDX-License-Identifier: Apache-2.0
#include "frame.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

enum {
	IP_AT = ETH_HLEN,
	IP_LEN = 20,
	TCP_LEN = 20,
	UDP_LEN = 8,
	ICMP_LEN = 8,
	WRONG_BY = 0x1234,
	MORE_FRAGMENTS = 0x2000,
	GSO_UDP_L4 = 5, // VIRTIO_NET_HDR_GSO_UDP_L4, which older headers lack
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

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

struct mac_addr frame_mac_of(uint32_t addr)
{
	struct mac_addr mac = {{0x02, 0x01}};
	put32(mac.bytes + 2, addr);
	return mac;
}

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

static uint32_t pseudo_sum(const uint8_t *ip, uint32_t len)
{
	uint8_t pseudo[12] = {0};
	memcpy(pseudo, ip + 12, 8);
	pseudo[9] = ip[9];
	put16(pseudo + 10, len);
	return frame_plain_sum(pseudo, sizeof(pseudo), 0);
}

static uint32_t transport_len(const struct frame_spec *spec)
{
	switch (spec->proto) {
	case IPPROTO_TCP:
		return TCP_LEN + spec->tcp_options.len;
	case IPPROTO_UDP:
		return UDP_LEN;
	case IPPROTO_ICMP:
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
	uint32_t kept = IP_LEN + spec->quoted->ip_options.len + spec->quote_len;
	return ICMP_LEN + (kept < whole ? kept : whole);
}

static void write_transport_sum(const struct frame_spec *spec, const uint8_t *ip, uint8_t *l4,
				uint32_t len)
{
	uint32_t offset = spec->proto == IPPROTO_TCP ? 16 : spec->proto == IPPROTO_UDP ? 6 : 2;
	uint32_t pseudo = spec->proto == IPPROTO_ICMP ? 0 : pseudo_sum(ip, len);
	uint32_t sum = 0xffff & ~(uint32_t)frame_plain_sum(l4, len, pseudo);
	if (spec->sum == SUM_PARTIAL)
		sum = pseudo;
	else if (spec->sum == SUM_WRONG)
		sum = (sum + WRONG_BY) % 0xffff;
	if (spec->proto == IPPROTO_UDP && sum == 0)
		sum = 0xffff;
	put16(l4 + offset, spec->sum == SUM_NONE ? 0 : sum);
}

// Makes a fragment of the packet. Returns what it carries.
static uint32_t keep_part(const struct frame_spec *spec, uint8_t *ip, uint8_t *l4, uint32_t len)
{
	bool is_last = spec->part_at + spec->part_len >= len;
	uint32_t kept = is_last ? len - spec->part_at : spec->part_len;
	memmove(l4, l4 + spec->part_at, kept);
	put16(ip + 2, (uint32_t)(l4 - ip) + kept);
	put16(ip + 6, spec->fragment | spec->part_at / 8 | (is_last ? 0U : MORE_FRAGMENTS));
	return kept;
}

// Returns the length of the IP packet.
static uint32_t write_ip_packet(const struct frame_spec *spec, uint8_t *ip)
{
	uint32_t header_len = IP_LEN + spec->ip_options.len;
	uint8_t *l4 = ip + header_len;
	uint32_t len = transport_len(spec) + spec->payload_len;
	ip[0] = (uint8_t)(0x40 | header_len / 4);
	ip[1] = spec->tos;
	put16(ip + 4, spec->id);
	put16(ip + 6, spec->fragment);
	ip[8] = spec->ttl;
	ip[9] = spec->proto;
	put16(ip + 10, 0);
	put32(ip + 12, spec->src);
	put32(ip + 16, spec->dst);
	memcpy(ip + IP_LEN, spec->ip_options.bytes, spec->ip_options.len);

	if (spec->proto == IPPROTO_ICMP)
		len = write_icmp(spec, l4);
	else if (spec->proto == IPPROTO_IPIP && spec->quoted)
		len = write_ip_packet(spec->quoted, l4);
	else
		write_payload(spec, l4 + transport_len(spec));
	if (spec->proto == IPPROTO_TCP)
		write_tcp(spec, l4);
	else if (spec->proto == IPPROTO_UDP)
		write_udp(spec, l4);
	put16(ip + 2, header_len + len);
	if (transport_len(spec))
		write_transport_sum(spec, ip, l4, len);
	if (spec->is_corrupt)
		l4[len - 1] ^= 0x40;

	if (spec->part_len)
		len = keep_part(spec, ip, l4, len);

	uint32_t sum = 0xffff & ~(uint32_t)frame_plain_sum(ip, header_len, 0);
	put16(ip + 10, spec->is_ip_sum_wrong ? sum ^ 0x0101 : sum);
	return header_len + len;
}

static void write_vnet(const struct frame_spec *spec, struct virtio_net_hdr *vnet)
{
	uint32_t l4 = ETH_HLEN + IP_LEN + spec->ip_options.len;
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
	vnet->gso_type = spec->proto == IPPROTO_TCP ? VIRTIO_NET_HDR_GSO_TCPV4 : GSO_UDP_L4;
}

uint32_t frame_build(const struct frame_spec *spec, uint8_t *frame, struct virtio_net_hdr *vnet)
{
	memcpy(frame, spec->dst_mac.bytes, ETH_ALEN);
	memcpy(frame + ETH_ALEN, spec->src_mac.bytes, ETH_ALEN);
	put16(frame + ETH_HLEN - 2, ETH_P_IP);
	uint32_t len = IP_AT + write_ip_packet(spec, frame + IP_AT);
	memset(frame + len, 0xee, spec->padding);
	len += spec->padding;
	for (unsigned i = 0; i < spec->n_pokes; i++)
		frame[spec->pokes[i].offset] = spec->pokes[i].value;
	write_vnet(spec, vnet);
	return spec->cut_to && spec->cut_to < len ? spec->cut_to : len;
}

enum frame_sum frame_transport_sum(const uint8_t *frame, uint32_t len, bool is_partial)
{
	const uint8_t *ip = frame + IP_AT;
	if (len < IP_AT + IP_LEN || ip[0] >> 4 != 4)
		return SUM_UNKNOWN;
	uint32_t header_len = (ip[0] & 0x0fU) * 4;
	uint32_t total_len = get16(ip + 2);
	bool is_udp = ip[9] == IPPROTO_UDP;
	uint32_t l4_min = is_udp ? UDP_LEN : TCP_LEN;
	if ((!is_udp && ip[9] != IPPROTO_TCP) || total_len > len - IP_AT ||
	    total_len < header_len + l4_min)
		return SUM_UNKNOWN;

	const uint8_t *l4 = ip + header_len;
	uint32_t l4_len = is_udp ? get16(l4 + 4) : total_len - header_len;
	if (l4_len < l4_min || l4_len > total_len - header_len)
		return SUM_UNKNOWN;
	uint32_t stored = get16(l4 + (is_udp ? 6 : 16));
	uint32_t pseudo = pseudo_sum(ip, l4_len);
	if (is_partial)
		return stored % 0xffff == pseudo % 0xffff ? SUM_PARTIAL : SUM_WRONG;
	if (is_udp && stored == 0)
		return SUM_NONE;
	return frame_plain_sum(l4, l4_len, pseudo) == 0xffff ? SUM_RIGHT : SUM_WRONG;
}
