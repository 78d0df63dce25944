// SPDX-License-Identifier: Apache-2.0
#include "packet/pressure.h"

#include "culvert/base/clock.h"

enum {
	WINDOW_MS = 10,
	PACKETS_MIN = 100, // in a stretch: that fewer have waited is nothing to speak of
	BURST = 4,         // packets to a turn: they have waited
	BUSY_SHARE = 2,    // one in so many of a stretch
	EASED_SHARE = 2,   // no more than one in so many packets of before
};

static void judge(struct pressure *pressure, uint64_t elapsed_ns)
{
	bool are_waiting = pressure->n_packets >= PACKETS_MIN &&
			   pressure->n_packets >= (uint64_t)BURST * pressure->n_turns;
	pressure->rate = pressure->n_packets * NS_PER_SEC / elapsed_ns;
	if (pressure->is_high || (!are_waiting && pressure->busy_ns < elapsed_ns / BUSY_SHARE))
		return;
	pressure->is_high = true;
	pressure->high_rate = pressure->rate;
}

void pressure_turn(struct pressure *pressure, uint64_t now_ns)
{
	if (pressure->has_found) {
		pressure->busy_ns += now_ns - pressure->turn_ns;
		pressure->n_turns++;
		pressure->has_found = false;
	}
	pressure->turn_ns = now_ns;
	uint64_t elapsed_ns = now_ns - pressure->window_ns;
	if (elapsed_ns < WINDOW_MS * NS_PER_MS)
		return;
	judge(pressure, elapsed_ns);
	pressure->window_ns = now_ns;
	pressure->busy_ns = pressure->n_turns = pressure->n_packets = 0;
}

void pressure_ease(struct pressure *pressure, uint64_t rate_aside)
{
	if (rate_aside + pressure->rate <= pressure->high_rate / EASED_SHARE)
		pressure->is_high = false;
}
