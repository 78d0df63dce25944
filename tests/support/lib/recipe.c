// SPDX-License-Identifier: Apache-2.0
#include "recipe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "culvert/net/parse.h"
#include "wire.h"

enum {
	MACS_LEN = 12,
	V6_LEN = 40,
	PAYLOAD_MAX = 4095,
	QUOTE_MAX = 1400,
	TTL = 64,
	NUMBER_SCALE = 1000,
	TAG_PRIORITY = 5 << 13,
	TAG_VLAN = 10,
	GSO_UDP_L4 = 5,
};

static const uint8_t v4_options[][8] = {
	{0},
	{1, 1, 1, 1, 1, 1, 1, 0},   // nothing
	{7, 7, 4, 0, 0, 0, 0, 0},   // record route
	{148, 4, 0, 0, 1, 0, 0, 0}, // router alert
	{131, 7, 4, 0, 0, 0, 0, 0}, // source route
	{68, 9, 5, 0, 0, 0, 0, 0},  // overruns
};

static const struct {
	uint8_t len;
	uint8_t bytes[20];
} tcp_options[] = {
	{0, {0}},
	{4, {2, 4, 0x05, 0xb4}},
	{8, {1, 2, 4, 0x23, 0x28, 1, 1, 0}}, // the greatest segment size on an odd byte
	{12, {1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0}},
	{20, {2, 4, 0xff, 0xff, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}},
	{4, {2, 9, 0, 0}},
	{4, {2, 3, 1, 0}},
};

// Types and codes.
static const uint8_t v4_errors[][2] = {{3, 4},  {3, 1},  {3, 3},  {3, 13},
				       {11, 0}, {11, 1}, {12, 0}, {5, 0}};
static const uint8_t v6_errors[][2] = {{2, 0}, {1, 0}, {1, 4}, {1, 1},
				       {3, 0}, {3, 1}, {4, 1}, {137, 0}};

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

struct recipe recipe_read(const uint8_t *data, size_t size)
{
	struct recipe recipe = {0};
	memcpy(&recipe, data, size < sizeof(recipe) ? size : sizeof(recipe));
	return recipe;
}

static enum recipe_kind kind_of(const struct recipe *recipe)
{
	unsigned kind = recipe->kind & ((1U << RECIPE_KIND_BITS) - 1);
	return (enum recipe_kind)(kind % RECIPE_N_KINDS);
}

// Near for small steps, far for large ones.
static uint32_t moved(uint32_t number, int8_t by)
{
	return number + (uint32_t)(by & 1 ? by : by * NUMBER_SCALE);
}

static uint32_t put_payload(uint8_t *at, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		at[i] = (uint8_t)(i * 7 + 3);
	return len;
}

static uint32_t payload_len(const struct recipe *recipe)
{
	return ((uint32_t)recipe->len[0] << 8 | recipe->len[1]) & PAYLOAD_MAX;
}

// ---- IP: returns the length of the headers ------------------------------------------------------

static void put_addr(uint8_t *at, const struct ip_addr *addr, bool is_v6)
{
	if (is_v6)
		memcpy(at, addr->bytes, sizeof(addr->bytes));
	else
		memcpy(at, addr->bytes + 12, 4);
}

static uint32_t put_v4(const struct recipe *recipe, uint8_t proto, const struct ip_addr *src,
		       const struct ip_addr *dst, uint8_t *ip)
{
	size_t which = (recipe->chain & 0x0f) % (sizeof(v4_options) / sizeof(v4_options[0]));
	uint32_t len = which ? 28 : 20;
	memset(ip, 0, 20);
	ip[0] = (uint8_t)(0x40 | len / 4);
	put16(ip + 4, 7);
	put16(ip + 6, (recipe->fragment & 1U) << 14 | (recipe->fragment & 2U) << 12 |
			      recipe->fragment >> 2);
	ip[8] = recipe->ttl ? recipe->ttl : TTL;
	ip[9] = proto;
	put_addr(ip + 12, src, false);
	put_addr(ip + 16, dst, false);
	memcpy(ip + 20, v4_options[which], len - 20);
	return len;
}

// One bit of the recipe each, in the order of RFC 8200 section 4.1.
static uint32_t put_v6(const struct recipe *recipe, uint8_t proto, const struct ip_addr *src,
		       const struct ip_addr *dst, uint8_t *ip)
{
	static const uint8_t kinds[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
					IPPROTO_FRAGMENT};
	uint8_t *next = ip + 6;
	uint32_t len = V6_LEN;
	memset(ip, 0, V6_LEN);
	ip[0] = 0x60;
	ip[7] = recipe->ttl ? recipe->ttl : TTL;
	put_addr(ip + 8, src, true);
	put_addr(ip + 24, dst, true);
	for (unsigned i = 0; i < sizeof(kinds); i++) {
		if (!(recipe->chain >> i & 1))
			continue;
		*next = kinds[i];
		memset(ip + len, 0, 8);
		if (kinds[i] == IPPROTO_FRAGMENT)
			put16(ip + len + 2,
			      (recipe->fragment >> 2) * 8U | (recipe->fragment >> 1 & 1U));
		else
			ip[len + 2] = 1; // options: four bytes of nothing
		if (kinds[i] != IPPROTO_FRAGMENT && kinds[i] != IPPROTO_ROUTING)
			ip[len + 3] = 4;
		next = ip + len;
		len += 8;
	}
	*next = proto;
	return len;
}

