// SPDX-License-Identifier: Apache-2.0
#include "packet/pressure.h"

#include "culvert/base/clock.h"

enum {
	WINDOW_MS = 10,
	REST_MS = 100,     // what was before so long a rest tells nothing about now
	PACKETS_MIN = 100, // in a stretch: that fewer have waited is nothing to speak of
	BURST = 4,         // packets to a turn: they have waited
	IDLE_SHARE = 4,    // of a busy stretch no more than one in so many parts is left
	MIXED_MIN = 8,     // packets in a stretch: of fewer it is not said that they are mixed
	MIXED_SHARE = 4,   // one in so many is of another flow than the one before
	IN_A_ROW = 4,      // stretches: one may be a short flow, or a thread off its processor
	EASED_SHARE = 2,   // no more than one in so many packets of before
	OTHERS_SHARE = 16, // of a flow alone: no more than one in so many are of others
};

static bool are_waiting(const struct pressure *pressure)
{
	return pressure->n_packets >= PACKETS_MIN &&
	       pressure->n_packets >= (uint64_t)BURST * pressure->n_turns;
}

static bool is_busy(const struct pressure *pressure, uint64_t elapsed_ns)
{
	return pressure->busy_ns >= elapsed_ns - elapsed_ns / IDLE_SHARE;
}

static bool are_mixed(const struct pressure *pressure)
{
	return pressure->n_packets >= MIXED_MIN &&
	       (uint64_t)MIXED_SHARE * pressure->n_changes >= pressure->n_packets;
}

static void judge(struct pressure *pressure, uint64_t elapsed_ns)
{
	pressure->rate = pressure->n_packets * NS_PER_SEC / elapsed_ns;
	pressure->n_busy = is_busy(pressure, elapsed_ns) ? pressure->n_busy + 1 : 0;
	pressure->n_mixed = are_mixed(pressure) ? pressure->n_mixed + 1 : 0;
	bool is_by_load = are_waiting(pressure) || pressure->n_busy >= IN_A_ROW;
	if (pressure->is_high || (!is_by_load && pressure->n_mixed < IN_A_ROW))
		return;
	pressure->is_high = true;
	pressure->is_by_load = is_by_load;
	pressure->high_rate = pressure->rate;
}

void pressure_turn(struct pressure *pressure, uint64_t now_ns)
{
	uint64_t turn_ns = now_ns - pressure->turn_ns;
	uint64_t elapsed_ns = now_ns - pressure->window_ns;
	bool has_rested = !pressure->has_found && turn_ns >= REST_MS * NS_PER_MS;
	pressure->turn_ns = now_ns;
	if (pressure->has_found) {
		pressure->busy_ns += turn_ns;
		pressure->n_turns++;
		pressure->has_found = false;
	}
	if (elapsed_ns < WINDOW_MS * NS_PER_MS)
		return;
	if (has_rested)
		pressure->rate = pressure->n_busy = pressure->n_mixed = 0;
	else
		judge(pressure, elapsed_ns);
	pressure->window_ns = now_ns;
	pressure->busy_ns = pressure->n_turns = pressure->n_packets = pressure->n_changes = 0;
}

void pressure_ease(struct pressure *pressure, uint64_t rate_aside, uint64_t rate_of_one)
{
	uint64_t rate = rate_aside + pressure->rate;
	bool is_alone = rate - rate / OTHERS_SHARE <= rate_of_one;
	bool is_less = rate <= pressure->high_rate / EASED_SHARE;
	if (is_alone && (is_less || !pressure->is_by_load))
		pressure->is_high = false;
}
