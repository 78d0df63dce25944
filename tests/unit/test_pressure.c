// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "culvert/base/clock.h"
#include "packet/pressure.h"

static const uint64_t start_ns = 7 * NS_PER_SEC;
static const uint64_t window_ns = 10 * NS_PER_MS;

// Turns of `busy_ns` each that find `n` packets, with `idle_ns` of turns that find none behind
// each, for some windows.
static struct pressure after(uint64_t busy_ns, uint64_t idle_ns, uint32_t n)
{
	struct pressure pressure = {0};
	uint64_t now_ns = start_ns;
	pressure_turn(&pressure, now_ns);
	while (now_ns < start_ns + 5 * window_ns) {
		if (n)
			pressure_found(&pressure, n);
		now_ns += busy_ns;
		pressure_turn(&pressure, now_ns);
		now_ns += idle_ns;
		pressure_turn(&pressure, now_ns);
	}
	return pressure;
}

Test(pressure, is_low_at_first_and_while_nothing_comes)
{
	struct pressure none = {0};
	cr_expect_not(none.is_high);
	cr_expect_not(after(2000, 0, 0).is_high);
}

Test(pressure, is_low_while_packets_come_one_by_one_with_time_between)
{
	cr_expect_not(after(2000, 8000, 1).is_high);
	cr_expect_not(after(4000, 5000, 3).is_high);
}

Test(pressure, is_high_when_packets_wait)
{
	cr_expect(after(4000, 50000, 4).is_high);
	cr_expect(after(4000, 5000, 64).is_high);
}

// A burst now and then is nothing to speak of.
Test(pressure, needs_more_than_a_few_packets)
{
	cr_expect_not(after(10000, 5 * NS_PER_MS, 40).is_high);
	cr_expect(after(10000, 3 * NS_PER_MS, 40).is_high);
}

// Large ones, however few: copying takes the time.
Test(pressure, is_high_when_most_of_the_time_goes_into_packets)
{
	cr_expect(after(60000, 15000, 1).is_high);
	cr_expect_not(after(60000, 25000, 1).is_high);
}

// However fast they are, and though the thread loses its processor for a while.
Test(pressure, is_low_while_two_sides_speak_in_turn)
{
	struct pressure pressure = after(7000, 3000, 1);
	cr_expect_not(pressure.is_high);
	pressure_found(&pressure, 1);
	pressure_turn(&pressure, pressure.turn_ns + 35 * NS_PER_MS);
	pressure_turn(&pressure, pressure.turn_ns + 3 * NS_PER_MS);
	cr_expect_not(pressure.is_high);
}

// One packet a turn and `gap_ns` between two turns; of each `of`, the first is of another flow.
static struct pressure of_flows(uint64_t gap_ns, uint32_t of)
{
	struct pressure pressure = {0};
	uint32_t n = 0;
	uint64_t now_ns = start_ns;
	for (; now_ns < start_ns + 8 * window_ns; now_ns += gap_ns, n++) {
		pressure_turn(&pressure, now_ns);
		pressure_found(&pressure, 1);
		pressure_of_flow(&pressure, n % of == 0 ? n : 7);
		pressure_turn(&pressure, now_ns + 2000);
	}
	pressure_turn(&pressure, now_ns);
	return pressure;
}

Test(pressure, is_high_with_several_flows_at_a_time)
{
	cr_expect(of_flows(20000, 1).is_high, "each packet is of another");
	cr_expect(of_flows(20000, 7).is_high, "there and back is twice");
	cr_expect_not(of_flows(20000, 40).is_high, "now and then another one");
	cr_expect_not(of_flows(20000, 1000000).is_high, "one alone");
	cr_expect(of_flows(NS_PER_MS, 1).is_high);
	cr_expect_not(of_flows(2 * NS_PER_MS, 1).is_high, "too few to speak of");
}

// Whatever there is to do: nothing forwards it sooner than its thread.
Test(pressure, is_over_when_one_of_several_flows_is_left)
{
	struct pressure pressure = of_flows(20000, 1);
	cr_assert(pressure.is_high);
	pressure.rate = 0;
	pressure_ease(&pressure, 200000, 100000);
	cr_expect(pressure.is_high, "two flows");
	pressure_ease(&pressure, 200000, 180000);
	cr_expect(pressure.is_high);
	pressure.rate = 200000;
	pressure_ease(&pressure, 200000, 200000);
	cr_expect(pressure.is_high, "one there, and one here");
	pressure.rate = 5000;
	pressure_ease(&pressure, 200000, 195000);
	cr_expect_not(pressure.is_high);
}