static uint32_t put_ip(const struct recipe *recipe, uint8_t proto, const struct ip_addr *src,
		       const struct ip_addr *dst, uint8_t *ip)
{
	return ip_addr_is_v4(dst) ? put_v4(recipe, proto, src, dst, ip)
				  : put_v6(recipe, proto, src, dst, ip);
}

static void finish_ip(uint8_t *ip, uint32_t len, enum frame_sum sum)
{
	struct wire wire;
	bool is_v6 = ip[0] >> 4 == 6;
	put16(ip + (is_v6 ? 4 : 2), is_v6 ? len - V6_LEN : len);
	if (!wire_read(ip, len, &wire))
		return;
	wire_set_transport_sum(ip, &wire, sum);
	wire_set_ip_sum(ip, &wire, SUM_RIGHT);
}

// ---- transport: returns the length of the packet ------------------------------------------------

static uint32_t put_tcp(const struct recipe *recipe, const struct recipe_ends *ends, uint8_t *tcp)
{
	size_t which = (recipe->chain >> 4) % (sizeof(tcp_options) / sizeof(tcp_options[0]));
	uint32_t len = 20U + tcp_options[which].len;
	memset(tcp, 0, 20);
	put16(tcp, ntohs(ends->src.port_be));
	put16(tcp + 2, ntohs(ends->dst.port_be));
	put32(tcp + 4, moved(ends->seq, recipe->seq));
	put32(tcp + 8, moved(ends->ack, recipe->ack));
	tcp[12] = (uint8_t)(len / 4 << 4);
	tcp[13] = recipe->flags;
	put16(tcp + 14, 1000);
	memcpy(tcp + 20, tcp_options[which].bytes, tcp_options[which].len);
	return len + put_payload(tcp + len, payload_len(recipe));
}

static uint32_t put_udp(const struct recipe *recipe, const struct recipe_ends *ends, uint8_t *udp)
{
	uint32_t len = 8 + put_payload(udp + 8, payload_len(recipe));
	put16(udp, ntohs(ends->src.port_be));
	put16(udp + 2, ntohs(ends->dst.port_be));
	put16(udp + 4, len);
	put16(udp + 6, 0);
	return len;
}

static uint32_t put_segment(const struct recipe *recipe, const struct recipe_ends *ends,
			    bool is_tcp, uint8_t *ip)
{
	uint32_t len = put_ip(recipe, is_tcp ? IPPROTO_TCP : IPPROTO_UDP, &ends->src.addr,
			      &ends->dst.addr, ip);
	return len + (is_tcp ? put_tcp(recipe, ends, ip + len) : put_udp(recipe, ends, ip + len));
}

// What went the other way, or through a tunnel, whole; returns how much of it is quoted.
static uint32_t put_quote(const struct recipe *recipe, const struct recipe_ends *ends,
			  enum recipe_kind kind, uint8_t *out)
{
	static uint8_t packet[RECIPE_FRAME_MAX];
	static const struct recipe outer;
	struct recipe plain = {.flags = TCP_FLAG_ACK, .chain = recipe->chain, .len = {1, 0}};
	struct recipe_ends quoted = {.src = ends->dst,
				     .dst = ends->src,
				     .seq = ends->ack,
				     .ack = ends->seq};
	uint32_t inner_at = 0;
	if (kind == RECIPE_ICMP_ABOUT_TUNNEL) {
		inner_at = put_ip(&outer, IPPROTO_IPIP, &ends->dst.addr, &ends->src.addr, packet);
		quoted.src = ends->client;
		quoted.dst = ends->vip;
	}
	uint32_t len =
		put_segment(&plain, &quoted, kind != RECIPE_ICMP_ABOUT_UDP, packet + inner_at);
	finish_ip(packet + inner_at, len, SUM_RIGHT);
	if (inner_at)
		finish_ip(packet, len += inner_at, SUM_RIGHT);
	uint32_t wanted = payload_len(recipe) ? payload_len(recipe) % QUOTE_MAX : len;
	uint32_t n_quoted = wanted < len ? wanted : len;
	memcpy(out, packet, n_quoted);
	return n_quoted;
}

static uint32_t put_icmp(const struct recipe *recipe, const struct recipe_ends *ends,
			 enum recipe_kind kind, uint8_t *icmp)
{
	bool is_v4 = ip_addr_is_v4(&ends->dst.addr);
	const uint8_t *error = (is_v4 ? v4_errors : v6_errors)[recipe->flags & 7];
	memset(icmp, 0, 8);
	if (kind == RECIPE_ECHO) {
		icmp[0] = is_v4 ? 8 : 128;
		return 8 + put_payload(icmp + 8, payload_len(recipe));
	}
	icmp[0] = error[0];
	icmp[1] = error[1];
	put32(icmp + 4, (uint32_t)(uint8_t)recipe->ack * 16);
	return 8 + put_quote(recipe, ends, kind, icmp + 8);
}

