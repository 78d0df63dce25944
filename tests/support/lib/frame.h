// SPDX-License-Identifier: Apache-2.0
// Frames built from a description, with checksums computed from scratch: what the packet path,
// which only ever updates them, is measured against. Shares no code with src/net.
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/addr.h"

enum {
	FRAME_MAX_VLANS = 2,
	FRAME_MAX = 14 + 4 * FRAME_MAX_VLANS + 40 + 65535 + 256, // padding included
	FRAME_MAX_POKES = 8,
	FRAME_MAX_OPTIONS = 40,
	FRAME_MAX_EXTENSIONS = 160,
};

enum frame_sum {
	SUM_RIGHT,
	SUM_WRONG,   // off by a fixed number, which every right update keeps
	SUM_NONE,    // zero
	SUM_PARTIAL, // of the pseudo-header only, not complemented
	SUM_UNKNOWN, // frame_transport_sum(): there is none to judge
};

struct frame_options {
	uint8_t bytes[FRAME_MAX_OPTIONS];
	uint8_t len; // a multiple of 4
};

// The extension headers of IPv6, one after another: frame_add_extension() makes them a chain.
struct frame_extensions {
	uint8_t bytes[FRAME_MAX_EXTENSIONS];
	uint8_t len;
	uint8_t first;   // what the first is
	uint8_t last_at; // where the last begins
	bool has_fragment;
	uint8_t fragment_at;
};

// Overwrites a byte of the finished frame.
struct frame_poke {
	uint16_t offset;
	uint8_t value;
};

struct frame_spec {
	struct mac_addr src_mac;
	struct mac_addr dst_mac;
	uint16_t vlans[FRAME_MAX_VLANS]; // tags, the outer one first
	uint8_t n_vlans;

	struct ip_addr src; // IPv6 when either is
	struct ip_addr dst;
	uint8_t proto;
	uint8_t ttl;                     // or hop limit
	uint8_t tos;                     // or traffic class
	uint32_t id;                     // IPv6: of the fragment header
	uint16_t fragment;               // flags and offset as in the header of IPv4
	struct frame_options ip_options; // IPv4
	bool is_ip_sum_wrong;
	uint32_t flow_label; // IPv6
	struct frame_extensions extensions;

	uint16_t src_port; // host byte order, as every number here
	uint16_t dst_port;
	enum frame_sum sum;
	uint32_t payload_len;
	uint32_t payload_from; // where in an endless payload it begins
	bool is_corrupt;       // a byte of the payload was changed after its checksum was computed

	uint32_t seq; // TCP
	uint32_t ack;
	uint8_t flags; // ECE and CWR as well
	uint16_t window;
	uint16_t urgent;
	struct frame_options tcp_options;

	uint8_t icmp_type;
	uint8_t icmp_code;
	uint32_t icmp_rest;              // bytes 4 to 7
	const struct frame_spec *quoted; // or, for IPPROTO_IPIP, carried; NULL: payload_len bytes
	uint32_t quote_len;              // bytes kept of the quoted transport header and payload
	uint32_t quote_room;             // instead: bytes kept of the quoted packet; 0: see above

	// One fragment of the packet: bytes of what follows the IP header, or the fragment header
	// of IPv6, which comes last unless it is among the extensions. 0: the whole packet.
	uint32_t part_at;
	uint32_t part_len;

	uint16_t gso_size; // 0: an ordinary frame
	uint32_t padding;
	struct frame_poke pokes[FRAME_MAX_POKES];
	uint8_t n_pokes;
	uint32_t cut_to; // 0: whole
};

// Where the parts of a frame are, as offsets from its start.
struct frame_layout {
	uint32_t l3;
	uint32_t l4;
	uint32_t end; // of the IP packet: padding follows
	uint8_t proto;
	bool is_v6;
	bool is_fragment;
};

// An IPv4 address from a number in host byte order.
struct ip_addr frame_v4(uint32_t addr);

// The hardware address that test hosts have, made from their IP address.
struct mac_addr frame_mac_of(const struct ip_addr *addr);

bool frame_is_v6(const struct frame_spec *spec);

// Append an extension header, whose first byte will name the next. False when there is no room.
bool frame_add_extension(struct frame_extensions *extensions, uint8_t proto, const uint8_t *header,
			 uint8_t len);

// Writes into `frame`, which has room for FRAME_MAX bytes, and returns the length.
uint32_t frame_build(const struct frame_spec *spec, uint8_t *frame, struct virtio_net_hdr *vnet);

// RFC 1071 the plain way: the folded sum of 16-bit words in network byte order.
uint16_t frame_plain_sum(const uint8_t *data, uint32_t len, uint32_t start);

// Where the IP packet begins, behind what VLAN tags there are; 0 for anything else.
uint32_t frame_ip_at(const uint8_t *frame, uint32_t len);

// False for what is no IP packet, whose headers do not fit, or whose transport header is in another
// fragment.
bool frame_read_layout(const uint8_t *frame, uint32_t len, struct frame_layout *layout);

// What the transport checksum of a TCP or UDP packet is worth. SUM_UNKNOWN for anything else, for
// fragments, and for headers that do not fit.
enum frame_sum frame_transport_sum(const uint8_t *frame, uint32_t len, bool is_partial);

// NULL when the frames are equal, otherwise a description of the first field that is not, in
// `why`.
const char *frame_difference(const uint8_t *expected, uint32_t expected_len, const uint8_t *actual,
			     uint32_t actual_len, char *why, size_t why_size);
