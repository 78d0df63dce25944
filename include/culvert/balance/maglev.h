// SPDX-License-Identifier: Apache-2.0
// Maglev consistent hashing (Eisenbud et al., NSDI 2016, sections 3.4 and 5.3), with weights by
// taking turns in proportion. The table depends on nothing but the set of backends: not on their
// order, and not on the run, so that several balancers agree.
// Called by: control builds; any thread looks up.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/net/addr.h"

struct maglev_backend {
	struct endpoint endpoint; // what its permutation is made from
	uint32_t weight;          // 0: takes no slots
	uint16_t id;              // what a slot holds
};

// Immutable, shared by snapshots, counted by control alone.
struct maglev {
	uint32_t n_refs; // w, r: control
	uint32_t size;   // 0: no backend can take anything
	uint16_t slots[];
};

// `size` is a prime above the number of backends. 0 or -errno; *maglev then has one reference.
int maglev_build(struct maglev **maglev, const struct maglev_backend *backends, size_t n,
		 uint32_t size, struct err *err);
struct maglev *maglev_ref(struct maglev *maglev);
void maglev_unref(struct maglev *maglev); // NULL is legal

// One backend's walk through its permutation of the slots.
struct maglev_turn {
	uint32_t cursor;   // next slot to try; at first the permutation's offset
	uint32_t skip;     // 1 to size - 1
	uint32_t weight;   // at least 1
	uint32_t gathered; // towards the next turn; at first 0
	uint16_t id;
};

// Fill all slots, the paper's population loop. Open to tests for its published example; `turns` are
// used up.
void maglev_populate(uint16_t *slots, uint32_t size, struct maglev_turn *turns, size_t n);

// The place of a well-mixed 32-bit hash in the table.
static inline uint32_t maglev_place(const struct maglev *maglev, uint32_t hash)
{
	return (uint32_t)((uint64_t)hash * maglev->size >> 32);
}

// What is there. maglev->size must not be 0.
static inline uint16_t maglev_lookup(const struct maglev *maglev, uint32_t hash)
{
	return maglev->slots[maglev_place(maglev, hash)];
}
