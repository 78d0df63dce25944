// SPDX-License-Identifier: Apache-2.0
// From an endpoint (address, port, protocol) to a small number. Filled once, then read by any
// thread.
#pragma once

#include "culvert/ds/index_map.h"
#include "culvert/net/addr.h"

struct endpoint_map {
	struct index_map index;
	struct endpoint *endpoints; // owned; by number
	uint32_t n;
	uint32_t capacity;
	uint64_t secret; // keyed hashing: nobody outside can aim for one bucket
};

int endpoint_map_init(struct endpoint_map *map, uint32_t capacity, uint64_t secret,
		      struct err *err);
void endpoint_map_fini(struct endpoint_map *map);

// The number of `endpoint`, which is the next free one if it is new. The capacity must suffice.
uint32_t endpoint_map_add(struct endpoint_map *map, const struct endpoint *endpoint);

enum { ENDPOINT_UNKNOWN = -1 };
int32_t endpoint_map_find(const struct endpoint_map *map, const struct endpoint *endpoint);
