// SPDX-License-Identifier: Apache-2.0
// The hash index, by cases and against a model: value v is stored under the hash in
// model.hashes[v].
#include "culvert/ds/index_map.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

enum { CAPACITY = 600 };

struct model {
	struct index_map map;
	uint32_t hashes[CAPACITY + 1];
	bool is_in[CAPACITY + 1];
	uint32_t n_in;
};

static uint32_t random_hash(void)
{
	return (uint32_t)rand() << 16 ^ (uint32_t)rand();
}

// How many candidates under `hash` equal `value`.
static unsigned count_found(const struct index_map *map, uint32_t hash, uint32_t value)
{
	struct index_map_cursor cursor;
	unsigned n = 0;
	uint32_t found = index_map_first(map, hash, &cursor);
	for (; found; found = index_map_next(map, &cursor))
		n += found == value;
	cr_assert_eq(index_map_next(map, &cursor), 0, "the end is not the end");
	return n;
}

static void check_all(const struct model *model)
{
	uint32_t n_passed = 0;
	cr_assert_eq(model->map.n_entries, model->n_in);
	for (uint32_t value = 1; value <= CAPACITY; value++)
		cr_assert_eq(count_found(&model->map, model->hashes[value], value),
			     model->is_in[value], "value %u", value);
	for (uint32_t i = 0; i < model->map.n_buckets; i++)
		n_passed += model->map.buckets[i].n_passed;
	if (model->n_in == 0)
		cr_assert_eq(n_passed, 0, "an empty map remembers entries");
}

static void insert(struct model *model, uint32_t value, uint32_t hash)
{
	cr_assert(index_map_insert(&model->map, hash, value));
	model->hashes[value] = hash;
	model->is_in[value] = true;
	model->n_in++;
}

static void take_out(struct model *model, uint32_t value)
{
	cr_assert(index_map_remove(&model->map, model->hashes[value], value));
	model->is_in[value] = false;
	model->n_in--;
}

static void take_out_all(struct model *model)
{
	for (uint32_t value = 1; value <= CAPACITY; value++) {
		if (model->is_in[value])
			take_out(model, value);
	}
}

static void model_init(struct model *model, uint32_t capacity)
{
	struct err err = {0};
	*model = (struct model){0};
	cr_assert_eq(index_map_init(&model->map, capacity, &err), 0, "%s", err.message);
	cr_assert_eq((uintptr_t)model->map.buckets % 64, 0);
}

Test(index_map, refuses_no_capacity)
{
	struct index_map map = {0};
	struct err err = {0};
	cr_expect_eq(index_map_init(&map, 0, &err), -EINVAL);
	cr_expect_neq(err.message[0], '\0');
	index_map_fini(&map);
}

Test(index_map, finds_what_was_inserted_until_it_is_removed)
{
	struct model model;
	model_init(&model, 100);
	insert(&model, 7, 0x12345678);
	cr_expect_eq(count_found(&model.map, 0x12345678, 7), 1);
	cr_expect_eq(count_found(&model.map, 0xfedcba98, 7), 0);
	cr_expect_not(index_map_remove(&model.map, 0x12345678, 8));
	cr_expect_not(index_map_remove(&model.map, 0xfedcba98, 7));
	take_out(&model, 7);
	cr_expect_not(index_map_remove(&model.map, 0x12345678, 7));
	check_all(&model);
	index_map_fini(&model.map);
}

