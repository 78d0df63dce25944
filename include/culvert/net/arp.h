// SPDX-License-Identifier: Apache-2.0
// Reading ARP (RFC 826) for IPv4 over Ethernet. Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/addr.h"

struct arp_packet {
	bool is_request; // else a reply
	struct mac_addr sender_mac;
	struct ip_addr sender; // 0.0.0.0: a probe, whose sender only wants to know (RFC 5227)
	struct ip_addr target;
};

// `frame` starts at the Ethernet header. False: not ARP of these two protocols, or cut short; *arp
// is untouched then.
bool arp_parse(const uint8_t *frame, uint32_t len, struct arp_packet *arp);

// Whether the packet's sender shows that it has `addr`, or is about to take it (RFC 5227 section
// 2.1.1), and is not the holder of `own_mac` itself.
bool arp_claims(const struct arp_packet *arp, const struct ip_addr *addr,
		const struct mac_addr *own_mac);
