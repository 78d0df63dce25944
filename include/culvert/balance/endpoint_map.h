// SPDX-License-Identifier: Apache-2.0
// From an endpoint (address, port, protocol) to a small number. Filled once, then read by any
// thread.
#pragma once

#include "culvert/ds/index_map.h"
#include "culvert/net/addr.h"

enum { ENDPOINT_WORDS = 5 };

struct endpoint_map {
	struct index_map index;
	struct endpoint *endpoints; // owned; in the order in which they were added
	uint32_t *numbers;          // owned; of each
	uint32_t n;
	uint32_t capacity;
	uint64_t factors[ENDPOINT_WORDS + 1]; // random: nobody outside can aim for one bucket
};

int endpoint_map_init(struct endpoint_map *map, uint32_t capacity, uint64_t secret,
		      struct err *err);
void endpoint_map_fini(struct endpoint_map *map);

// Let `endpoint` have `number`, if it has none yet. The capacity must suffice. Returns the number
// that it has.
uint32_t endpoint_map_add(struct endpoint_map *map, const struct endpoint *endpoint,
			  uint32_t number);

enum { ENDPOINT_UNKNOWN = -1 };
int32_t endpoint_map_find(const struct endpoint_map *map, const struct endpoint *endpoint);
