// SPDX-License-Identifier: Apache-2.0
// The PROXY protocol, versions 1 and 2 (HAProxy's doc/proxy-protocol.txt, 2020-03-05): the first
// bytes of a connection, which say whose it was before a proxy took it over.
// Pure: bytes in, bytes out. Any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "culvert/net/addr.h"

enum {
	PROXY_HEADER_V1_MAX = 107, // CR and LF included, section 2.1; no terminating zero
	PROXY_HEADER_V2_MAX = 52,  // as written here: 16 bytes and two IPv6 endpoints
	// The longest that is read. Version 2 may say up to 65,551 bytes; what carries more than
	// this of TLVs is refused.
	PROXY_HEADER_READ_MAX = 4096,
};

enum proxy_header_state {
	PROXY_HEADER_DONE,
	PROXY_HEADER_PARTIAL, // right so far: more bytes are needed
	PROXY_HEADER_BAD,     // no continuation makes it right
};

struct proxy_header {
	bool has_addrs;      // false: LOCAL, UNKNOWN, or not TCP over IP: use the socket's own
	struct endpoint src; // TCP; whose connection it is
	struct endpoint dst; // TCP; what it was made to
};

// Read a header of either version from the first `len` bytes of a connection. When done, *header
// is filled and *header_len says where the stream's own bytes begin. When bad, *problem is a
// static sentence for the log. Other outputs stay untouched.
enum proxy_header_state proxy_header_parse(const uint8_t *bytes, size_t len,
					   struct proxy_header *header, size_t *header_len,
					   const char **problem);

// Write a header of that version; `out` has room for the matching *_MAX. Returns its length.
// Endpoints of two families are both written as IPv6 (an IPv4 address in its mapped form).
size_t proxy_header_write_v1(const struct endpoint *src, const struct endpoint *dst, char *out);
size_t proxy_header_write_v2(const struct endpoint *src, const struct endpoint *dst, uint8_t *out);
