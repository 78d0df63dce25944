// SPDX-License-Identifier: Apache-2.0
// When too few of a pool are up all are used, and when that ends.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../support/lib/scene.h"
#include "culvert/balance/registry.h"

enum { N = 4 };

struct bench {
	struct scene scene;
	struct registry *registry; // the scene's
};

// A pool of N backends of which nobody knows anything yet.
static void bench_open(struct bench *bench, uint8_t threshold)
{
	struct scene *scene = &bench->scene;
	scene_init(scene, "10.2.0.1");
	size_t pool = scene_add_pool(scene, "web", IPPROTO_TCP);
	for (int i = 0; i < N; i++) {
		char name[16];
		char addr[32];
		snprintf(name, sizeof(name), "b%d", i);
		snprintf(addr, sizeof(addr), "10.2.0.%d:80", 20 + i);
		scene_add_backend(scene, pool, name, addr, 1);
	}
	scene_add_frontend(scene, "10.1.0.1:80", pool, HASH_5_TUPLE);
	scene->config->pools[pool].panic_threshold = threshold;
	scene->is_unchecked = true;
	scene_build(scene);
	bench->registry = scene->registry;
}

// Which are used, as in "1.1.": by the registry, and by the table of the next snapshot.
static void expect_used(struct bench *bench, const char *expected)
{
	bool is_in_table[N] = {false};
	struct snapshot *snapshot = scene_snapshot(&bench->scene);
	const struct maglev *table = snapshot->pools[0].table;
	for (uint32_t i = 0; i < table->size; i++)
		is_in_table[table->slots[i]] = true;
	for (uint32_t i = 0; i < N; i++) {
		const struct snapshot_backend *b = registry_backend(bench->registry, i);
		bool is_used = expected[i] == '1';
		cr_expect_eq(snapshot_takes_new(b), is_used, "b%u, expected %s", i, expected);
		cr_expect_eq(is_in_table[i], is_used, "b%u of the table, expected %s", i, expected);
	}
	snapshot_destroy(snapshot);
}

static void set_up(struct bench *bench, const char *states)
{
	for (uint32_t i = 0; i < N; i++)
		registry_set_up(bench->registry, i, states[i] == '1');
}

static void expect_after(uint8_t threshold, const char *states, const char *used)
{
	struct bench bench;
	bench_open(&bench, threshold);
	set_up(&bench, "1111");
	set_up(&bench, states);
	expect_used(&bench, used);
	cr_expect_eq(registry_pool(bench.registry, 0)->is_in_panic, strcmp(states, used) != 0);
	scene_fini(&bench.scene);
}

Test(panic, uses_all_below_the_threshold_and_not_at_it)
{
	expect_after(50, "1111", "1111");
	expect_after(50, "1100", "1100");
	expect_after(50, "1000", "1111");
	expect_after(50, "0000", "1111");
	expect_after(51, "1100", "1111");
	expect_after(100, "1110", "1111");
	expect_after(1, "0000", "1111");
	expect_after(0, "0000", "0000");
}

Test(panic, ends_when_enough_are_up)
{
	struct bench bench;
	bench_open(&bench, 50);
	set_up(&bench, "1111");
	set_up(&bench, "0100");
	expect_used(&bench, "1111");
	registry_set_up(bench.registry, 2, true);
	expect_used(&bench, "0110");
	scene_fini(&bench.scene);
}

// At a start nobody is up, and that is no reason to use those that are down.
Test(panic, waits_until_health_has_judged)
{
	struct bench bench;
	bench_open(&bench, 50);
	expect_used(&bench, "0000");
	cr_expect_not(registry_set_judged(bench.registry, 0));
	cr_expect_not(registry_set_judged(bench.registry, 1));
	registry_set_up(bench.registry, 2, true);
	expect_used(&bench, "0010");
	registry_set_up(bench.registry, 2, false);
	expect_used(&bench, "1111");
	scene_fini(&bench.scene);
	bench_open(&bench, 50);
	for (uint32_t i = 0; i < 2; i++)
		cr_expect_not(registry_set_judged(bench.registry, i));
	cr_expect(registry_set_judged(bench.registry, 2), "three of four were never up");
	expect_used(&bench, "1111");
	scene_fini(&bench.scene);
}

Test(panic, leaves_out_who_is_not_to_be_used)
{
	struct bench bench;
	bench_open(&bench, 50);
	set_up(&bench, "1111");
	cr_assert_eq(registry_set_admin(bench.registry, 3, ADMIN_MAINT), 0);
	set_up(&bench, "1001");
	expect_used(&bench, "1110"); // one of three
	cr_assert_eq(registry_set_admin(bench.registry, 1, ADMIN_MAINT), 0);
	expect_used(&bench, "1000"); // one of two
	cr_assert_eq(registry_set_admin(bench.registry, 1, ADMIN_READY), 0);
	expect_used(&bench, "1110");
	scene_fini(&bench.scene);
}

Test(panic, goes_on_over_a_reload_and_ends_with_its_key)
{
	struct bench bench;
	bench_open(&bench, 50);
	set_up(&bench, "1111");
	set_up(&bench, "1000");
	struct bench other;
	struct err err = {0};
	bench_open(&other, 50);
	cr_assert_eq(registry_apply(bench.registry, other.scene.config, 1, &err), 0, "%s",
		     err.message);
	expect_used(&bench, "1111");
	other.scene.config->pools[0].panic_threshold = 25;
	cr_assert_eq(registry_apply(bench.registry, other.scene.config, 1, &err), 0, "%s",
		     err.message);
	expect_used(&bench, "1000");
	scene_fini(&bench.scene);
	scene_fini(&other.scene);
}
