// SPDX-License-Identifier: Apache-2.0
// A timer wheel: one slot per tick, items named by their index in an array of the caller.
// Adding and removing cost the same for any number of items. Not for sharing between threads.
//
// Ticks are whatever the caller counts, 32 bits that wrap around; two that are compared must lie
// less than 2^31 apart.
#pragma once

#include <stddef.h>
#include <stdint.h>

// The part of an item that belongs to the wheel. Index 0 means "none", so items count from 1.
struct wheel_node {
	uint32_t next;
	uint32_t prev; // 0: first of its slot
	uint32_t due;  // a tick
};

struct wheel {
	uint32_t n_slots; // a power of two
	uint32_t now;     // the tick last given to wheel_advance()
	uint32_t done;   // every tick up to here has been handled; behind `now` when budget ran out
	uint32_t walk;   // the item to look at next in the slot of tick done + 1, 0: from its head
	uint32_t *heads; // owned; first item of each slot
	unsigned char *nodes; // borrowed; node i is at nodes + i * stride
	size_t stride;
};

// An item whose time has come. It is out of the wheel already; the callee may add it again, free
// it, and add or remove any other.
typedef void (*wheel_visit_fn)(void *arg, uint32_t index);

// `n_slots` is rounded up to a power of two. `nodes_base` is where the node of index 0 lies or
// would lie. 0, or -ENOMEM with nothing to free.
int wheel_init(struct wheel *wheel, uint32_t n_slots, void *nodes_base, size_t stride,
	       uint32_t now);
void wheel_fini(struct wheel *wheel); // leaves the nodes alone

// `index` must be out of the wheel. A `due` at or before wheel.now means the next tick. One that
// lies more than n_slots ahead is right too, and costs a look per round.
void wheel_add(struct wheel *wheel, uint32_t index, uint32_t due);

// `index` must be in the wheel.
void wheel_remove(struct wheel *wheel, uint32_t index);

// How many ticks after wheel.now wheel_advance() next has something to look at: 1 to `most`, which
// is how far it looks. Items of later rounds count, too.
uint32_t wheel_next(const struct wheel *wheel, uint32_t most);

// Move the time to `now` (an earlier tick than before leaves it) and visit every item that is due,
// tick by tick, but look at no more than `budget` items; the next call goes on from there.
// Returns how many were looked at: less than `budget` means that nothing is left behind.
// Costs at most n_slots empty slots, however far the time moves. Not to be called from `visit`.
uint32_t wheel_advance(struct wheel *wheel, uint32_t now, wheel_visit_fn visit, void *arg,
		       uint32_t budget);
