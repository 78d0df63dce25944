// SPDX-License-Identifier: Apache-2.0
// Has a thread so much to do that the kernel had better forward what it can (fast_path.h)?
//
// One flow whose sides speak in turn is best off with the thread: that looks out for the next
// packet when the last is through, which keeps a processor awake, and nothing forwards it sooner.
// It is otherwise where packets wait for their turn, where each takes long, and with several flows
// at a time: while a thread works for one of them, or is woken for it, the kernel would have the
// other on its way.
//
// Called by: the worker.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pressure {
	bool is_high;
	bool is_by_load;    // it would be so with one flow alone
	bool has_found;     // packets, in the turn at hand
	uint64_t turn_ns;   // when that began
	uint64_t window_ns; // and the stretch of time that is judged as one
	uint64_t busy_ns;   // of it: in turns that found something
	uint32_t n_turns;   // such turns
	uint32_t n_packets;
	uint32_t n_changes; // of these: of another flow than the last
	uint32_t last_flow;
	uint32_t n_busy;    // stretches in a row
	uint32_t n_mixed;   // likewise: with packets of several flows
	uint64_t high_rate; // packets a second when it became high
	uint64_t rate;      // and in the last stretch
};

// A turn begins: a look for packets, and what is done with them. One that lasts and finds nothing
// is a rest.
void pressure_turn(struct pressure *pressure, uint64_t now_ns);

static inline void pressure_found(struct pressure *pressure, uint32_t n)
{
	pressure->has_found = true;
	pressure->n_packets += n;
}

static inline void pressure_of_flow(struct pressure *pressure, uint32_t flow)
{
	pressure->n_changes += flow != pressure->last_flow;
	pressure->last_flow = flow;
}

// So many packets a second go by elsewhere meanwhile, and `rate_of_one` of them are of the flow
// that has most. Are these as good as all, and if it was the load that made the pressure, much
// fewer than then? Then it is over.
void pressure_ease(struct pressure *pressure, uint64_t rate_aside, uint64_t rate_of_one);
