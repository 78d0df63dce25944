// SPDX-License-Identifier: Apache-2.0
// Has a thread so much to do that it has stopped looking out for packets? While it looks out, each
// packet is taken up at once, and nothing forwards it sooner. When packets wait for their turn, or
// each takes long, the kernel had better forward what it can (fast_path.h).
//
// Called by: the worker.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pressure {
	bool is_high;
	bool has_found;     // packets, in the turn at hand
	uint64_t turn_ns;   // when that began
	uint64_t window_ns; // and the stretch of time that is judged as one
	uint64_t busy_ns;   // of it: in turns that found something
	uint32_t n_turns;   // such turns
	uint32_t n_packets;
	uint64_t high_rate; // packets a second when it became high
	uint64_t rate;      // and in the last stretch
};

// A turn begins: a look for packets, and what is done with them.
void pressure_turn(struct pressure *pressure, uint64_t now_ns);

static inline void pressure_found(struct pressure *pressure, uint32_t n)
{
	pressure->has_found = true;
	pressure->n_packets += n;
}

// So many packets a second go by elsewhere meanwhile: with those that still come here, is it much
// less than when the pressure became high? Then it is over.
void pressure_ease(struct pressure *pressure, uint64_t rate_aside);