// Packets each of another flow, `gap_ns` from each other, `rest_ns` behind every 24 of them.
static struct pressure of_bursts(uint64_t gap_ns, uint64_t rest_ns, uint32_t n_bursts)
{
	struct pressure pressure = {0};
	uint64_t now_ns = start_ns;
	pressure_turn(&pressure, now_ns);
	for (uint32_t burst = 0; burst < n_bursts; burst++) {
		for (uint32_t i = 0; i < 24; i++) {
			pressure_found(&pressure, 1);
			pressure_of_flow(&pressure, i);
			pressure_turn(&pressure, now_ns += gap_ns);
		}
		pressure_turn(&pressure, now_ns += rest_ns);
	}
	return pressure;
}

// A page was loaded, and then somebody asks time after time.
Test(pressure, is_not_made_by_what_was_before_a_rest)
{
	cr_expect_not(of_bursts(100000, 2 * NS_PER_SEC, 10).is_high);
	cr_expect_not(of_bursts(500000, 2 * NS_PER_SEC, 10).is_high);
	cr_expect(of_bursts(100000, 20 * NS_PER_MS, 10).is_high, "short rests do not count");
}

static void say(struct pressure *pressure, uint32_t flow)
{
	pressure_found(pressure, 1);
	pressure_of_flow(pressure, flow);
	pressure_turn(pressure, pressure->turn_ns + 2000);
	pressure_turn(pressure, pressure->turn_ns + NS_PER_MS);
}

// Its packets are among those of another one.
Test(pressure, is_not_made_by_a_short_flow_that_comes_by)
{
	struct pressure pressure = of_flows(NS_PER_MS, 1000000);
	for (uint32_t i = 0; i < 8; i++)
		say(&pressure, i);
	for (uint32_t i = 0; i < 100; i++)
		say(&pressure, 7);
	cr_expect_not(pressure.is_high);
}

// Rates are of all the time, here and elsewhere.
Test(pressure, of_bursts_is_not_over_because_of_the_rests_between_them)
{
	struct pressure pressure = {0};
	pressure_turn(&pressure, start_ns);
	for (uint32_t i = 0; i < 10; i++) {
		pressure_found(&pressure, 100);
		pressure_turn(&pressure, pressure.turn_ns + NS_PER_MS);
		pressure_turn(&pressure, pressure.turn_ns + 49 * NS_PER_MS);
	}
	cr_assert(pressure.is_high);
	pressure.rate = 0;
	pressure_ease(&pressure, 2000, 2000);
	cr_expect(pressure.is_high);
}

Test(pressure, knows_how_many_packets_come)
{
	struct pressure pressure = after(2000, 8000, 1); // one in ten microseconds
	cr_expect_gt(pressure.rate, 99000);
	cr_expect_lt(pressure.rate, 101000);
}

Test(pressure, is_over_when_less_than_half_of_it_is_left)
{
	struct pressure pressure = after(4000, 16000, 8); // 400,000 a second
	cr_assert(pressure.is_high);
	pressure.rate = 1000; // the others go by elsewhere
	pressure_ease(&pressure, 250000, 250000);
	cr_expect(pressure.is_high);
	pressure_ease(&pressure, 150000, 150000);
	cr_expect_not(pressure.is_high);
}

Test(pressure, comes_back)
{
	struct pressure pressure = after(4000, 16000, 8);
	pressure_ease(&pressure, 0, 0);
	cr_expect(pressure.is_high, "all of it is still here");
	pressure.rate = 0;
	pressure_ease(&pressure, 0, 0);
	cr_expect_not(pressure.is_high);
	uint64_t now_ns = pressure.turn_ns;
	for (int i = 0; i < 10000; i++) {
		pressure_found(&pressure, 8);
		now_ns += 4000;
		pressure_turn(&pressure, now_ns);
	}
	cr_expect(pressure.is_high);
}

// A flow, or what there was of it, has ended.
Test(pressure, that_is_by_load_is_over_in_silence)
{
	struct pressure pressure = after(60000, 5000, 1);
	cr_assert(pressure.is_high);
	pressure_turn(&pressure, pressure.turn_ns + NS_PER_SEC);
	pressure_ease(&pressure, 0, 0);
	cr_expect_not(pressure.is_high);
}
