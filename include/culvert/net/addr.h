// SPDX-License-Identifier: Apache-2.0
// Internet addresses and endpoints as values: compared with memcmp, hashed as bytes, copied freely.
// Pure: no system calls, no allocation. Any thread.
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// An IPv4 address is held as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), so one shape serves both
// families. Network byte order.
struct ip_addr {
	uint8_t bytes[16];
};

// Address, port and transport protocol: what a frontend listens on and a backend serves.
struct endpoint {
	struct ip_addr addr;
	uint16_t port_be; // network byte order
	uint8_t proto;    // IPPROTO_TCP or IPPROTO_UDP
	uint8_t zero;     // always 0, so that memcmp compares endpoints
};

struct mac_addr {
	uint8_t bytes[6];
};

// A CIDR prefix (RFC 4632, RFC 4291 section 2.3). Host bits of `addr` are zero. The length counts
// in the 128-bit form: an IPv4 /24 is held as 120, so one comparison serves both families.
struct ip_network {
	struct ip_addr addr;
	uint8_t prefix_len; // 0 to 128; 96 or more for IPv4
};

enum {
	IP_ADDR_TEXT_MAX = 46,  // with the terminating zero
	ENDPOINT_TEXT_MAX = 56, // "[addr]:port"
	MAC_ADDR_TEXT_MAX = 18,
};

// The halves of an address as they lie in memory.
static inline uint64_t ip_addr_half(const struct ip_addr *addr, unsigned i)
{
	uint64_t half;
	memcpy(&half, addr->bytes + i * sizeof(half), sizeof(half));
	return half;
}

static inline struct ip_addr ip_addr_from_v4(uint32_t addr_be)
{
	uint64_t halves[2] = {0, htobe64(UINT64_C(0xffff) << 32 | be32toh(addr_be))};
	struct ip_addr addr;
	memcpy(&addr, halves, sizeof(addr));
	return addr;
}

static inline bool ip_addr_is_v4(const struct ip_addr *addr)
{
	const uint64_t prefix = htobe64(UINT64_C(0xffff) << 32);
	const uint64_t mask = htobe64(UINT64_C(0xffffffff) << 32);
	return ip_addr_half(addr, 0) == 0 && (ip_addr_half(addr, 1) & mask) == prefix;
}

bool ip_addr_is_unspecified(const struct ip_addr *addr); // 0.0.0.0 or ::
// fe80::/10: another host on each link, so that it means nothing without an interface (RFC 4007).
static inline bool ip_addr_is_link_local(const struct ip_addr *addr)
{
	return addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

// The IPv4 address in network byte order; only for addresses that are IPv4.
static inline uint32_t ip_addr_v4_be(const struct ip_addr *addr)
{
	uint32_t value;
	memcpy(&value, addr->bytes + 12, sizeof(value));
	return value;
}

static inline bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

// One by one: they have been stored so, and a load of all three at once would wait for them.
static inline bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return ip_addr_equal(&a->addr, &b->addr) && a->port_be == b->port_be &&
	       a->proto == b->proto;
}

// Text to value. "10.0.0.1" or "fd00::1"; for endpoints "10.0.0.1:80" or "[fd00::1]:80", the port
// 1 to 65535 (endpoint_parse leaves `proto` at 0). False leaves the output untouched.
bool ip_addr_parse(const char *text, struct ip_addr *addr);
bool endpoint_parse(const char *text, struct endpoint *endpoint);

// "10.0.0.0/8", "fd00::/16"; a plain address is the network of that one host. Host bits must be
// zero. False leaves the output untouched.
bool ip_network_parse(const char *text, struct ip_network *network);
// Never across families: ::/0 has no IPv4 address in it.
bool ip_network_contains(const struct ip_network *network, const struct ip_addr *addr);

// Value to text. `text` must have room for the matching *_TEXT_MAX. Returns `text`.
const char *ip_addr_format(const struct ip_addr *addr, char *text);
const char *endpoint_format(const struct endpoint *endpoint, char *text);
const char *mac_addr_format(const struct mac_addr *mac, char *text);
