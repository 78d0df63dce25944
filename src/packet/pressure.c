// SPDX-License-Identifier: Apache-2.0
#include "packet/pressure.h"

#include "culvert/base/clock.h"

enum {
	WINDOW_MS = 10,
	PACKETS_MIN = 100, // in a stretch: that fewer have waited is nothing to speak of
	BURST = 4,         // packets to a turn: they have waited
	BUSY_SHARE = 2,    // one in so many of a stretch
	MIXED_MIN = 8,     // packets in a stretch: of fewer it is not said that they are mixed
	MIXED_SHARE = 4,   // one in so many is of another flow than the one before
	EASED_SHARE = 2,   // no more than one in so many packets of before
};

static bool are_waiting(const struct pressure *pressure)
{
	return pressure->n_packets >= PACKETS_MIN &&
	       pressure->n_packets >= (uint64_t)BURST * pressure->n_turns;
}

static bool are_mixed(const struct pressure *pressure)
{
	return pressure->n_packets >= MIXED_MIN &&
	       (uint64_t)MIXED_SHARE * pressure->n_changes >= pressure->n_packets;
}

static void judge(struct pressure *pressure, uint64_t elapsed_ns)
{
	pressure->rate = pressure->n_packets * NS_PER_SEC / elapsed_ns;
	if (pressure->is_high || (!are_waiting(pressure) && !are_mixed(pressure) &&
				  pressure->busy_ns < elapsed_ns / BUSY_SHARE))
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
	pressure->busy_ns = pressure->n_turns = pressure->n_packets = pressure->n_changes = 0;
}

void pressure_ease(struct pressure *pressure, uint32_t n_flows_aside, uint64_t rate_aside)
{
	if (n_flows_aside <= 1 && rate_aside + pressure->rate <= pressure->high_rate / EASED_SHARE)
		pressure->is_high = false;
}
