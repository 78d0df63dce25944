// SPDX-License-Identifier: Apache-2.0
// The packets that culvert makes itself, in both families: resets (RFC 9293 section 3.5.2) and ICMP
// errors (RFC 792, RFC 1191 section 4, RFC 1812 section 4.3.2, RFC 4443). Their fixed parts are
// built once by libnet; addresses, numbers, quotes and checksums are patched in. Called by: the
// worker that owns the templates, but for answer_templates_init().
#pragma once

#include "culvert/base/err.h"
#include "packet/packet.h"

enum {
	ANSWER_TCP_LEN = 20,
	ANSWER_ICMP_LEN = 8,
	ANSWER_TEMPLATE_MAX = ETH_HEADER_LEN + IPV6_HEADER_LEN + ANSWER_TCP_LEN,
};

struct answer_template {
	uint8_t bytes[ANSWER_TEMPLATE_MAX];
	uint32_t len;
	uint32_t l4; // offset of the transport header
};

struct answer_templates {
	struct answer_template resets[2]; // of IPv4, and of IPv6
	struct answer_template errors[2];
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

// Turn a received packet into the refusal that its sender should get from whom it was for: a reset
// for a TCP segment, a port unreachable for a UDP datagram. `link_mac` is the address of the link
// it came in on. The verdict stays the caller's to set. False, and nothing is changed, when there
// must be no answer: to a RST, an ICMP error, or a packet whose checksum is wrong.
bool answer_refuse(const struct answer_templates *templates, struct packet *packet,
		   const struct mac_addr *link_mac);

// What a router says of a packet that it cannot pass on.
struct router_error {
	enum { ROUTER_EXPIRED, ROUTER_TOO_BIG } kind;
	uint32_t mtu;          // ROUTER_TOO_BIG: the greatest IP packet that goes further, else 0
	struct ip_addr router; // the address of ours that says it
	struct mac_addr link_mac; // of the link where the packet came in
};

// Likewise, turn a received packet into an ICMP error of a router between both ends. It quotes the
// packet as it was received, as much as custom allows. False, and nothing is changed, for an ICMP
// error, a fragment after the first, or a packet whose checksum is wrong.
bool answer_as_router(const struct answer_templates *templates, struct packet *packet,
		      const struct router_error *error);

// Turn an ICMP error about a packet in a tunnel into the word for the sender of what was in it that
// packets of more than `mtu` bytes go no further. Link and its addresses stay the caller's to set.
void answer_tunnel_too_big(const struct answer_templates *templates, struct packet *packet,
			   uint32_t mtu);
