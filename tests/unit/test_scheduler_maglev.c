// SPDX-License-Identifier: Apache-2.0
// Maglev as a scheduler: several balancers agree, whatever has been tried.
#include <criterion/criterion.h>

#include "../support/lib/picker.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { N_CLIENTS = 20000 };

static uint32_t hash_of(uint32_t client)
{
	return client * UINT32_C(2654435769);
}

Test(scheduler_maglev, without_retries_it_is_the_table)
{
	static const uint16_t weights[] = {1, 2, 0, 4};
	struct picker picker;
	picker_open(&picker, SCHEDULER_MAGLEV, weights, COUNT(weights), 1);
	const struct snapshot_pool *pool = &picker.snapshot->pools[1];
	for (uint32_t c = 0; c < N_CLIENTS; c++)
		cr_assert_eq(picker_pick(&picker, hash_of(c)) + (int32_t)pool->members[0],
			     maglev_lookup(pool->table, hash_of(c)));
	picker_close(&picker);
}

Test(scheduler_maglev, who_was_not_going_to_be_picked_may_have_been_tried)
{
	static const uint16_t weights[] = {1, 1, 1, 1};
	struct picker picker;
	picker_open(&picker, SCHEDULER_MAGLEV, weights, COUNT(weights), 1);
	for (uint32_t c = 0; c < N_CLIENTS; c++) {
		int32_t place = picker_pick(&picker, hash_of(c));
		uint16_t others[] = {(uint16_t)((place + 1) % 4), (uint16_t)((place + 3) % 4)};
		cr_assert_eq(picker_pick_besides(&picker, hash_of(c), others, 2), place);
	}
	picker_close(&picker);
}

// The clients of a backend that refuses go to all the others, by weight.
Test(scheduler_maglev, retries_are_spread_by_weight)
{
	static const uint16_t weights[] = {4, 1, 2, 3};
	static const uint16_t left[] = {0, 1, 2, 3};
	struct picker picker;
	uint32_t counts[COUNT(weights)] = {0};
	picker_open(&picker, SCHEDULER_MAGLEV, weights, COUNT(weights), 1);
	for (uint32_t c = 0; c < N_CLIENTS; c++) {
		uint16_t tried[] = {0};
		if (picker_pick(&picker, hash_of(c)) == 0)
			counts[picker_pick_besides(&picker, hash_of(c), tried, 1)]++;
	}
	cr_expect_eq(counts[0], 0);
	cr_expect_lt(picker_chi_square(counts, left, COUNT(weights)), 13.82, "0.999 of chance");
	picker_close(&picker);
}

// The few that are left after a thousand others, which no rehash finds.
Test(scheduler_maglev, those_that_rehashes_miss_are_found)
{
	static const uint16_t weights[] = {1000, 1, 1, 1, 1};
	static const uint16_t tried[] = {0};
	struct picker picker;
	uint32_t counts[COUNT(weights)] = {0};
	picker_open(&picker, SCHEDULER_MAGLEV, weights, COUNT(weights), 1);
	for (uint32_t c = 0; c < N_CLIENTS; c++)
		counts[picker_pick_besides(&picker, hash_of(c), tried, 1)]++;
	cr_expect_eq(counts[0], 0);
	for (size_t i = 1; i < COUNT(weights); i++)
		cr_expect(counts[i] > N_CLIENTS / 5, "%zu: %u", i, counts[i]);
	picker_close(&picker);
}

// Two balancers with other seeds, another past, and the pool in another order.
Test(scheduler_maglev, balancers_agree_on_every_attempt)
{
	enum { N = 6 };
	static const uint16_t weights[N] = {5, 1000, 1, 1, 30, 2};
	static const uint16_t turned_round[N] = {2, 30, 1, 1, 1000, 5};
	struct picker one;
	struct picker two;
	picker_open(&one, SCHEDULER_MAGLEV, weights, N, 1);
	picker_open(&two, SCHEDULER_MAGLEV, turned_round, N, 99);
	// The same endpoints as in `one`, last to first.
	for (uint32_t i = 0; i < N; i++)
		two.scene.config->pools[1].backends[i].endpoint =
			one.scene.config->pools[1].backends[N - 1 - i].endpoint;
	registry_destroy(two.scene.registry);
	scene_build(&two.scene);
	picker_set_all_up(&two, true);
	for (uint32_t c = 0; c < N_CLIENTS; c++) {
		uint16_t tried_by_one[N];
		uint16_t tried_by_two[N];
		for (uint32_t i = 0; i < N; i++) {
			int32_t place = picker_pick_besides(&one, hash_of(c), tried_by_one, i);
			tried_by_one[i] = (uint16_t)place;
			int32_t other = picker_pick_besides(&two, hash_of(c), tried_by_two, i);
			tried_by_two[i] = (uint16_t)other;
			cr_assert_eq(place, N - 1 - other, "client %u, attempt %u", c, i);
		}
	}
	picker_close(&one);
	picker_close(&two);
}
