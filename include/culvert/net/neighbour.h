// SPDX-License-Identifier: Apache-2.0
// Who has an address of a network: reading ARP (RFC 826) for IPv4 over Ethernet, and what neighbour
// discovery (RFC 4861) says of the same for IPv6. Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/addr.h"

struct neighbour_packet {
	bool is_request;            // a solicitation; else a reply, or an advertisement
	struct mac_addr sender_mac; // IPv6: that of the frame
	// Unspecified: a probe, whose sender only wants to know (RFC 5227, RFC 4862). Of an
	// advertisement: the address that it is about, whoever has sent it.
	struct ip_addr sender;
	struct ip_addr target; // whom is asked for; of an answer: whom it is for
};

enum { NDP_HOP_LIMIT = 255 }; // no router has passed it on (RFC 4861 section 11.2)

// `frame` starts at the Ethernet header. False: none of these, one that a receiver has to ignore
// (RFC 4861 section 7.1), or cut short; *packet is untouched then.
bool neighbour_parse(const uint8_t *frame, uint32_t len, struct neighbour_packet *packet);

// Whether the packet's sender shows that it has `addr`, or is about to take it (RFC 5227 section
// 2.1.1, RFC 4862 section 5.4), and is not the holder of `own_mac` itself.
bool neighbour_claims(const struct neighbour_packet *packet, const struct ip_addr *addr,
		      const struct mac_addr *own_mac);

// Where questions for an address go (RFC 4291 section 2.7.1), and the link address of a multicast
// group (RFC 2464 section 7). IPv6 only.
struct ip_addr neighbour_solicited_node(const struct ip_addr *addr);
struct mac_addr neighbour_group_mac(const struct ip_addr *group);
