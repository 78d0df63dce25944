// SPDX-License-Identifier: Apache-2.0
// The packets that culvert makes itself: resets (RFC 9293 section 3.5.2), port unreachable (RFC
// 792) and fragmentation needed (RFC 1191 section 4). Their fixed parts are built once by libnet;
// addresses, numbers and checksums are patched in. Called by: the worker that owns the templates,
// but for answer_templates_init().
#pragma once

#include "culvert/base/err.h"
#include "packet/packet.h"

enum {
	ANSWER_IP_LEN = 20,
	ANSWER_TCP_LEN = 20,
	ANSWER_ICMP_LEN = 8,
	ANSWER_RESET_LEN = ETH_HEADER_LEN + ANSWER_IP_LEN + ANSWER_TCP_LEN,
	ANSWER_UNREACHABLE_LEN = ETH_HEADER_LEN + ANSWER_IP_LEN + ANSWER_ICMP_LEN,
};

struct answer_templates {
	uint8_t reset[ANSWER_RESET_LEN];
	uint8_t unreachable[ANSWER_UNREACHABLE_LEN];
};

int answer_templates_init(struct answer_templates *templates, struct err *err);

// A reset to be written into an empty packet.
struct reset {
	struct mac_addr src_mac;
	struct mac_addr dst_mac;
	struct endpoint src;
	struct endpoint dst;
	uint32_t seq; // host byte order
	uint32_t ack;
	bool has_ack;
	uint8_t link; // to send it on
};

void answer_write_reset(const struct answer_templates *templates, const struct reset *reset,
			struct packet *packet);

// Whether a refusal of the packet may be answered at all: not a RST, an ICMP error, or a fragment
// after the first (RFC 1122 section 3.2.2).
static inline bool answer_may_be_due(const struct packet *packet)
{
	bool is_tcp = packet->view.src.proto == IPPROTO_TCP;
	return !packet->view.is_icmp_error && !packet_is_later_fragment(packet) &&
	       !(is_tcp && (packet->view.tcp_flags & TCP_FLAG_RST));
}

// Turn a received packet into the refusal that its sender should get: a reset for a TCP segment, a
// port unreachable for a UDP datagram. `link_mac` is the address of the link it came in on. The
// verdict stays the caller's to set. False, and nothing is changed, when there must be no answer:
// to a RST, an ICMP error, or a packet whose checksum is wrong.
bool answer_refuse(const struct answer_templates *templates, struct packet *packet,
		   const struct mac_addr *link_mac);

// Likewise, turn a packet that must not be fragmented into the word that packets of more than `mtu`
// bytes go no further. It quotes the packet as it was received.
bool answer_too_big(const struct answer_templates *templates, struct packet *packet,
		    const struct mac_addr *link_mac, uint32_t mtu);

// Turn an ICMP error about a packet in a tunnel into the same word for the sender of what was in
// it, for whom packets of more than `mtu` bytes go no further. Link and its addresses stay the
// caller's to set.
void answer_tunnel_too_big(const struct answer_templates *templates, struct packet *packet,
			   uint32_t mtu);
