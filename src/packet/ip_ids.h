// SPDX-License-Identifier: Apache-2.0
// Identifications for packets that are, or may become, fragments: senders choose theirs for their
// own addresses, and two clients behind one address of ours may choose the same (RFC 6864
// section 5.3.1). Counting up per source and destination keeps equal ones as far apart as can be;
// where the count begins is secret (RFC 7739). Called by: the worker that owns it. Workers share
// addresses, so each has its part of the numbers.
#pragma once

#include <stdint.h>

#include "culvert/net/addr.h"

enum { IP_IDS_COUNTERS = 1024 };

struct ip_ids {
	uint64_t secret;
	uint32_t worker;
	uint32_t n_workers;
	uint32_t counters[IP_IDS_COUNTERS]; // by hash of both addresses
};

void ip_ids_init(struct ip_ids *ids, uint64_t secret, uint32_t worker, uint32_t n_workers);

// The first of `n` identifications in a row for an IPv4 packet that becomes as many; one for a
// datagram of IPv6. Host byte order.
uint16_t ip_ids_take_v4(struct ip_ids *ids, const struct ip_addr *src, const struct ip_addr *dst,
			uint32_t n);
uint32_t ip_ids_take_v6(struct ip_ids *ids, const struct ip_addr *src, const struct ip_addr *dst);
