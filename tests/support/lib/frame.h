// SPDX-License-Identifier: Apache-2.0
// Frames built from a description, with checksums computed from scratch: what the packet path,
// which only ever updates them, is measured against. Shares no code with src/net.
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/addr.h"

enum {
	FRAME_MAX = 14 + 65535 + 256, // padding included
	FRAME_MAX_POKES = 8,
	FRAME_MAX_OPTIONS = 40,
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

// Overwrites a byte of the finished frame.
struct frame_poke {
	uint16_t offset;
	uint8_t value;
};

struct frame_spec {
	struct mac_addr src_mac;
	struct mac_addr dst_mac;

	uint32_t src; // host byte order, as everything here
	uint32_t dst;
	uint8_t proto;
	uint8_t ttl;
	uint8_t tos;
	uint16_t id;
	uint16_t fragment; // flags and offset as in the header
	struct frame_options ip_options;
	bool is_ip_sum_wrong;

	uint16_t src_port;
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

	// One fragment of the packet: bytes of what follows the IP header. 0: the whole packet.
	uint32_t part_at;
	uint32_t part_len;

	uint16_t gso_size; // 0: an ordinary frame
	uint32_t padding;
	struct frame_poke pokes[FRAME_MAX_POKES];
	uint8_t n_pokes;
	uint32_t cut_to; // 0: whole
};

// The hardware address that test hosts have, made from their IPv4 address.
struct mac_addr frame_mac_of(uint32_t addr);

// Writes into `frame`, which has room for FRAME_MAX bytes, and returns the length.
uint32_t frame_build(const struct frame_spec *spec, uint8_t *frame, struct virtio_net_hdr *vnet);

// RFC 1071 the plain way: the folded sum of 16-bit words in network byte order.
uint16_t frame_plain_sum(const uint8_t *data, uint32_t len, uint32_t start);

// What the transport checksum of a TCP or UDP packet is worth. SUM_UNKNOWN for anything else, and
// for headers that do not fit.
enum frame_sum frame_transport_sum(const uint8_t *frame, uint32_t len, bool is_partial);

// NULL when the frames are equal, otherwise a description of the first field that is not, in
// `why`.
const char *frame_difference(const uint8_t *expected, uint32_t expected_len, const uint8_t *actual,
			     uint32_t actual_len, char *why, size_t why_size);
