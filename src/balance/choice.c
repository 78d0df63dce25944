// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/choice.h"

#include "culvert/ds/hash.h"

// Little-endian words of an endpoint, its bytes in order: 20 of 24.
struct words {
	uint64_t low;
	uint64_t high;
	uint32_t rest;
};

static struct words words_of(const struct endpoint *endpoint)
{
	return (struct words){
		.low = le64toh(ip_addr_half(&endpoint->addr, 0)),
		.high = le64toh(ip_addr_half(&endpoint->addr, 1)),
		.rest = le16toh(endpoint->port_be) | (uint32_t)endpoint->proto << 16,
	};
}

// The hash of both endpoints as they lie in memory, one after the other. Put together from words:
// what was stored in other pieces than it is loaded in waits for all stores before it, those to NAT
// ports of new flows among them.
static uint32_t hash_of_both(const struct endpoint *src, const struct endpoint *dst)
{
	struct words a = words_of(src);
	struct words b = words_of(dst);
	uint64_t key[] = {
		htole64(a.low),
		htole64(a.high),
		htole64(a.rest | b.low << 32),
		htole64(b.low >> 32 | b.high << 32),
		htole64(b.high >> 32 | (uint64_t)b.rest << 32),
	};
	return (uint32_t)XXH3_64bits(key, sizeof(key));
}

uint32_t choice_hash(enum hash_kind kind, const struct endpoint *src, const struct endpoint *dst)
{
	if (kind == HASH_SOURCE_IP)
		return (uint32_t)XXH3_64bits(&src->addr, sizeof(src->addr));
	return hash_of_both(src, dst);
}
