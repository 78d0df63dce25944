// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/neighbour.h"

#include <netinet/in.h>

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"
#include "culvert/net/parse.h"

enum {
	SOURCE_MAC_OFFSET = 6,
	ETHERTYPE_OFFSET = 12,
	ETHERTYPE_ARP = 0x0806,
	ETHERTYPE_IPV6 = 0x86dd,
	HARDWARE_ETHERNET = 1,
	PROTOCOL_IPV4 = 0x0800,
	OPERATION_REQUEST = 1,
	OPERATION_REPLY = 2,

	// Of ARP, from the start of the frame.
	HARDWARE_OFFSET = 14,
	PROTOCOL_OFFSET = 16,
	HARDWARE_LEN_OFFSET = 18,
	PROTOCOL_LEN_OFFSET = 19,
	OPERATION_OFFSET = 20,
	SENDER_MAC_OFFSET = 22,
	SENDER_OFFSET = 28,
	TARGET_OFFSET = 38,
	ARP_FRAME_LEN = 42,

	// Of neighbour discovery, from the start of the IPv6 header and of the ICMPv6 message.
	NDP_TARGET_OFFSET = 8,
	NDP_MESSAGE_MIN = 24,
	SOLICITATION = 135,
	ADVERTISEMENT = 136,
};

static bool parse_arp(const uint8_t *frame, uint32_t len, struct neighbour_packet *packet)
{
	if (len < ARP_FRAME_LEN || load_be16(frame + ETHERTYPE_OFFSET) != ETHERTYPE_ARP ||
	    load_be16(frame + HARDWARE_OFFSET) != HARDWARE_ETHERNET ||
	    load_be16(frame + PROTOCOL_OFFSET) != PROTOCOL_IPV4 ||
	    frame[HARDWARE_LEN_OFFSET] != sizeof(packet->sender_mac.bytes) ||
	    frame[PROTOCOL_LEN_OFFSET] != sizeof(uint32_t))
		return false;
	uint16_t operation = load_be16(frame + OPERATION_OFFSET);
	if (operation != OPERATION_REQUEST && operation != OPERATION_REPLY)
		return false;
	packet->is_request = operation == OPERATION_REQUEST;
	memcpy(packet->sender_mac.bytes, frame + SENDER_MAC_OFFSET,
	       sizeof(packet->sender_mac.bytes));
	packet->sender = ip_addr_from_v4(load_raw32(frame + SENDER_OFFSET));
	packet->target = ip_addr_from_v4(load_raw32(frame + TARGET_OFFSET));
	return true;
}

static struct ip_addr addr_at(const uint8_t *bytes)
{
	struct ip_addr addr;
	memcpy(addr.bytes, bytes, sizeof(addr.bytes));
	return addr;
}

static bool is_multicast(const struct ip_addr *addr)
{
	return addr->bytes[0] == 0xff;
}

// The length of the ICMPv6 message behind the header at `ip`, or 0 when there is none that a
// neighbour can have sent, whole and intact.
static uint32_t ndp_len(const uint8_t *ip, const uint8_t *end)
{
	if (end - ip < IPV6_HEADER_LEN + NDP_MESSAGE_MIN ||
	    ip[IPV6_NEXT_HEADER_OFFSET] != IPPROTO_ICMPV6 ||
	    ip[IPV6_HOP_LIMIT_OFFSET] != NDP_HOP_LIMIT)
		return 0;
	uint16_t len = load_be16(ip + IPV6_LEN_OFFSET);
	if (len < NDP_MESSAGE_MIN || len > end - ip - IPV6_HEADER_LEN)
		return 0;
	uint64_t sum = (uint64_t)htons(len) + htons(IPPROTO_ICMPV6);
	sum = csum_add_bytes(sum, ip + IPV6_SRC_OFFSET, (size_t)2 * IPV6_ADDR_LEN);
	return csum_fold(csum_add_bytes(sum, ip + IPV6_HEADER_LEN, len)) == 0xffff ? len : 0;
}

static bool parse_ndp(const uint8_t *frame, uint32_t len, struct neighbour_packet *packet)
{
	const uint8_t *ip = frame + ETH_HEADER_LEN;
	if (len < ETH_HEADER_LEN || load_be16(frame + ETHERTYPE_OFFSET) != ETHERTYPE_IPV6 ||
	    !ndp_len(ip, frame + len))
		return false;
	const uint8_t *message = ip + IPV6_HEADER_LEN;
	struct ip_addr about = addr_at(message + NDP_TARGET_OFFSET);
	bool is_request = message[0] == SOLICITATION;
	if ((!is_request && message[0] != ADVERTISEMENT) || message[1] != 0 || is_multicast(&about))
		return false;
	packet->is_request = is_request;
	memcpy(packet->sender_mac.bytes, frame + SOURCE_MAC_OFFSET,
	       sizeof(packet->sender_mac.bytes));
	packet->sender = is_request ? addr_at(ip + IPV6_SRC_OFFSET) : about;
	packet->target = is_request ? about : addr_at(ip + IPV6_DST_OFFSET);
	return true;
}

bool neighbour_parse(const uint8_t *frame, uint32_t len, struct neighbour_packet *packet)
{
	return parse_arp(frame, len, packet) || parse_ndp(frame, len, packet);
}

bool neighbour_claims(const struct neighbour_packet *packet, const struct ip_addr *addr,
		      const struct mac_addr *own_mac)
{
	if (memcmp(&packet->sender_mac, own_mac, sizeof(*own_mac)) == 0)
		return false;
	if (ip_addr_equal(&packet->sender, addr))
		return true;
	return packet->is_request && ip_addr_is_unspecified(&packet->sender) &&
	       ip_addr_equal(&packet->target, addr);
}

struct ip_addr neighbour_solicited_node(const struct ip_addr *addr)
{
	struct ip_addr group = {{0xff, 0x02, [11] = 0x01, [12] = 0xff}};
	memcpy(group.bytes + 13, addr->bytes + 13, 3);
	return group;
}

struct mac_addr neighbour_group_mac(const struct ip_addr *group)
{
	struct mac_addr mac = {{0x33, 0x33}};
	memcpy(mac.bytes + 2, group->bytes + 12, 4);
	return mac;
}
