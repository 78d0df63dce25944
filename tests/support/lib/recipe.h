// SPDX-License-Identifier: Apache-2.0
// A few bytes to a whole packet: so that what a fuzzer changes stays a packet, and what it means to
// damage is damaged on purpose.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "culvert/net/addr.h"
#include "frame.h"

enum { RECIPE_FRAME_MAX = 6000 };

enum recipe_kind {
	RECIPE_TCP,
	RECIPE_UDP,
	RECIPE_ICMP_ABOUT_TCP, // an error that quotes what the packet's receiver has sent
	RECIPE_ICMP_ABOUT_UDP,
	RECIPE_ICMP_ABOUT_TUNNEL, // an error that quotes what went from here through a tunnel
	RECIPE_ECHO,
	RECIPE_OTHER, // a protocol that nobody here speaks
	RECIPE_N_KINDS,
};

// As they are in the input; what is missing at its end is zero.
struct recipe {
	uint8_t who;      // whose packet: the barrage's to read
	uint8_t kind;     // modulo RECIPE_N_KINDS, and the barrage's bits above RECIPE_KIND_BITS
	uint8_t flags;    // of TCP; ICMP: which error
	int8_t seq;       // how far from what is expected
	int8_t ack;       // ICMP: the MTU that an error tells
	uint8_t len[2];   // of the payload, or of what is quoted
	uint8_t ttl;      // 0: 64
	uint8_t chain;    // IP options or extension headers below, TCP options above
	uint8_t tags;     // RECIPE_TAGS_...
	uint8_t fragment; // 1: don't fragment; 2: more to come; the rest: offset
	uint8_t sums;     // RECIPE_SUMS_...
};

enum {
	RECIPE_KIND_BITS = 3,

	RECIPE_SUM_MASK = 3, // right, wrong, none, partial
	RECIPE_SUMS_GSO = 4, // a super-frame, with RECIPE_SUM_MASK's last
	RECIPE_SUMS_BAD_IP = 8,
	RECIPE_SUMS_MEND = 16,    // after the pokes
	RECIPE_SUMS_PADDING = 32, // times the bits above

	RECIPE_TAGS_N = 3,    // how many
	RECIPE_TAGS_VLAN = 4, // the last is of a VLAN
	RECIPE_TAGS_PROVIDER = 8,

	RECIPE_GSO_SIZE = 41,
};

// Who speaks to whom, and where their numbers are.
struct recipe_ends {
	struct endpoint src;
	struct endpoint dst;
	uint32_t seq;
	uint32_t ack;
	struct endpoint client; // who speaks through a tunnel from `dst` to `src`
	struct endpoint vip;
	struct ip_addr router; // sender of errors
	struct mac_addr src_mac;
	struct mac_addr dst_mac;
};

// Bytes behind the recipe are pokes: pairs of an offset from the IP header on and a value. Writes
// into `frame`, which has room for RECIPE_FRAME_MAX, and returns the length.
uint32_t recipe_build(const uint8_t *data, size_t size, const struct recipe_ends *ends,
		      uint8_t *frame, struct virtio_net_hdr *vnet);

struct recipe recipe_read(const uint8_t *data, size_t size);
