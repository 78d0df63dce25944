// SPDX-License-Identifier: Apache-2.0
// A backend that is up again gets to its weight by and by.
#include "slow_start.h"

#include <criterion/criterion.h>

#include "../support/lib/scene.h"
#include "culvert/base/clock.h"

enum { WHOLE_S = 18 }; // two seconds for each of the nine tenths that are missing

struct bench {
	struct scene scene;
	struct slow_start *slow_start;
	uint64_t now_ns;
};

static void bench_open(struct bench *bench)
{
	struct err err = {0};
	struct scene *scene = &bench->scene;
	scene_init(scene, "10.2.0.1");
	size_t pool = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, pool, "one", "10.2.0.21:80", 1);
	scene_add_backend(scene, pool, "two", "10.2.0.22:80", 1);
	scene_add_frontend(scene, "10.1.0.1:80", pool, HASH_5_TUPLE);
	scene->config->pools[pool].slow_start_ms = WHOLE_S * 1000;
	scene_build(scene);
	cr_assert_eq(slow_start_create(&bench->slow_start, scene->registry, &err), 0);
	bench->now_ns = 5 * NS_PER_SEC;
}

static void bench_close(struct bench *bench)
{
	slow_start_destroy(bench->slow_start);
	scene_fini(&bench->scene);
}

// Percent of the table that the second backend has, rounded.
static unsigned share_of_two(struct bench *bench)
{
	struct snapshot *snapshot = scene_snapshot(&bench->scene);
	const struct maglev *table = snapshot->pools[0].table;
	unsigned n = 0;
	for (uint32_t i = 0; i < table->size; i++)
		n += table->slots[i] == 1;
	unsigned percent = (n * 100 + table->size / 2) / table->size;
	snapshot_destroy(snapshot);
	return percent;
}

static void expect_tenths(struct bench *bench, unsigned tenths)
{
	unsigned expected = 100 * tenths / (10 + tenths);
	unsigned share = share_of_two(bench);
	cr_expect(share >= expected - 1 && share <= expected + 1, "%u tenths: %u %%, not %u",
		  tenths, share, expected);
}

Test(slow_start, goes_from_a_tenth_to_the_whole)
{
	struct bench bench;
	bench_open(&bench);
	expect_tenths(&bench, 10);
	slow_start_begin(bench.slow_start, 1, bench.now_ns);
	for (unsigned tenths = 1; tenths <= 10; tenths++) {
		expect_tenths(&bench, tenths);
		bench.now_ns += NS_PER_SEC;
		cr_expect_not(slow_start_step(bench.slow_start, bench.now_ns),
			      "news between %u tenths and the next", tenths);
		bench.now_ns += NS_PER_SEC;
		bool is_news = slow_start_step(bench.slow_start, bench.now_ns);
		cr_expect_eq(is_news, tenths < 10, "%u tenths", tenths);
	}
	bench_close(&bench);
}

Test(slow_start, begins_anew_when_the_backend_goes_down_meanwhile)
{
	struct bench bench;
	bench_open(&bench);
	slow_start_begin(bench.slow_start, 1, bench.now_ns);
	bench.now_ns += 10 * NS_PER_SEC;
	slow_start_step(bench.slow_start, bench.now_ns);
	expect_tenths(&bench, 6);
	slow_start_end(bench.slow_start, 1);
	cr_expect_not(slow_start_step(bench.slow_start, bench.now_ns));
	expect_tenths(&bench, 10);
	slow_start_begin(bench.slow_start, 1, bench.now_ns);
	expect_tenths(&bench, 1);
	bench_close(&bench);
}

Test(slow_start, there_is_none_where_the_pool_wants_none)
{
	struct bench bench;
	bench_open(&bench);
	bench.scene.config->pools[0].slow_start_ms = 0;
	slow_start_begin(bench.slow_start, 1, bench.now_ns);
	expect_tenths(&bench, 10);
	cr_expect_not(slow_start_step(bench.slow_start, bench.now_ns + NS_PER_SEC));
	bench_close(&bench);
}

// Those that go by loads do so for the weight, those that take turns too: sched.h has one place for
// what a backend counts for.
Test(slow_start, counts_for_every_scheduler)
{
	struct bench bench;
	bench_open(&bench);
	slow_start_begin(bench.slow_start, 1, bench.now_ns);
	const struct snapshot_backend *one = registry_backend(bench.scene.registry, 0);
	const struct snapshot_backend *two = registry_backend(bench.scene.registry, 1);
	cr_expect_eq(snapshot_share(one), 10);
	cr_expect_eq(snapshot_share(two), 1);
	cr_expect_eq(two->weight, 1, "the weight itself stays");
	registry_set_up(bench.scene.registry, 1, false);
	cr_expect_eq(snapshot_share(two), 0);
	bench_close(&bench);
}