static uint32_t put_packet(const struct recipe *recipe, const struct recipe_ends *ends, uint8_t *ip)
{
	enum recipe_kind kind = kind_of(recipe);
	bool is_v4 = ip_addr_is_v4(&ends->dst.addr);
	uint8_t icmp = is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	uint32_t len;
	switch (kind) {
	case RECIPE_TCP:
	case RECIPE_UDP:
		return put_segment(recipe, ends, kind == RECIPE_TCP, ip);
	case RECIPE_ICMP_ABOUT_TUNNEL:
	case RECIPE_ICMP_ABOUT_TCP:
	case RECIPE_ICMP_ABOUT_UDP:
		len = put_ip(recipe, icmp, &ends->router, &ends->dst.addr, ip);
		return len + put_icmp(recipe, ends, kind, ip + len);
	case RECIPE_ECHO:
		len = put_ip(recipe, icmp, &ends->src.addr, &ends->dst.addr, ip);
		return len + put_icmp(recipe, ends, kind, ip + len);
	default:
		len = put_ip(recipe, recipe->flags, &ends->src.addr, &ends->dst.addr, ip);
		return len + put_payload(ip + len, payload_len(recipe));
	}
}

// ---- the frame ----------------------------------------------------------------------------------

static uint32_t put_ethernet(const struct recipe *recipe, const struct recipe_ends *ends,
			     uint8_t *frame)
{
	uint32_t at = MACS_LEN;
	unsigned n_tags = recipe->tags & RECIPE_TAGS_N;
	memcpy(frame, ends->dst_mac.bytes, 6);
	memcpy(frame + 6, ends->src_mac.bytes, 6);
	for (unsigned i = 0; i < n_tags; i++) {
		bool is_vlan = i + 1 == n_tags && (recipe->tags & RECIPE_TAGS_VLAN);
		put16(frame + at, recipe->tags & RECIPE_TAGS_PROVIDER ? 0x88a8 : 0x8100);
		put16(frame + at + 2, TAG_PRIORITY | (is_vlan ? TAG_VLAN : 0));
		at += 4;
	}
	put16(frame + at, ip_addr_is_v4(&ends->dst.addr) ? 0x0800 : 0x86dd);
	return at + 2;
}

static void poke(const uint8_t *data, size_t size, uint8_t *ip, uint32_t len)
{
	for (size_t i = sizeof(struct recipe); i + 1 < size; i += 2) {
		if (data[i] < len)
			ip[data[i]] = data[i + 1];
	}
}

static enum frame_sum sum_of(const struct recipe *recipe)
{
	static const enum frame_sum sums[] = {SUM_RIGHT, SUM_WRONG, SUM_NONE, SUM_PARTIAL};
	return sums[recipe->sums & RECIPE_SUM_MASK];
}

static void describe(const struct recipe *recipe, uint32_t ip_at, const uint8_t *ip,
		     const struct wire *wire, struct virtio_net_hdr *vnet)
{
	bool is_tcp = wire->proto == IPPROTO_TCP;
	if (sum_of(recipe) != SUM_PARTIAL)
		return;
	vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	vnet->csum_start = (uint16_t)(ip_at + wire->header_len);
	vnet->csum_offset = is_tcp ? 16 : wire->proto == IPPROTO_UDP ? 6 : 2;
	if (!(recipe->sums & RECIPE_SUMS_GSO))
		return;
	vnet->hdr_len = (uint16_t)(ip_at + wire_payload_at(ip, wire));
	vnet->gso_size = RECIPE_GSO_SIZE;
	vnet->gso_type = !is_tcp       ? GSO_UDP_L4
			 : wire->is_v6 ? VIRTIO_NET_HDR_GSO_TCPV6
				       : VIRTIO_NET_HDR_GSO_TCPV4;
}

uint32_t recipe_build(const uint8_t *data, size_t size, const struct recipe_ends *ends,
		      uint8_t *frame, struct virtio_net_hdr *vnet)
{
	struct recipe recipe = recipe_read(data, size);
	struct wire wire;
	*vnet = (struct virtio_net_hdr){0};
	uint32_t at = put_ethernet(&recipe, ends, frame);
	uint8_t *ip = frame + at;
	uint32_t len = put_packet(&recipe, ends, ip);
	finish_ip(ip, len, sum_of(&recipe));
	poke(data, size, ip, len);
	if (wire_read(ip, len, &wire)) {
		describe(&recipe, at, ip, &wire, vnet);
		if (recipe.sums & RECIPE_SUMS_MEND)
			wire_set_transport_sum(ip, &wire, sum_of(&recipe));
		wire_set_ip_sum(ip, &wire,
				recipe.sums & RECIPE_SUMS_BAD_IP ? SUM_WRONG : SUM_RIGHT);
	}
	uint32_t padding = recipe.sums / RECIPE_SUMS_PADDING * 3U;
	memset(ip + len, 0xee, padding);
	return at + len + padding;
}
