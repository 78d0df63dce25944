// SPDX-License-Identifier: Apache-2.0
// The numbers that backends' endpoints have: a NAT pool belongs to each. One that nobody uses any
// more is remembered, so that an endpoint which comes back finds its ports as it has left them,
// until its number is needed for another.
// Called by: control.
#pragma once

#include "culvert/balance/endpoint_map.h"

struct endpoint_ids {
	struct index_map index;
	struct endpoint *endpoints; // owned; by number
	uint32_t *n_users;          // owned; by number
	uint32_t capacity;
	uint32_t n;      // numbers that were ever given
	uint32_t cursor; // where the search for an unused one goes on
	uint64_t secret;
};

int endpoint_ids_init(struct endpoint_ids *ids, uint32_t capacity, uint64_t secret,
		      struct err *err);
void endpoint_ids_fini(struct endpoint_ids *ids);

// One more user of the endpoint. There are never more users than the capacity.
uint32_t endpoint_ids_take(struct endpoint_ids *ids, const struct endpoint *endpoint);
void endpoint_ids_give_back(struct endpoint_ids *ids, uint32_t id);
