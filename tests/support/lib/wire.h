// SPDX-License-Identifier: Apache-2.0
// What an IP packet of either family is worth, found out the plain way: every header walked, every
// checksum summed up anew. Judges what the packet path lets out; shares no code with src/net.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

struct wire {
	bool is_v6;
	bool is_fragment; // and so nothing is to be said about its transport
	uint8_t proto;
	uint8_t ttl;
	uint32_t header_len; // of IP and its extension headers, in a fragment as far as to that one
	uint32_t part_at;    // of a fragment: where its data belong
	bool has_more;       // and whether others follow
	uint32_t len;        // of the packet; what follows is padding
};

// Where the IP packet of a frame begins: behind its VLAN tags. 0 when the frame has none.
uint32_t wire_ip_at(const uint8_t *frame, uint32_t len);

// False when the headers do not fit into `len` bytes.
bool wire_read(const uint8_t *ip, uint32_t len, struct wire *wire);

// SUM_RIGHT or SUM_WRONG; IPv6 headers are always right.
enum frame_sum wire_ip_sum(const uint8_t *ip, const struct wire *wire);

// Of TCP, UDP, ICMP and ICMPv6. SUM_UNKNOWN where there is none that can be judged.
enum frame_sum wire_transport_sum(const uint8_t *ip, const struct wire *wire, bool is_partial);

// Writes a transport checksum as told; nothing where there is no such field.
void wire_set_transport_sum(uint8_t *ip, const struct wire *wire, enum frame_sum sum);
void wire_set_ip_sum(uint8_t *ip, const struct wire *wire, enum frame_sum sum);

// Where the payload of TCP or UDP begins, or the message of ICMP, from the IP header on; the length
// of the packet when that lies beyond it.
uint32_t wire_payload_at(const uint8_t *ip, const struct wire *wire);
