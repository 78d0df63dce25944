// SPDX-License-Identifier: Apache-2.0
// Frames read back. As little as the tests need, and nothing of what they test.
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "frame.h"

enum {
	VLAN_TAG_LEN = 4,
	IP_LEN = 20,
	IP6_LEN = 40,
	EXTENSION_MIN = 8,
	TCP_LEN = 20,
	UDP_LEN = 8,
};

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

uint32_t frame_ip_at(const uint8_t *frame, uint32_t len)
{
	for (uint32_t at = ETH_HLEN; at <= len; at += VLAN_TAG_LEN) {
		uint32_t type = get16(frame + at - 2);
		if (type == ETH_P_IP || type == ETH_P_IPV6)
			return at;
		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			return 0;
	}
	return 0;
}

static bool read_ipv4(const uint8_t *frame, uint32_t len, struct frame_layout *layout)
{
	const uint8_t *ip = frame + layout->l3;
	if (len < layout->l3 + IP_LEN || ip[0] >> 4 != 4)
		return false;
	layout->l4 = layout->l3 + (ip[0] & 0x0fU) * 4;
	layout->end = layout->l3 + get16(ip + 2);
	layout->proto = ip[9];
	layout->is_fragment = get16(ip + 6) & 0x3fff;
	return layout->end <= len && layout->l4 <= layout->end && (get16(ip + 6) & 0x1fff) == 0;
}

static bool is_extension(uint8_t proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS ||
	       proto == IPPROTO_FRAGMENT;
}

static bool read_ipv6(const uint8_t *frame, uint32_t len, struct frame_layout *layout)
{
	const uint8_t *ip = frame + layout->l3;
	if (len < layout->l3 + IP6_LEN || ip[0] >> 4 != 6)
		return false;
	layout->is_v6 = true;
	layout->l4 = layout->l3 + IP6_LEN;
	layout->end = layout->l4 + get16(ip + 4);
	layout->proto = ip[6];
	if (layout->end > len)
		return false;
	while (is_extension(layout->proto)) {
		const uint8_t *header = frame + layout->l4;
		if (layout->l4 + EXTENSION_MIN > layout->end)
			return false;
		bool is_fragment = layout->proto == IPPROTO_FRAGMENT;
		if (is_fragment && (get16(header + 2) & 0xfff8))
			return false;
		layout->is_fragment |= is_fragment && (header[3] & 1);
		layout->proto = header[0];
		layout->l4 += is_fragment ? EXTENSION_MIN : (header[1] + 1U) * 8;
	}
	return layout->l4 <= layout->end;
}

bool frame_read_layout(const uint8_t *frame, uint32_t len, struct frame_layout *layout)
{
	*layout = (struct frame_layout){.l3 = frame_ip_at(frame, len)};
	if (layout->l3 == 0)
		return false;
	bool is_v6 = get16(frame + layout->l3 - 2) == ETH_P_IPV6;
	return is_v6 ? read_ipv6(frame, len, layout) : read_ipv4(frame, len, layout);
}

static uint32_t pseudo_sum(const uint8_t *frame, const struct frame_layout *layout, uint32_t len)
{
	const uint8_t *addrs = frame + layout->l3 + (layout->is_v6 ? 8 : 12);
	uint32_t sum = frame_plain_sum(addrs, layout->is_v6 ? 32 : 8, 0);
	const uint8_t rest[4] = {0, layout->proto, (uint8_t)(len >> 8), (uint8_t)len};
	return frame_plain_sum(rest, sizeof(rest), sum);
}

enum frame_sum frame_transport_sum(const uint8_t *frame, uint32_t len, bool is_partial)
{
	struct frame_layout layout;
	if (!frame_read_layout(frame, len, &layout) || layout.is_fragment)
		return SUM_UNKNOWN;
	bool is_udp = layout.proto == IPPROTO_UDP;
	uint32_t room = layout.end - layout.l4;
	uint32_t least = is_udp ? UDP_LEN : TCP_LEN;
	if ((!is_udp && layout.proto != IPPROTO_TCP) || room < least)
		return SUM_UNKNOWN;

	const uint8_t *l4 = frame + layout.l4;
	uint32_t l4_len = is_udp ? get16(l4 + 4) : room;
	if (l4_len < least || l4_len > room)
		return SUM_UNKNOWN;
	uint32_t stored = get16(l4 + (is_udp ? 6 : 16));
	uint32_t pseudo = pseudo_sum(frame, &layout, l4_len);
	if (is_partial)
		return stored % 0xffff == pseudo % 0xffff ? SUM_PARTIAL : SUM_WRONG;
	if (is_udp && stored == 0)
		return SUM_NONE;
	return frame_plain_sum(l4, l4_len, pseudo) == 0xffff ? SUM_RIGHT : SUM_WRONG;
}
