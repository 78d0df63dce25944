// SPDX-License-Identifier: Apache-2.0
// Schedulers that give turns: round robin, plain and weighted.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/picker.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { SEQUENCE_MAX = 64 };

// The next picks as letters, the first backend being `a`.
static const char *sequence(struct picker *picker, size_t n)
{
	static char letters[SEQUENCE_MAX];
	for (size_t i = 0; i < n; i++)
		letters[i] = (char)('a' + picker_pick(picker, 0));
	letters[n] = '\0';
	return letters;
}

static void expect_sequence(struct picker *picker, const char *expected)
{
	cr_expect_str_eq(sequence(picker, strlen(expected)), expected);
}

// ---- round robin -------------------------------------------------------------------------------

Test(round_robin, goes_round_whatever_backends_weigh)
{
	static const uint16_t weights[] = {5, 1, 1000, 1};
	struct picker picker;
	picker_open(&picker, SCHEDULER_ROUND_ROBIN, weights, COUNT(weights), 0);
	expect_sequence(&picker, "abcdabcdabcd");
	picker_renew(&picker, SCHEDULER_ROUND_ROBIN, 2);
	expect_sequence(&picker, "cdabcdab");
	picker_close(&picker);
}

Test(round_robin, turns_of_backends_that_are_down_fall_to_all_others)
{
	static const uint16_t weights[] = {1, 1, 1, 1, 1};
	struct picker picker;
	picker_open(&picker, SCHEDULER_ROUND_ROBIN, weights, COUNT(weights), 0);
	picker_set_up(&picker, 1, false);
	picker_set_up(&picker, 2, false);
	expect_sequence(&picker, "adeadeade");
	picker_set_up(&picker, 1, true);
	expect_sequence(&picker, "abdeabde");
	picker_close(&picker);
}

Test(round_robin, a_retry_takes_the_next_turn)
{
	static const uint16_t weights[] = {1, 1, 1};
	static const uint16_t tried[] = {1, 0};
	struct picker picker;
	picker_open(&picker, SCHEDULER_ROUND_ROBIN, weights, COUNT(weights), 0);
	cr_expect_eq(picker_pick_besides(&picker, 0, tried, 1), 0);
	cr_expect_eq(picker_pick_besides(&picker, 0, tried, 1), 2);
	cr_expect_eq(picker_pick_besides(&picker, 0, tried, 2), 2);
	expect_sequence(&picker, "abc");
	picker_close(&picker);
}

// ---- weighted round robin ----------------------------------------------------------------------

// The sequence that nginx's authors give for 5, 1, 1.
Test(weighted_round_robin, agrees_with_the_published_sequence)
{
	static const uint16_t weights[] = {5, 1, 1};
	struct picker picker;
	picker_open(&picker, SCHEDULER_WEIGHTED_ROUND_ROBIN, weights, COUNT(weights), 0);
	expect_sequence(&picker, "aabacaaaabacaaaabacaa");
	picker_close(&picker);
}

Test(weighted_round_robin, equal_weights_go_round)
{
	static const uint16_t weights[] = {7, 7, 7, 7};
	struct picker picker;
	picker_open(&picker, SCHEDULER_WEIGHTED_ROUND_ROBIN, weights, COUNT(weights), 1);
	expect_sequence(&picker, "bcdabcdabcda");
	picker_close(&picker);
}

Test(weighted_round_robin, every_period_is_exact)
{
	enum { N = 20 };
	srand(3);
	for (int round = 0; round < 20; round++) {
		struct picker picker;
		uint16_t weights[N];
		uint32_t counts[N];
		uint32_t period = 0;
		for (int i = 0; i < N; i++) {
			weights[i] = (uint16_t)(rand() % 4 ? rand() % 10 : rand() % 1001);
			period += weights[i];
		}
		picker_open(&picker, SCHEDULER_WEIGHTED_ROUND_ROBIN, weights, N, (uint64_t)rand());
		for (int p = 0; p < 3; p++) {
			picker_count(&picker, period, counts);
			for (int i = 0; i < N; i++)
				cr_expect_eq(counts[i], weights[i]);
		}
		picker_close(&picker);
	}
}

// A heavy backend's turns are not taken in a row.
Test(weighted_round_robin, turns_are_spread_over_the_period)
{
	static const uint16_t weights[] = {50, 30, 15, 5};
	struct picker picker;
	picker_open(&picker, SCHEDULER_WEIGHTED_ROUND_ROBIN, weights, COUNT(weights), 0);
	uint32_t counts[COUNT(weights)] = {0};
	for (uint32_t n = 1; n <= 300; n++) {
		counts[picker_pick(&picker, 0)]++;
		for (size_t i = 0; i < COUNT(weights); i++) {
			double off = counts[i] - n * weights[i] / 100.0;
			cr_expect(off > -1.01 && off < 1.01, "%zu after %u: %u", i, n, counts[i]);
		}
	}
	picker_close(&picker);
}