Test(index_map, edge_hashes_are_ordinary)
{
	static const uint32_t hashes[] = {0, 1, 0xffff, 0x10000, 0xffff0000, UINT32_MAX};
	struct model model;
	model_init(&model, 64);
	for (uint32_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
		insert(&model, i + 1, hashes[i]);
	check_all(&model);
	take_out_all(&model);
	check_all(&model);
	index_map_fini(&model.map);
}

Test(index_map, every_capacity_can_be_filled_and_not_exceeded)
{
	for (uint32_t capacity = 1; capacity <= CAPACITY; capacity += 1 + capacity / 8) {
		struct model model;
		model_init(&model, capacity);
		srand(capacity);
		for (uint32_t value = 1; value <= capacity; value++)
			insert(&model, value, random_hash());
		cr_expect_not(index_map_insert(&model.map, 5, 5));
		check_all(&model);
		take_out(&model, 1);
		insert(&model, 1, random_hash());
		check_all(&model);
		take_out_all(&model);
		check_all(&model);
		index_map_fini(&model.map);
	}
}

Test(index_map, holds_any_number_of_equal_hashes)
{
	static const uint32_t hashes[] = {0, 0x80000000, UINT32_MAX};
	for (unsigned i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		struct model model;
		model_init(&model, CAPACITY);
		for (uint32_t value = 1; value <= CAPACITY; value++)
			insert(&model, value, hashes[i]);
		check_all(&model);
		// From the front, so that later entries stay behind buckets with room.
		for (uint32_t value = 1; value <= CAPACITY / 2; value++)
			take_out(&model, value);
		check_all(&model);
		for (uint32_t value = 1; value <= CAPACITY / 2; value++)
			insert(&model, value, hashes[i] ^ (value << 8));
		check_all(&model);
		take_out_all(&model);
		check_all(&model);
		index_map_fini(&model.map);
	}
}

// Two buckets, each passed over by entries that live in the other.
Test(index_map, a_lookup_ends_when_every_bucket_was_passed_over)
{
	struct model model;
	model_init(&model, 12);
	cr_assert_eq(model.map.n_buckets, 2);
	for (uint32_t value = 1; value <= 12; value++)
		insert(&model, value, value); // home 0; the last two live in bucket 1
	for (uint32_t value = 1; value <= 10; value++)
		take_out(&model, value);
	for (uint32_t value = 1; value <= 10; value++)
		insert(&model, value, 0x80000000 + value); // home 1; two of them in bucket 0
	cr_assert_gt(model.map.buckets[0].n_passed, 0);
	cr_assert_gt(model.map.buckets[1].n_passed, 0);
	cr_expect_eq(count_found(&model.map, 0x1234, 1), 0);
	cr_expect_not(index_map_remove(&model.map, 0x1234, 1));
	check_all(&model);
	take_out_all(&model);
	check_all(&model);
	index_map_fini(&model.map);
}

Test(index_map, the_same_pair_twice_is_two_entries)
{
	struct model model;
	model_init(&model, 10);
	cr_assert(index_map_insert(&model.map, 9, 3));
	cr_assert(index_map_insert(&model.map, 9, 3));
	cr_expect_eq(count_found(&model.map, 9, 3), 2);
	cr_assert(index_map_remove(&model.map, 9, 3));
	cr_expect_eq(count_found(&model.map, 9, 3), 1);
	index_map_fini(&model.map);
}

Test(index_map, behaves_as_the_model_under_random_use)
{
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct model model;
		model_init(&model, CAPACITY);
		srand(seed);
		for (int step = 0; step < 20000; step++) {
			uint32_t value = 1 + (uint32_t)rand() % CAPACITY;
			// A few hashes are very common.
			uint32_t hash = rand() % 4 ? random_hash() : (uint32_t)(rand() % 3) << 30;
			// Fills up, empties, fills up again.
			bool is_filling = step / 4000 % 2 == 0;
			if (model.is_in[value] && (!is_filling || rand() % 8 == 0))
				take_out(&model, value);
			else if (!model.is_in[value] && (is_filling || rand() % 8 == 0))
				insert(&model, value, hash);
			if (step % 500 == 0)
				check_all(&model);
		}
		take_out_all(&model);
		check_all(&model);
		index_map_fini(&model.map);
	}
}

// The mean number of buckets touched until the value was found, and until the end.
static void measure_reach(const struct index_map *map, const uint32_t *hashes, uint32_t n,
			  double *to_hit, double *to_end)
{
	uint64_t n_to_hit = 0;
	uint64_t n_to_end = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct index_map_cursor cursor;
		uint32_t found = index_map_first(map, hashes[i], &cursor);
		for (; found; found = index_map_next(map, &cursor)) {
			if (found == i + 1)
				n_to_hit += map->n_buckets - cursor.n_left;
		}
		n_to_end += map->n_buckets - cursor.n_left;
	}
	*to_hit = (double)n_to_hit / n;
	*to_end = (double)n_to_end / n;
}

Test(index_map, a_full_map_stays_quick_after_long_use)
{
	enum { N = 60000 };
	struct index_map map;
	uint32_t *hashes = calloc(N, sizeof(*hashes));
	cr_assert(hashes);
	cr_assert_eq(index_map_init(&map, N, NULL), 0);
	srand(3);
	for (uint32_t i = 0; i < N; i++) {
		hashes[i] = random_hash();
		cr_assert(index_map_insert(&map, hashes[i], i + 1));
	}
	// Replace each entry ten times over.
	for (uint32_t n = 0; n < 10 * N; n++) {
		uint32_t i = random_hash() % N;
		cr_assert(index_map_remove(&map, hashes[i], i + 1));
		hashes[i] = random_hash();
		cr_assert(index_map_insert(&map, hashes[i], i + 1));
	}
	// About 1.07 and 1.54, and no more after a hundred times over.
	double to_hit;
	double to_end;
	measure_reach(&map, hashes, N, &to_hit, &to_end);
	cr_expect_lt(to_hit, 1.2, "a hit touches %.2f buckets", to_hit);
	cr_expect_lt(to_end, 2.0, "a miss touches %.2f buckets", to_end);
	index_map_fini(&map);
	free(hashes);
}
