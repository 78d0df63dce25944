// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/endpoint_map.h"

#include <errno.h>
#include <stdlib.h>

#include "culvert/ds/hash.h"

enum { FEW = 4 }; // to look at all of them costs less than to hash

int endpoint_map_init(struct endpoint_map *map, uint32_t capacity, uint64_t secret, struct err *err)
{
	*map = (struct endpoint_map){
		.endpoints = calloc(capacity + 1, sizeof(*map->endpoints)),
		.numbers = calloc(capacity + 1, sizeof(*map->numbers)),
		.capacity = capacity,
	};
	int code = 0;
	for (uint64_t i = 0; i <= ENDPOINT_WORDS; i++)
		map->factors[i] = XXH3_64bits_withSeed(&i, sizeof(i), secret);
	if (!map->endpoints || !map->numbers)
		code = err_set(err, -ENOMEM, "not enough memory for %u endpoints", capacity);
	if (!code)
		code = index_map_init(&map->index, capacity ? capacity : 1, err);
	if (code)
		endpoint_map_fini(map);
	return code;
}

void endpoint_map_fini(struct endpoint_map *map)
{
	index_map_fini(&map->index);
	free(map->endpoints);
	free(map->numbers);
	*map = (struct endpoint_map){0};
}

// Multilinear hashing, whose upper half is strongly universal (Lemire and Kaser 2014, section 3):
// multiplications that need not wait for each other. Every packet from a backend pays for it.
static inline uint32_t hash_of(const struct endpoint_map *map, const struct endpoint *endpoint)
{
	const uint64_t *factors = map->factors;
	uint64_t low = ip_addr_half(&endpoint->addr, 0);
	uint64_t high = ip_addr_half(&endpoint->addr, 1);
	uint64_t rest = (uint64_t)endpoint->proto << 16 | endpoint->port_be;
	uint64_t sum = factors[0] * (uint32_t)low + factors[1] * (low >> 32) +
		       factors[2] * (uint32_t)high + factors[3] * (high >> 32) + factors[4] * rest +
		       factors[ENDPOINT_WORDS];
	return (uint32_t)(sum >> 32);
}

static int32_t find_among_few(const struct endpoint_map *map, const struct endpoint *endpoint)
{
	for (uint32_t i = 0; i < map->n; i++) {
		if (endpoint_equal(&map->endpoints[i], endpoint))
			return (int32_t)map->numbers[i];
	}
	return ENDPOINT_UNKNOWN;
}

// The index map's values are places in `endpoints`, counted from 1.
int32_t endpoint_map_find(const struct endpoint_map *map, const struct endpoint *endpoint)
{
	struct index_map_cursor cursor;
	if (map->n <= FEW)
		return find_among_few(map, endpoint);
	uint32_t hash = hash_of(map, endpoint);
	for (uint32_t i = index_map_first(&map->index, hash, &cursor); i;
	     i = index_map_next(&map->index, &cursor)) {
		if (endpoint_equal(&map->endpoints[i - 1], endpoint))
			return (int32_t)map->numbers[i - 1];
	}
	return ENDPOINT_UNKNOWN;
}

uint32_t endpoint_map_add(struct endpoint_map *map, const struct endpoint *endpoint,
			  uint32_t number)
{
	int32_t known = endpoint_map_find(map, endpoint);
	if (known != ENDPOINT_UNKNOWN)
		return (uint32_t)known;
	map->endpoints[map->n] = *endpoint;
	map->numbers[map->n++] = number;
	index_map_insert(&map->index, hash_of(map, endpoint), map->n);
	return number;
}
