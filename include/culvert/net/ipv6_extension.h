// SPDX-License-Identifier: Apache-2.0
// The extension headers of IPv6 that are read past (RFC 8200 section 4), in one place: a filter
// that lets one through and a parser that stops at it would be two opinions about the same packet.
// Pure; any thread.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static const uint8_t ipv6_extensions[] = {
	IPPROTO_HOPOPTS,
	IPPROTO_ROUTING,
	IPPROTO_FRAGMENT,
	IPPROTO_DSTOPTS,
};

enum { N_IPV6_EXTENSIONS = sizeof(ipv6_extensions) / sizeof(ipv6_extensions[0]) };

static inline bool ipv6_is_extension(uint8_t header)
{
	for (size_t i = 0; i < N_IPV6_EXTENSIONS; i++) {
		if (ipv6_extensions[i] == header)
			return true;
	}
	return false;
}
