// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/maglev.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/scene.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { SIZE = 65537, MAX_BACKENDS = 128 };

static void set_backend(struct maglev_backend *backend, unsigned i, uint32_t weight)
{
	char text[32];
	snprintf(text, sizeof(text), "10.2.%u.%u:8080", i / 200, i % 200 + 1);
	*backend = (struct maglev_backend){
		.endpoint = scene_endpoint(text, IPPROTO_TCP),
		.weight = weight,
		.id = (uint16_t)i,
	};
}

static struct maglev *build(const struct maglev_backend *backends, size_t n)
{
	struct maglev *maglev = NULL;
	struct err err = {0};
	cr_assert_eq(maglev_build(&maglev, backends, n, SIZE, &err), 0, "%s", err.message);
	return maglev;
}

static void count_slots(const struct maglev *maglev, uint32_t *counts)
{
	memset(counts, 0, MAX_BACKENDS * sizeof(*counts));
	for (uint32_t i = 0; i < maglev->size; i++) {
		cr_assert_lt(maglev->slots[i], MAX_BACKENDS);
		counts[maglev->slots[i]]++;
	}
}

// Section 3.4, table 1: M = 7, permutations by (offset, skip) of (3, 4), (0, 2) and (3, 1).
Test(maglev, agrees_with_the_example_of_the_paper)
{
	struct maglev_turn all[] = {
		{.cursor = 3, .skip = 4, .weight = 1, .id = 0},
		{.cursor = 0, .skip = 2, .weight = 1, .id = 1},
		{.cursor = 3, .skip = 1, .weight = 1, .id = 2},
	};
	struct maglev_turn without_second[] = {
		{.cursor = 3, .skip = 4, .weight = 1, .id = 0},
		{.cursor = 3, .skip = 1, .weight = 1, .id = 2},
	};
	static const uint16_t expected[] = {1, 0, 1, 0, 2, 2, 0};
	static const uint16_t expected_without[] = {0, 0, 0, 0, 2, 2, 2};
	uint16_t slots[7];
	maglev_populate(slots, 7, all, COUNT(all));
	cr_expect_arr_eq(slots, expected, sizeof(expected));
	maglev_populate(slots, 7, without_second, COUNT(without_second));
	cr_expect_arr_eq(slots, expected_without, sizeof(expected_without));
}

Test(maglev, equal_weights_differ_by_one_slot_at_most)
{
	static const unsigned numbers[] = {1, 2, 3, 7, 100};
	for (size_t c = 0; c < COUNT(numbers); c++) {
		struct maglev_backend backends[MAX_BACKENDS];
		uint32_t counts[MAX_BACKENDS];
		for (unsigned i = 0; i < numbers[c]; i++)
			set_backend(&backends[i], i, 5);
		struct maglev *maglev = build(backends, numbers[c]);
		count_slots(maglev, counts);
		for (unsigned i = 0; i < numbers[c]; i++) {
			cr_expect_geq(counts[i], SIZE / numbers[c]);
			cr_expect_leq(counts[i], SIZE / numbers[c] + 1);
		}
		maglev_unref(maglev);
	}
}

Test(maglev, slots_are_in_proportion_to_weights)
{
	static const uint32_t weights[] = {1, 2, 3, 10, 50, 7, 0, 27};
	struct maglev_backend backends[COUNT(weights)];
	uint32_t counts[MAX_BACKENDS];
	for (unsigned i = 0; i < COUNT(weights); i++)
		set_backend(&backends[i], i, weights[i]);
	struct maglev *maglev = build(backends, COUNT(weights));
	count_slots(maglev, counts);
	for (unsigned i = 0; i < COUNT(weights); i++) {
		double share = (double)SIZE * weights[i] / 100;
		cr_expect(counts[i] >= share * 0.99 - 1 && counts[i] <= share * 1.01 + 1,
			  "weight %u has %u slots", weights[i], counts[i]);
	}
	maglev_unref(maglev);
}

Test(maglev, the_order_of_the_backends_decides_nothing)
{
	struct maglev_backend backends[20];
	for (unsigned i = 0; i < COUNT(backends); i++)
		set_backend(&backends[i], i, 1 + i % 3);
	struct maglev *one = build(backends, COUNT(backends));
	srand(1);
	for (int round = 0; round < 5; round++) {
		for (size_t i = COUNT(backends) - 1; i > 0; i--) {
			size_t j = (size_t)rand() % (i + 1);
			struct maglev_backend swapped = backends[i];
			backends[i] = backends[j];
			backends[j] = swapped;
		}
		struct maglev *other = build(backends, COUNT(backends));
		cr_expect_arr_eq(one->slots, other->slots, SIZE * sizeof(one->slots[0]));
		maglev_unref(other);
	}
	maglev_unref(one);
}

// Of the slots that need not change, few do: the paper's figure 12 shows a few per cent.
Test(maglev, defect_13_a_removed_backend_disturbs_few_others)
{
	enum { N = 20 };
	struct maglev_backend backends[N];
	for (unsigned i = 0; i < N; i++)
		set_backend(&backends[i], i, 1);
	struct maglev *all = build(backends, N);
	for (unsigned gone = 0; gone < N; gone++) {
		struct maglev_backend left[N];
		unsigned n = 0;
		unsigned n_moved = 0;
		for (unsigned i = 0; i < N; i++) {
			if (i != gone)
				left[n++] = backends[i];
		}
		struct maglev *fewer = build(left, n);
		for (unsigned i = 0; i < SIZE; i++)
			n_moved += all->slots[i] != gone && all->slots[i] != fewer->slots[i];
		cr_expect_lt(n_moved, SIZE * 5 / 100, "without %u: %u slots moved", gone, n_moved);
		maglev_unref(fewer);
	}
	maglev_unref(all);
}

Test(maglev, nobody_with_a_weight_makes_an_empty_table)
{
	struct maglev_backend backends[2];
	set_backend(&backends[0], 0, 0);
	set_backend(&backends[1], 1, 0);
	struct maglev *none = build(backends, 0);
	struct maglev *weightless = build(backends, 2);
	cr_expect_eq(none->size, 0);
	cr_expect_eq(weightless->size, 0);
	maglev_unref(none);
	maglev_unref(weightless);
	maglev_unref(NULL);
}

Test(maglev, as_many_backends_as_slots)
{
	enum { N = 11 };
	struct maglev_backend backends[N];
	struct maglev *maglev = NULL;
	uint32_t counts[MAX_BACKENDS];
	for (unsigned i = 0; i < N; i++)
		set_backend(&backends[i], i, 1);
	cr_assert_eq(maglev_build(&maglev, backends, N, N, NULL), 0);
	count_slots(maglev, counts);
	for (unsigned i = 0; i < N; i++)
		cr_expect_eq(counts[i], 1);
	maglev_unref(maglev);
}

Test(maglev, the_ends_of_the_hash_are_the_ends_of_the_table)
{
	struct maglev_backend backends[3];
	for (unsigned i = 0; i < COUNT(backends); i++)
		set_backend(&backends[i], i, 1);
	struct maglev *maglev = build(backends, COUNT(backends));
	cr_expect_eq(maglev_lookup(maglev, 0), maglev->slots[0]);
	cr_expect_eq(maglev_lookup(maglev, UINT32_MAX), maglev->slots[SIZE - 1]);
	struct maglev *same = maglev_ref(maglev);
	maglev_unref(maglev);
	cr_expect_eq(same->size, SIZE, "still referenced");
	maglev_unref(same);
}
