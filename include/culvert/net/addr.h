// SPDX-License-Identifier: Apache-2.0
// Internet addresses and endpoints as values: compared with memcmp, hashed as bytes, copied freely.
// Pure: no system calls, no allocation. Any thread.
#pragma once

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

enum {
	IP_ADDR_TEXT_MAX = 46,  // with the terminating zero
	ENDPOINT_TEXT_MAX = 56, // "[addr]:port"
	MAC_ADDR_TEXT_MAX = 18,
};

struct ip_addr ip_addr_from_v4(uint32_t addr_be);
bool ip_addr_is_v4(const struct ip_addr *addr);
bool ip_addr_is_unspecified(const struct ip_addr *addr); // 0.0.0.0 or ::

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

static inline bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

// Text to value. "10.0.0.1" or "fd00::1"; for endpoints "10.0.0.1:80" or "[fd00::1]:80", the port
// 1 to 65535 (endpoint_parse leaves `proto` at 0). False leaves the output untouched.
bool ip_addr_parse(const char *text, struct ip_addr *addr);
bool endpoint_parse(const char *text, struct endpoint *endpoint);

// Value to text. `text` must have room for the matching *_TEXT_MAX. Returns `text`.
const char *ip_addr_format(const struct ip_addr *addr, char *text);
const char *endpoint_format(const struct endpoint *endpoint, char *text);
const char *mac_addr_format(const struct mac_addr *mac, char *text);
