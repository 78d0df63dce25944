// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/arp.h"

#include "culvert/net/bytes.h"

enum {
	ETHERTYPE_OFFSET = 12,
	ETHERTYPE_ARP = 0x0806,
	HARDWARE_ETHERNET = 1,
	PROTOCOL_IPV4 = 0x0800,
	OPERATION_REQUEST = 1,
	OPERATION_REPLY = 2,

	// From the start of the frame.
	HARDWARE_OFFSET = 14,
	PROTOCOL_OFFSET = 16,
	HARDWARE_LEN_OFFSET = 18,
	PROTOCOL_LEN_OFFSET = 19,
	OPERATION_OFFSET = 20,
	SENDER_MAC_OFFSET = 22,
	SENDER_OFFSET = 28,
	TARGET_OFFSET = 38,
	ARP_FRAME_LEN = 42,
};

bool arp_parse(const uint8_t *frame, uint32_t len, struct arp_packet *arp)
{
	if (len < ARP_FRAME_LEN || load_be16(frame + ETHERTYPE_OFFSET) != ETHERTYPE_ARP ||
	    load_be16(frame + HARDWARE_OFFSET) != HARDWARE_ETHERNET ||
	    load_be16(frame + PROTOCOL_OFFSET) != PROTOCOL_IPV4 ||
	    frame[HARDWARE_LEN_OFFSET] != sizeof(arp->sender_mac.bytes) ||
	    frame[PROTOCOL_LEN_OFFSET] != sizeof(uint32_t))
		return false;
	uint16_t operation = load_be16(frame + OPERATION_OFFSET);
	if (operation != OPERATION_REQUEST && operation != OPERATION_REPLY)
		return false;
	arp->is_request = operation == OPERATION_REQUEST;
	memcpy(arp->sender_mac.bytes, frame + SENDER_MAC_OFFSET, sizeof(arp->sender_mac.bytes));
	arp->sender = ip_addr_from_v4(load_raw32(frame + SENDER_OFFSET));
	arp->target = ip_addr_from_v4(load_raw32(frame + TARGET_OFFSET));
	return true;
}

bool arp_claims(const struct arp_packet *arp, const struct ip_addr *addr,
		const struct mac_addr *own_mac)
{
	if (memcmp(&arp->sender_mac, own_mac, sizeof(*own_mac)) == 0)
		return false;
	if (ip_addr_equal(&arp->sender, addr))
		return true;
	return arp->is_request && ip_addr_is_unspecified(&arp->sender) &&
	       ip_addr_equal(&arp->target, addr);
}
