// SPDX-License-Identifier: Apache-2.0
// What every scheduler promises.
#include "culvert/balance/scheduler.h"

#include <criterion/criterion.h>

#include "../support/lib/picker.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const enum scheduler_kind all_kinds[] = {
	SCHEDULER_MAGLEV,
	SCHEDULER_ROUND_ROBIN,
	SCHEDULER_WEIGHTED_ROUND_ROBIN,
	SCHEDULER_LEAST_CONNECTIONS,
	SCHEDULER_RANDOM_TWO,
};

Test(scheduler, only_backends_that_are_up_and_have_a_weight_are_picked)
{
	static const uint16_t weights[] = {1, 0, 3, 2, 5};
	for (size_t k = 0; k < COUNT(all_kinds); k++) {
		struct picker picker;
		uint32_t counts[COUNT(weights)];
		picker_open(&picker, all_kinds[k], weights, COUNT(weights), 1);
		picker_set_up(&picker, 3, false);
		picker_count(&picker, 1000, counts);
		cr_expect_eq(counts[1], 0, "kind %zu: weight 0", k);
		cr_expect_eq(counts[3], 0, "kind %zu: down", k);
		cr_expect(counts[0] > 0 && counts[2] > 0 && counts[4] > 0, "kind %zu", k);
		cr_expect_eq(counts[0] + counts[2] + counts[4], 1000, "kind %zu", k);

		picker_set_up(&picker, 3, true);
		picker_count(&picker, 1000, counts);
		cr_expect_gt(counts[3], 0, "kind %zu: up again", k);
		picker_close(&picker);
	}
}

Test(scheduler, nobody_is_picked_when_nobody_is_left)
{
	static const uint16_t weights[] = {0, 2, 1};
	static const uint16_t both[] = {2, 1};
	for (size_t k = 0; k < COUNT(all_kinds); k++) {
		struct picker picker;
		picker_open(&picker, all_kinds[k], weights, COUNT(weights), 1);
		cr_expect_neq(picker_pick(&picker, 1), SCHEDULER_NO_BACKEND);
		cr_expect_eq(picker_pick_besides(&picker, 1, both, 2), SCHEDULER_NO_BACKEND);
		picker_set_all_up(&picker, false);
		cr_expect_eq(picker_pick(&picker, 1), SCHEDULER_NO_BACKEND);
		cr_expect_eq(picker_pick_besides(&picker, 1, both, 1), SCHEDULER_NO_BACKEND);
		picker_set_up(&picker, 0, true);
		cr_expect_eq(picker_pick(&picker, 1), SCHEDULER_NO_BACKEND, "weight 0");
		picker_set_up(&picker, 1, true);
		cr_expect_eq(picker_pick(&picker, 1), 1, "kind %zu", k);
		cr_expect_eq(picker_pick_besides(&picker, 1, both, 1), 1, "kind %zu", k);
		picker_close(&picker);
	}
}

Test(scheduler, a_pool_without_backends_has_nobody)
{
	for (size_t k = 0; k < COUNT(all_kinds); k++) {
		struct picker picker;
		picker_open(&picker, all_kinds[k], NULL, 0, UINT64_MAX);
		cr_expect_eq(picker_pick(&picker, 1), SCHEDULER_NO_BACKEND, "kind %zu", k);
		picker_close(&picker);
	}
	scheduler_destroy(NULL);
}

// One connection after the other is refused by everybody.
Test(scheduler, retries_find_every_backend_once)
{
	static const uint16_t weights[] = {1000, 1, 1, 0, 7, 50, 1};
	enum { N_WEIGHTY = 6, N_CONNECTIONS = 200 };
	for (size_t k = 0; k < COUNT(all_kinds); k++) {
		struct picker picker;
		picker_open(&picker, all_kinds[k], weights, COUNT(weights), 5);
		for (uint32_t c = 0; c < N_CONNECTIONS; c++) {
			uint16_t tried[N_WEIGHTY];
			bool was_picked[COUNT(weights)] = {false};
			for (uint32_t i = 0; i < N_WEIGHTY; i++) {
				int32_t place = picker_pick_besides(&picker, c, tried, i);
				cr_assert(place >= 0 && !was_picked[place], "kind %zu", k);
				was_picked[place] = true;
				tried[i] = (uint16_t)place;
			}
			cr_expect(!was_picked[3]);
			cr_expect_eq(picker_pick_besides(&picker, c, tried, N_WEIGHTY),
				     SCHEDULER_NO_BACKEND, "kind %zu", k);
		}
		picker_close(&picker);
	}
}

// Who retries has no better claim to those that are left than who comes first: all get connections.
Test(scheduler, retries_are_spread_over_the_backends_that_are_left)
{
	static const uint16_t weights[] = {6, 2, 2, 2};
	static const uint16_t tried[] = {0};
	for (size_t k = 0; k < COUNT(all_kinds); k++) {
		struct picker picker;
		uint32_t counts[COUNT(weights)] = {0};
		picker_open(&picker, all_kinds[k], weights, COUNT(weights), 9);
		for (uint32_t i = 0; i < 3000; i++)
			counts[picker_pick_besides(&picker, i * UINT32_C(2654435769), tried, 1)]++;
		cr_expect_eq(counts[0], 0);
		for (size_t i = 1; i < COUNT(weights); i++)
			cr_expect(counts[i] > 850 && counts[i] < 1150, "kind %zu: %u", k,
				  counts[i]);
		picker_close(&picker);
	}
}

Test(scheduler, equal_seeds_make_equal_choices)
{
	static const uint16_t weights[] = {1, 2, 3, 4};
	for (size_t k = 0; k < COUNT(all_kinds); k++) {
		struct picker one;
		struct picker two;
		picker_open(&one, all_kinds[k], weights, COUNT(weights), 77);
		picker_open(&two, all_kinds[k], weights, COUNT(weights), 77);
		for (uint32_t i = 0; i < 500; i++)
			cr_assert_eq(picker_pick(&one, i << 20), picker_pick(&two, i << 20));
		picker_close(&one);
		picker_close(&two);
	}
}

// Threads and hosts that begin together do not all begin with the same backend.
Test(scheduler, seeds_decide_who_comes_first)
{
	static const uint16_t weights[] = {1, 1, 1, 1};
	for (size_t k = 1; k < COUNT(all_kinds); k++) {
		struct picker picker;
		bool was_first[COUNT(weights)] = {false};
		picker_open(&picker, all_kinds[k], weights, COUNT(weights), 0);
		for (uint64_t seed = 0; seed < 64; seed++) {
			picker_renew(&picker, all_kinds[k], seed);
			was_first[picker_pick(&picker, 1)] = true;
		}
		for (size_t i = 0; i < COUNT(weights); i++)
			cr_expect(was_first[i], "kind %zu: %zu never", k, i);
		picker_close(&picker);
	}
}
