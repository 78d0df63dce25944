// SPDX-License-Identifier: Apache-2.0
// Schedulers that look at loads: least connections and the better of two random draws. Where chance
// decides, seeds are fixed and bounds are those that chance keeps but once in a thousand times.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/picker.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// Chi-square's quantiles for 0.999, by degrees of freedom.
static const double chi_square_max[] = {0, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32};

static void expect_shares(const uint32_t *counts, const uint16_t *weights, uint32_t n)
{
	uint32_t n_weighty = 0;
	for (uint32_t i = 0; i < n; i++)
		n_weighty += weights[i] != 0;
	double off = picker_chi_square(counts, weights, n);
	cr_expect_lt(off, chi_square_max[n_weighty - 1], "%.2f", off);
}

// ---- least connections -------------------------------------------------------------------------

Test(least_connections, takes_the_least_loaded_for_its_weight)
{
	static const struct {
		uint16_t weights[3];
		uint64_t loads[3];
		int32_t expected;
	} cases[] = {
		{{1, 1, 1}, {3, 2, 4}, 1},
		{{1, 1, 10}, {3, 2, 19}, 2},
		{{1, 1, 10}, {3, 2, 21}, 1},
		{{0, 1, 1}, {0, 2, 1}, 2},
		{{3, 7, 1000}, {300000001, 700000000, 100000000001}, 1},
		// Equal but for one connection in what is nearly 2^48.
		{{999, 1000, 1000}, {0xfffffffffffe, 0xfffffffffffe, 0xfffffffffffd}, 2},
	};
	for (size_t c = 0; c < COUNT(cases); c++) {
		struct picker picker;
		picker_open(&picker, SCHEDULER_LEAST_CONNECTIONS, cases[c].weights, 3, 1);
		memcpy(picker.loads, cases[c].loads, sizeof(cases[c].loads));
		for (int i = 0; i < 5; i++)
			cr_expect_eq(picker_pick(&picker, 0), cases[c].expected, "case %zu", c);
		picker_close(&picker);
	}
}

// Whoever is equal takes turns as in weighted round robin.
Test(least_connections, equal_loads_take_turns_by_weight)
{
	static const uint16_t weights[] = {5, 1, 1, 1};
	static const char expected[] = "aabacaaaabacaa";
	struct picker picker;
	picker_open(&picker, SCHEDULER_LEAST_CONNECTIONS, weights, COUNT(weights), 0);
	picker.loads[3] = 1;
	for (size_t i = 0; i < sizeof(expected) - 1; i++)
		cr_expect_eq(picker_pick(&picker, 0), expected[i] - 'a', "pick %zu", i);
	for (size_t i = 0; i < COUNT(weights); i++)
		picker.loads[i] = 7 * (uint64_t)weights[i];
	picker.loads[0]++;
	for (int i = 0; i < 9; i++)
		cr_expect_eq(picker_pick(&picker, 0), 1 + i % 3, "the three that are equal now");
	picker_close(&picker);
}

// Loads that change while they are compared must not confuse: each is asked for once.
Test(least_connections, asks_once_for_each_candidate)
{
	static const uint16_t weights[] = {1, 2, 0, 3, 4};
	static const uint16_t tried[] = {3};
	struct picker picker;
	picker_open(&picker, SCHEDULER_LEAST_CONNECTIONS, weights, COUNT(weights), 0);
	picker_set_up(&picker, 0, false);
	picker_pick_besides(&picker, 0, tried, 1);
	cr_expect_eq(picker.n_asked, 2);
	picker_close(&picker);
}

Test(least_connections, connections_that_stay_are_shared_out_by_weight)
{
	static const uint16_t weights[] = {1, 2, 3, 10, 84};
	struct picker picker;
	picker_open(&picker, SCHEDULER_LEAST_CONNECTIONS, weights, COUNT(weights), 6);
	for (int i = 1; i <= 1000; i++) {
		picker.loads[picker_pick(&picker, 0)]++;
		if (i % 100)
			continue;
		for (size_t b = 0; b < COUNT(weights); b++)
			cr_expect_eq(picker.loads[b], weights[b] * (uint64_t)i / 100);
	}
	picker_close(&picker);
}

static bool is_least(const struct picker *picker, const uint16_t *weights, int32_t place)
{
	for (uint32_t i = 0; i < picker->n; i++) {
		if (weights[i] && (double)picker->loads[i] / weights[i] <
					  (double)picker->loads[place] / weights[place] - 1e-9)
			return false;
	}
	return true;
}

Test(least_connections, nobody_with_less_is_passed_over)
{
	enum { N = 40, N_PICKS = 20000 };
	uint16_t weights[N];
	struct picker picker;
	srand(8);
	for (int i = 0; i < N; i++)
		weights[i] = (uint16_t)(rand() % 5 ? rand() % 20 : rand() % 1001);
	weights[0] = 1;
	picker_open(&picker, SCHEDULER_LEAST_CONNECTIONS, weights, N, 2);
	for (int i = 0; i < N_PICKS; i++) {
		int32_t place = picker_pick(&picker, 0);
		cr_assert(is_least(&picker, weights, place), "pick %d", i);
		picker.loads[place]++;
		uint32_t ending = (uint32_t)rand() % N;
		picker.loads[ending] -= picker.loads[ending] && i > N_PICKS / 2;
	}
	picker_close(&picker);
}

