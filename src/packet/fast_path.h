// SPDX-License-Identifier: Apache-2.0
// A worker's side of the fast path: which of its flows the kernel forwards (bpf/fast_path.bpf.c),
// and what it has counted of them meanwhile.
//
// A flow goes there when it is established and its thread is under pressure (with "always", at
// once), and comes back with the first packet that changes something about it, or when the pressure
// is over. Every entry is decided by one snapshot and good for that alone: when another is
// published, packets come to the worker until it has confirmed the entry, or written another.
//
// Called by: the worker, but for init and fini (control).
#pragma once

#include <stdint.h>

#include "culvert/base/err.h"
#include "packet/fast_program.h"
#include "packet/ledger.h"

struct fast_slot;
struct worker;
struct worker_params;

struct fast_path {
	const struct fast_maps *maps; // borrowed; NULL: there is none
	uint32_t first;               // of this worker's entries
	uint32_t n_ways;              // entries to a slot: 1 where backends answer past us, else 2
	uint32_t n_slots;
	struct fast_slot *slots; // owned
	uint32_t *slot_of;       // owned; by flow: its slot, or when it has left its last
	uint32_t *active;        // owned; slots that have a flow
	uint32_t n_active;
	uint32_t *free; // owned; a stack
	uint32_t n_free;
	uint32_t *resting; // owned; a ring, in order of their ends
	uint32_t rest_head;
	uint32_t n_resting;

	uint32_t version;        // of the snapshot that the round at hand, or the last, began with
	uint32_t now_ms;         // wraps
	uint32_t round_ms;       // when the last look at all slots began
	uint32_t round_next;     // place in `active` to look at next; 0: it is over
	bool is_always;          // flows go there as soon as they may, or else under pressure only
	uint32_t judged_ms;      // when it began by whose end the pressure was judged last
	uint64_t counted_before; // in the ledger then
	bool is_judging;         // by the round at hand
	uint32_t n_of_one;       // packets since of the flow that had most, as far as is looked
	bool has_moved;          // packets were found in the last round, or are about to be
	struct ledger ledger;    // what went by here; w: worker, r: any
	counter_t flows;         // w: worker, r: any
};

int fast_path_init(struct fast_path *fast, struct worker *worker,
		   const struct worker_params *params, struct err *err);
void fast_path_fini(struct fast_path *fast);

// A packet of the flow has come to the worker: what the kernel has seen before comes first. Only
// for flows that are there (flow.is_aside).
void fast_path_catch_up(struct worker *worker, uint32_t index);
// And it has been passed on: does the flow go there now, stay, or come back?
void fast_path_settle(struct worker *worker, uint32_t index);
// The flow comes back; harmless when it is here.
void fast_path_leave(struct worker *worker, uint32_t index);
// All flows; the worker has stopped. Called by: control.
void fast_path_catch_up_all(struct worker *worker);

// Between batches: a part of a round in which all flows there are caught up with.
void fast_path_look(struct worker *worker, uint64_t now_ns);
// True when there is more to look at, at once.
bool fast_path_is_busy(const struct fast_path *fast);
// How long a worker may sleep; -1: for ever.
int fast_path_idle_ms(const struct fast_path *fast);