// A hundred backends were about to have their turns, or have just had them, when all but a few go.
// What they gathered among a hundred is worth many turns among few.
Test(weighted_round_robin, a_backend_that_comes_back_is_not_flooded)
{
	enum { N = 100, WEIGHT = 10, N_LEFT = 4 };
	uint16_t weights[N];
	for (int i = 0; i < N; i++)
		weights[i] = WEIGHT;
	for (int n_before = 0; n_before < N; n_before++) {
		struct picker picker;
		uint32_t counts[N] = {0};
		picker_open(&picker, SCHEDULER_WEIGHTED_ROUND_ROBIN, weights, N, 0);
		for (int i = 0; i < n_before; i++)
			picker_pick(&picker, 0);
		picker_set_all_up(&picker, false);
		for (uint32_t i = 0; i < N_LEFT - 1; i++)
			picker_set_up(&picker, i * 33, true);
		for (int i = 0; i < n_before % 5; i++)
			picker_pick(&picker, 0);
		picker_set_up(&picker, N - 1, true);
		for (uint32_t n = 1; n <= 40; n++) {
			counts[picker_pick(&picker, 0)]++;
			for (uint32_t i = 0; i < N_LEFT; i++) {
				uint32_t place = i * 33; // the last is N - 1
				cr_expect(counts[place] <= n / N_LEFT + 2 &&
						  counts[place] + 2 >= n / N_LEFT,
					  "after %d, backend %u: %u of %u", n_before, place,
					  counts[place], n);
			}
		}
		picker_close(&picker);
	}
}

// As above, but backends stay that have credit or debt, and few picks lie between many changes, of
// weights that differ.
Test(weighted_round_robin, after_any_changes_shares_are_those_of_the_weights)
{
	enum { N = 30, N_ROUNDS = 300, N_PICKS = 60 };
	uint16_t weights[N];
	struct picker picker;
	srand(11);
	for (int i = 0; i < N; i++)
		weights[i] = (uint16_t)(1 + rand() % (i % 5 ? 10 : 1000));
	picker_open(&picker, SCHEDULER_WEIGHTED_ROUND_ROBIN, weights, N, 4);
	for (int round = 0; round < N_ROUNDS; round++) {
		uint32_t counts[N];
		bool is_up[N];
		double sum = 0;
		for (uint32_t i = 0; i < N; i++) {
			// All of them now and then, few mostly.
			is_up[i] = round % 3 == 0 || rand() % 10 == 0 || i == (uint32_t)round % N;
			sum += is_up[i] ? weights[i] : 0;
			registry_set_up(picker.scene.registry, 3 + i, is_up[i]);
		}
		picker_set_up(&picker, 0, is_up[0]);
		picker_count(&picker, (uint32_t)(rand() % N_PICKS), counts);
		uint32_t n = 0;
		for (int i = 0; i < N; i++)
			n += counts[i];
		for (int i = 0; i < N; i++) {
			double share = is_up[i] ? n * weights[i] / sum : 0;
			cr_expect(counts[i] <= share + 2.5 && counts[i] >= share - 2.5,
				  "round %d, backend %d: %u of %u, not %.1f", round, i, counts[i],
				  n, share);
		}
	}
	picker_close(&picker);
}

// One backend comes and goes with every third connection. If everything began anew each time,
// those at the end of the list would never have a turn.
Test(weighted_round_robin, a_backend_that_comes_and_goes_leaves_the_others_their_turns)
{
	enum { N = 11, N_ROUNDS = 1000 };
	uint16_t weights[N];
	uint32_t counts[N] = {0};
	struct picker picker;
	for (int i = 0; i < N; i++)
		weights[i] = 1;
	picker_open(&picker, SCHEDULER_WEIGHTED_ROUND_ROBIN, weights, N, 0);
	for (int round = 0; round < N_ROUNDS; round++) {
		picker_set_up(&picker, N - 1, round % 2);
		for (int i = 0; i < 3; i++)
			counts[picker_pick(&picker, 0)]++;
	}
	for (int i = 0; i < N - 1; i++)
		cr_expect(counts[i] >= 260 && counts[i] <= 310, "%d: %u", i, counts[i]);
	picker_close(&picker);
}

// A backend is up and refuses: being asked in vain was its turn, and the others share the retries.
Test(weighted_round_robin, a_backend_that_refuses_has_its_share_of_attempts_and_no_more)
{
	static const uint16_t weights[] = {2, 1, 1};
	static const uint16_t tried[] = {0};
	struct picker picker;
	uint32_t n_asked = 0;
	uint32_t counts[COUNT(weights)] = {0};
	picker_open(&picker, SCHEDULER_WEIGHTED_ROUND_ROBIN, weights, COUNT(weights), 0);
	for (int i = 0; i < 4000; i++) {
		int32_t place = picker_pick(&picker, 0);
		if (place == 0) {
			n_asked++;
			place = picker_pick_besides(&picker, 0, tried, 1);
		}
		counts[place]++;
	}
	cr_expect(n_asked >= 1998 && n_asked <= 2002, "%u", n_asked);
	cr_expect(counts[1] >= 1998 && counts[1] <= 2002, "%u", counts[1]);
	picker_close(&picker);
}