// ---- the better of two random draws ------------------------------------------------------------

// With equal loads the first draw takes the connection.
Test(random_two, draws_are_by_weight)
{
	static const uint16_t weights[][6] = {
		{1, 1, 1, 1, 1, 1},
		{5, 1, 1, 0, 40, 1000},
		{0, 3, 0, 2, 0, 0},
		{1000, 999, 998, 1, 500, 0},
	};
	for (size_t w = 0; w < COUNT(weights); w++) {
		for (uint64_t seed = 1; seed <= 5; seed++) {
			struct picker picker;
			uint32_t counts[6];
			picker_open(&picker, SCHEDULER_RANDOM_TWO, weights[w], 6, seed);
			picker_count(&picker, 20000, counts);
			expect_shares(counts, weights[w], 6);
			picker_close(&picker);
		}
	}
}

// The three pairs are equally likely; the one whose load is greatest loses both of its own.
Test(random_two, of_two_the_less_loaded_is_taken)
{
	static const uint16_t weights[] = {1, 1, 1};
	static const uint16_t expected[] = {2, 0, 1};
	struct picker picker;
	uint32_t counts[COUNT(weights)];
	picker_open(&picker, SCHEDULER_RANDOM_TWO, weights, COUNT(weights), 3);
	picker.loads[0] = 10;
	picker.loads[1] = 30;
	picker.loads[2] = 20;
	picker_count(&picker, 30000, counts);
	expect_shares(counts, expected, COUNT(weights));
	cr_expect_eq(picker.n_asked, 60000, "two looks for a pick");
	picker_close(&picker);
}

// Two draws of one backend would be one draw, however rare the other is.
Test(random_two, the_two_are_distinct)
{
	static const uint16_t weights[] = {1000, 1};
	struct picker picker;
	picker_open(&picker, SCHEDULER_RANDOM_TWO, weights, COUNT(weights), 3);
	picker.loads[0] = 1000;
	for (int i = 0; i < 2000; i++)
		cr_assert_eq(picker_pick(&picker, 0), 1);
	picker.loads[1] = 2;
	for (int i = 0; i < 2000; i++)
		cr_assert_eq(picker_pick(&picker, 0), 0, "1000 for 1000 is less than 2 for 1");
	picker_close(&picker);
}

Test(random_two, retries_are_drawn_by_weight_from_those_that_are_left)
{
	// Nearly every draw finds one that was tried.
	static const uint16_t weights[] = {1000, 1, 1000, 2, 3, 1000};
	static const uint16_t tried[] = {0, 2, 5};
	static const uint16_t left[] = {0, 1, 0, 2, 3, 0};
	struct picker picker;
	uint32_t counts[COUNT(weights)] = {0};
	picker_open(&picker, SCHEDULER_RANDOM_TWO, weights, COUNT(weights), 12);
	for (uint32_t i = 0; i < 12000; i++)
		counts[picker_pick_besides(&picker, i, tried, COUNT(tried))]++;
	expect_shares(counts, left, COUNT(weights));
	picker_close(&picker);
}

Test(random_two, shares_follow_weights_that_come_and_go)
{
	static const uint16_t weights[] = {1, 2, 3, 4};
	static const uint16_t without_last[] = {1, 2, 3, 0};
	struct picker picker;
	uint32_t counts[COUNT(weights)];
	picker_open(&picker, SCHEDULER_RANDOM_TWO, weights, COUNT(weights), 7);
	picker_set_up(&picker, 3, false);
	picker_count(&picker, 12000, counts);
	expect_shares(counts, without_last, COUNT(weights));
	picker_set_up(&picker, 3, true);
	picker_count(&picker, 12000, counts);
	expect_shares(counts, weights, COUNT(weights));
	picker_close(&picker);
}

// Ten thousand connections that stay, on a hundred backends: one draw leaves the fullest about a
// quarter above the average, two leave it two or three connections above.
Test(random_two, connections_that_stay_are_shared_out_evenly)
{
	enum { N = 100, N_CONNECTIONS = 10000 };
	uint16_t weights[N];
	struct picker picker;
	for (int i = 0; i < N; i++)
		weights[i] = (uint16_t)(i % 2 ? 3 : 1);
	picker_open(&picker, SCHEDULER_RANDOM_TWO, weights, N, 1);
	for (int i = 0; i < N_CONNECTIONS; i++)
		picker.loads[picker_pick(&picker, 0)]++;
	for (int i = 0; i < N; i++) {
		double per_weight = (double)picker.loads[i] / weights[i];
		cr_expect(per_weight > 40 && per_weight < 55, "%d: %.1f", i, per_weight);
	}
	picker_close(&picker);
}
