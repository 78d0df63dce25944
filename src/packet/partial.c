// SPDX-License-Identifier: Apache-2.0
#include "packet/partial.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "culvert/net/checksum.h"

enum {
	L3 = ETH_HEADER_LEN,
	L4_V4 = L3 + sizeof(struct iphdr),
	L4_V6 = L3 + sizeof(struct ipv6hdr),
	TCP_CHECK = 16, // where the checksum is in the header
	UDP_CHECK = 6,
};

// What of a pseudo-header is not addresses.
static uint64_t add_tail(uint64_t sum, uint8_t proto, uint16_t l4_len)
{
	return sum + htons(proto) + htons(l4_len);
}

// Marks the packet if its checksum is the sum. No local sender pads its frames.
static void compare(struct packet *packet, uint16_t l4, uint8_t proto, uint64_t addresses)
{
	uint16_t at = proto == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK;
	uint16_t check;
	if (packet->len < l4 + at + sizeof(check) || packet->len - l4 > UINT16_MAX)
		return;
	uint64_t sum = add_tail(addresses, proto, (uint16_t)(packet->len - l4));
	memcpy(&check, packet->frame + l4 + at, sizeof(check));
	if (check != csum_fold(sum))
		return;
	packet->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	packet->vnet.csum_start = l4;
	packet->vnet.csum_offset = at;
}

static void recognise_v4(struct packet *packet)
{
	struct iphdr ip;
	if (packet->len < L4_V4)
		return;
	memcpy(&ip, packet->frame + L3, sizeof(ip));
	if (ip.ihl != sizeof(ip) / 4 || (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP))
		return;
	compare(packet, L4_V4, ip.protocol,
		csum_add_bytes(0, packet->frame + L3 + offsetof(struct iphdr, saddr),
			       2 * sizeof(ip.saddr)));
}

static void recognise_v6(struct packet *packet)
{
	struct ipv6hdr ip;
	if (packet->len < L4_V6)
		return;
	memcpy(&ip, packet->frame + L3, sizeof(ip));
	if (ip.nexthdr != IPPROTO_TCP && ip.nexthdr != IPPROTO_UDP)
		return;
	compare(packet, L4_V6, ip.nexthdr,
		csum_add_bytes(0, packet->frame + L3 + offsetof(struct ipv6hdr, saddr),
			       2 * sizeof(ip.saddr)));
}

void partial_recognise(struct packet *packet)
{
	uint16_t type_be;
	packet->vnet = (struct virtio_net_hdr){0};
	if (packet->len < ETH_HEADER_LEN)
		return;
	memcpy(&type_be, packet->frame + offsetof(struct ethhdr, h_proto), sizeof(type_be));
	if (type_be == htons(ETH_P_IP))
		recognise_v4(packet);
	else if (type_be == htons(ETH_P_IPV6))
		recognise_v6(packet);
}

void partial_complete(struct packet *packet)
{
	if (!(packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return;
	uint32_t start = packet->vnet.csum_start;
	uint32_t at = start + packet->vnet.csum_offset;
	if (at + sizeof(uint16_t) > packet->len)
		return;
	uint16_t check = csum_finish(csum_add_bytes(0, packet->frame + start, packet->len - start));
	// Zero would say that there is none (RFC 768); for TCP the two are the same.
	if (check == 0)
		check = 0xffff;
	memcpy(packet->frame + at, &check, sizeof(check));
	packet->vnet.flags = 0;
}
