// SPDX-License-Identifier: Apache-2.0
// One configuration takes the place of another: who keeps a slot, who gets one, who drains.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/scene_words.h"
#include "culvert/balance/registry.h"

#define SECOND UINT64_C(1000000000)

enum { DRAIN_S = 10, MAX_NAMED = 8 };

struct bench {
	struct scene scene;
	struct registry *registry; // the scene's
	uint64_t now_ns;
	struct err err;
};

static void open_room(struct bench *bench, const char *words, uint32_t max_backends)
{
	*bench = (struct bench){.now_ns = SECOND};
	scene_init(&bench->scene, "10.2.0.254");
	scene_add_words(&bench->scene, words);
	bench->scene.config->reload.max_backends = max_backends;
	bench->scene.config->reload.drain_timeout_ms = DRAIN_S * 1000;
	scene_build(&bench->scene);
	bench->registry = bench->scene.registry;
}

static void open(struct bench *bench, const char *words)
{
	open_room(bench, words, 0);
}

static int apply(struct bench *bench, const char *words)
{
	struct scene scene;
	scene_init(&scene, "10.2.0.254");
	scene_add_words(&scene, words);
	scene.config->reload.drain_timeout_ms = DRAIN_S * 1000;
	int code = registry_apply(bench->registry, scene.config, bench->now_ns, &bench->err);
	config_unref(scene.config);
	return code;
}

// "web/a+ web/b- web/c!": every slot in use, by number; "." is free. + active, - removed, ! over.
static const char *backends_of(const struct bench *bench, char *text)
{
	static const char states[] = {[SLOT_ACTIVE] = '+', [SLOT_REMOVED] = '-', [SLOT_OVER] = '!'};
	char *at = text;
	*at = '\0';
	for (uint32_t i = 0; i < registry_n_backends(bench->registry); i++) {
		const struct snapshot_backend *b = registry_backend(bench->registry, i);
		const char *space = i ? " " : "";
		if (b->config)
			at += sprintf(at, "%s%s/%s%c", space, b->pool_config->name, b->config->name,
				      states[b->state]);
		else
			at += sprintf(at, "%s.", space);
	}
	return text;
}

static const char *frontends_of(const struct bench *bench, char *text)
{
	static const char states[] = {[SLOT_ACTIVE] = '+', [SLOT_REMOVED] = '-', [SLOT_OVER] = '!'};
	char *at = text;
	*at = '\0';
	for (uint32_t i = 0; i < registry_n_frontends(bench->registry); i++) {
		const struct snapshot_frontend *f = registry_frontend(bench->registry, i);
		const char *space = i ? " " : "";
		if (f->config)
			at += sprintf(at, "%s%s%c", space, f->config->name, states[f->state]);
		else
			at += sprintf(at, "%s.", space);
	}
	return text;
}

static void close_bench(struct bench *bench)
{
	scene_fini(&bench->scene);
}

Test(registry_apply, who_keeps_a_slot_and_who_gets_one)
{
	static const struct {
		const char *what;
		const char *before;
		const char *after;
		const char *backends;
		const char *frontends;
	} cases[] = {
		{"nothing changes", "web=a:10.2.0.1,b:10.2.0.2 @10.1.0.1>web",
		 "web=a:10.2.0.1,b:10.2.0.2 @10.1.0.1>web", "web/a+ web/b+", "10.1.0.1:80+"},
		{"one is added in front", "web=a:10.2.0.1", "web=c:10.2.0.3,a:10.2.0.1",
		 "web/a+ web/c+", ""},
		{"one is removed", "web=a:10.2.0.1,b:10.2.0.2", "web=b:10.2.0.2", "web/a- web/b+",
		 ""},
		{"another address is another backend", "web=a:10.2.0.1", "web=a:10.2.0.9",
		 "web/a- web/a+", ""},
		{"another name too", "web=a:10.2.0.1", "web=z:10.2.0.1", "web/a- web/z+", ""},
		{"another weight is not", "web=a:10.2.0.1*2", "web=a:10.2.0.1*7", "web/a+", ""},
		{"pools change places", "web=a:10.2.0.1 api=b:10.2.0.2 @10.1.0.1>api",
		 "api=b:10.2.0.2 web=a:10.2.0.1 @10.1.0.1>api", "web/a+ api/b+", "10.1.0.1:80+"},
		{"a backend changes pools", "web=a:10.2.0.1,b:10.2.0.2 api=c:10.2.0.3",
		 "web=a:10.2.0.1 api=c:10.2.0.3,b:10.2.0.2", "web/a+ web/b- api/c+ api/b+", ""},
		{"a pool goes", "web=a:10.2.0.1 api=b:10.2.0.2", "web=a:10.2.0.1", "web/a+ api/b-",
		 ""},
		{"a frontend is added", "web=a:10.2.0.1 @10.1.0.1>web",
		 "web=a:10.2.0.1 @10.1.0.2>web @10.1.0.1>web", "web/a+",
		 "10.1.0.1:80+ 10.1.0.2:80+"},
		{"a frontend moves", "web=a:10.2.0.1 @10.1.0.1>web", "web=a:10.2.0.1 @10.1.0.7>web",
		 "web/a+", "10.1.0.1:80- 10.1.0.7:80+"},
		{"all goes", "web=a:10.2.0.1 @10.1.0.1>web", "x=y:10.2.0.5", "web/a- x/y+",
		 "10.1.0.1:80-"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench bench;
		char text[256];
		open(&bench, cases[i].before);
		cr_assert_eq(apply(&bench, cases[i].after), 0, "%s", bench.err.message);
		cr_expect_str_eq(backends_of(&bench, text), cases[i].backends, "%s: %s",
				 cases[i].what, text);
		cr_expect_str_eq(frontends_of(&bench, text), cases[i].frontends, "%s: %s",
				 cases[i].what, text);
		close_bench(&bench);
	}
}

Test(registry_apply, what_is_known_of_a_backend_stays)
{
	struct bench bench;
	open(&bench, "web=a:10.2.0.1,b:10.2.0.2*2");
	registry_set_up(bench.registry, 0, false);
	cr_assert_eq(apply(&bench, "web=c:10.2.0.3,b:10.2.0.2*5,a:10.2.0.1"), 0);
	const struct snapshot_backend *a = registry_backend(bench.registry, 0);
	const struct snapshot_backend *b = registry_backend(bench.registry, 1);
	const struct snapshot_backend *c = registry_backend(bench.registry, 2);
	cr_expect(!a->is_up && b->is_up);
	cr_expect_eq(b->hop.state, HOP_READY);
	cr_expect_eq(b->weight, 5);
	cr_expect(!c->is_up, "it has to pass a check first");
	cr_expect_eq(c->hop.state, HOP_NO_ROUTE);
	struct snapshot *snapshot = scene_snapshot(&bench.scene);
	cr_expect_eq(snapshot->pools[0].n_unknown, 0, "the tables were right without it");
	cr_expect_eq(snapshot->pools[0].members[0], 2, "members are in the order of the file");
	cr_expect_eq(snapshot->pools[0].members[2], 0);
	snapshot_destroy(snapshot);
	close_bench(&bench);
}

Test(registry_apply, what_was_removed_takes_nothing_new_and_goes_on)
{
	struct bench bench;
	open(&bench, "web=a:10.2.0.1,b:10.2.0.2 @10.1.0.1>web");
	struct endpoint vip = scene_endpoint("10.1.0.1:80", IPPROTO_TCP);
	struct endpoint addr = scene_endpoint("10.2.0.1:80", IPPROTO_TCP);
	cr_assert_eq(apply(&bench, "web=b:10.2.0.2 @10.1.0.2>web"), 0);
	struct snapshot *snapshot = scene_snapshot(&bench.scene);
	const struct snapshot_backend *a = &snapshot->backends[0];
	cr_expect(a->is_up && a->weight == 0 && !snapshot_takes_new(a));
	cr_expect_eq(a->hop.state, HOP_READY);
	cr_expect_eq(snapshot->pools[0].n_members, 1);
	for (uint32_t i = 0; i < snapshot->pools[0].table->size; i++)
		cr_assert_eq(snapshot->pools[0].table->slots[i], 1);
	cr_expect_eq(endpoint_map_find(snapshot->vips, &vip), 0, "its packets are ours still");
	cr_expect_eq(endpoint_map_find(snapshot->backend_ids, &addr), (int32_t)a->endpoint_id);
	const struct snapshot_pool *nobody = &snapshot->pools[snapshot->frontends[0].pool];
	cr_expect_eq(snapshot->frontends[0].pool, snapshot->n_pools);
	cr_expect_eq(nobody->n_members, 0);
	cr_expect_eq(nobody->table->size, 0);
	snapshot_destroy(snapshot);
	close_bench(&bench);
}

Test(registry_apply, a_drain_ends_when_its_time_is_over)
{
	struct bench bench;
	char text[256];
	open(&bench, "web=a:10.2.0.1,b:10.2.0.2 @10.1.0.1>web @10.1.0.2>web");
	struct endpoint vip = scene_endpoint("10.1.0.1:80", IPPROTO_TCP);
	cr_expect_not(registry_is_draining(bench.registry));
	cr_assert_eq(apply(&bench, "web=b:10.2.0.2 @10.1.0.2>web"), 0);
	cr_expect(registry_is_draining(bench.registry));
	bench.now_ns += DRAIN_S * SECOND - 1;
	cr_expect_not(registry_end_drains(bench.registry, bench.now_ns));
	cr_expect(registry_end_drains(bench.registry, bench.now_ns + 1));
	cr_expect_not(registry_end_drains(bench.registry, bench.now_ns + 2), "no news");
	cr_expect_str_eq(backends_of(&bench, text), "web/a! web/b+", "%s", text);
	struct snapshot *snapshot = scene_snapshot(&bench.scene);
	cr_expect(!snapshot->backends[0].is_up && snapshot->backends[0].resets_on_down);
	cr_expect_eq(snapshot->n_over, 2);
	cr_expect_eq(endpoint_map_find(snapshot->vips, &vip), ENDPOINT_UNKNOWN);
	snapshot_destroy(snapshot);
	registry_give_back_backend(bench.registry, 0);
	registry_give_back_frontend(bench.registry, 0);
	cr_expect_not(registry_is_draining(bench.registry));
	cr_expect_str_eq(backends_of(&bench, text), ". web/b+", "%s", text);
	cr_assert_eq(apply(&bench, "web=n:10.2.0.7,b:10.2.0.2 @10.1.0.2>web @10.1.0.3>web"), 0);
	cr_expect_str_eq(backends_of(&bench, text), "web/n+ web/b+", "the slot is used again: %s",
			 text);
	cr_expect_str_eq(frontends_of(&bench, text), "10.1.0.3:80+ 10.1.0.2:80+", "%s", text);
	close_bench(&bench);
}

Test(registry_apply, a_pool_keeps_what_backends_that_are_gone_had_counted)
{
	struct bench bench;
	const struct traffic once = {.total_connections = 3, .bytes_tx = 40, .packets_rx = 5};
	open(&bench, "web=a:10.2.0.1,b:10.2.0.2 api=c:10.2.0.3");
	for (uint64_t times = 1; times <= 2; times++) {
		cr_assert_eq(apply(&bench, "web=b:10.2.0.2 api=c:10.2.0.3"), 0);
		registry_add_past(bench.registry, 0, &once);
		registry_give_back_backend(bench.registry, 0);
		const struct traffic *past = registry_past(bench.registry, "web");
		cr_expect_eq(past->total_connections, 3 * times);
		cr_expect_eq(past->bytes_tx, 40 * times);
		cr_expect_eq(past->packets_rx, 5 * times);
		cr_expect_eq(registry_past(bench.registry, "api")->total_connections, 0);
		cr_assert_eq(apply(&bench, "api=c:10.2.0.3 web=a:10.2.0.1,b:10.2.0.2"), 0);
	}
	close_bench(&bench);
}

Test(registry_apply, who_comes_back_takes_its_slot_again)
{
	struct bench bench;
	char text[256];
	open(&bench, "web=a:10.2.0.1,b:10.2.0.2 @10.1.0.1>web");
	for (int is_over = 0; is_over < 2; is_over++) {
		cr_assert_eq(apply(&bench, "web=b:10.2.0.2"), 0);
		bench.now_ns += is_over ? DRAIN_S * SECOND : 0;
		registry_end_drains(bench.registry, bench.now_ns);
		cr_assert_eq(apply(&bench, "web=b:10.2.0.2,a:10.2.0.1 @10.1.0.1>web"), 0);
		cr_expect_str_eq(backends_of(&bench, text), "web/a+ web/b+", "%s", text);
		cr_expect_str_eq(frontends_of(&bench, text), "10.1.0.1:80+", "%s", text);
		cr_expect(snapshot_takes_new(registry_backend(bench.registry, 0)));
		cr_expect_eq(registry_frontend(bench.registry, 0)->pool, 0);
	}
	close_bench(&bench);
}

Test(registry_apply, without_room_nothing_changes)
{
	struct bench bench;
	char text[256];
	open_room(&bench, "web=a:10.2.0.1,b:10.2.0.2", 3);
	cr_assert_eq(apply(&bench, "web=c:10.2.0.3,d:10.2.0.4"), -ENOSPC);
	cr_expect(strstr(bench.err.message, "max_backends"), "%s", bench.err.message);
	cr_expect_str_eq(backends_of(&bench, text), "web/a+ web/b+", "%s", text);
	cr_expect_eq(registry_generation(bench.registry), 1);
	cr_assert_eq(apply(&bench, "web=a:10.2.0.1,d:10.2.0.4"), 0);
	cr_expect_eq(registry_generation(bench.registry), 2);
	close_bench(&bench);
}

Test(registry_apply, whether_there_is_room_can_be_asked_before)
{
	static const struct {
		const char *words;
		int code;
	} questions[] = {
		{"web=a:10.2.0.1,b:10.2.0.2,c:10.2.0.3", 0},
		{"web=c:10.2.0.3,d:10.2.0.4", -ENOSPC}, // the others drain
		{"web=a:10.2.0.1,c:10.2.0.3", 0},
	};
	struct bench bench;
	open_room(&bench, "web=a:10.2.0.1,b:10.2.0.2", 3);
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		struct scene scene;
		struct err err = {0};
		scene_init(&scene, "10.2.0.254");
		scene_add_words(&scene, questions[i].words);
		cr_expect_eq(registry_check_room(bench.registry, scene.config, &err),
			     questions[i].code, "%s: %s", questions[i].words, err.message);
		config_unref(scene.config);
	}
	cr_expect_eq(registry_generation(bench.registry), 1);
	close_bench(&bench);
}

Test(registry_apply, snapshots_keep_what_they_were_made_from)
{
	struct bench bench;
	open(&bench, "web=a:10.2.0.1,b:10.2.0.2 @10.1.0.1>web");
	struct snapshot *old = scene_snapshot(&bench.scene);
	cr_assert_eq(apply(&bench, "api=c:10.2.0.3 @10.1.0.1>api"), 0);
	cr_assert_eq(apply(&bench, "db=d:10.2.0.4 @10.1.0.1>db"), 0);
	cr_expect_str_eq(old->backends[0].config->name, "a");
	cr_expect_str_eq(old->backends[0].pool_config->name, "web");
	cr_expect_str_eq(old->frontends[0].config->name, "10.1.0.1:80");
	cr_expect_eq(old->pools[0].n_members, 2);
	cr_expect_eq(old->pools[0].members[1], 1);
	struct scheduler_pick pick = {.snapshot = old, .pool = 0, .hash = 1U << 31};
	cr_expect_neq(scheduler_pick(generation_scheduler(old, SCENE_MAX_THREADS - 1, 0), &pick),
		      SCHEDULER_NO_BACKEND);
	struct snapshot *now = scene_snapshot(&bench.scene);
	cr_expect_str_eq(now->backends[0].config->name, "a", "it drains");
	cr_expect_str_eq(now->backends[now->pools[0].members[0]].config->name, "d");
	scene_fini(&bench.scene);
	cr_expect_str_eq(now->backends[0].config->name, "a");
	snapshot_destroy(old);
	snapshot_destroy(now);
}

Test(registry_apply, tables_are_built_anew_for_pools_that_change)
{
	struct bench bench;
	open(&bench, "web=a:10.2.0.1,b:10.2.0.2 api=c:10.2.0.3");
	struct snapshot *before = scene_snapshot(&bench.scene);
	cr_assert_eq(apply(&bench, "api=c:10.2.0.3 web=a:10.2.0.1,b:10.2.0.2*9"), 0);
	struct snapshot *after = scene_snapshot(&bench.scene);
	cr_expect_eq(after->pools[0].table, before->pools[1].table, "it only changed places");
	cr_expect_neq(after->pools[1].table, before->pools[0].table);
	snapshot_destroy(before);
	snapshot_destroy(after);
	close_bench(&bench);
}

Test(registry_apply, an_endpoint_keeps_its_ports)
{
	struct bench bench;
	open(&bench, "web=a:10.2.0.1,b:10.2.0.2 api=c:10.2.0.1");
	uint32_t id = registry_backend(bench.registry, 0)->endpoint_id;
	cr_expect_eq(registry_backend(bench.registry, 2)->endpoint_id, id, "two pools share them");
	cr_assert_eq(apply(&bench, "web=b:10.2.0.2"), 0);
	registry_give_back_backend(bench.registry, 0);
	registry_give_back_backend(bench.registry, 2);
	cr_assert_eq(apply(&bench, "web=b:10.2.0.2,x:10.2.0.77"), 0);
	cr_assert_eq(apply(&bench, "web=b:10.2.0.2,x:10.2.0.77,a:10.2.0.1"), 0);
	for (uint32_t i = 0; i < registry_n_backends(bench.registry); i++) {
		const struct snapshot_backend *b = registry_backend(bench.registry, i);
		if (b->config)
			cr_expect_eq(b->endpoint_id == id, b->config->name[0] == 'a');
	}
	close_bench(&bench);
}

// ---- what operators say ------------------------------------------------------------------------

Test(registry_apply, an_operator_drains_and_stops_backends)
{
	struct bench bench;
	open(&bench, "web=a:10.2.0.1*4,b:10.2.0.2");
	const struct snapshot_backend *a = registry_backend(bench.registry, 0);
	cr_assert_eq(registry_set_admin(bench.registry, 0, ADMIN_DRAIN), 0);
	cr_expect(a->is_up && a->weight == 0);
	cr_assert_eq(registry_set_admin(bench.registry, 0, ADMIN_MAINT), 0);
	cr_expect(!a->is_up && registry_is_healthy(bench.registry, 0));
	registry_set_up(bench.registry, 0, true);
	cr_expect(!a->is_up, "health does not bring it back");
	cr_assert_eq(registry_set_admin(bench.registry, 0, ADMIN_READY), 0);
	cr_expect(a->is_up && a->weight == 4);
	cr_assert_eq(registry_set_weight(bench.registry, 0, 9), 0);
	cr_expect_eq(a->weight, 9);
	cr_expect_eq(registry_weight_set(bench.registry, 0), 9);
	cr_assert_eq(registry_set_weight(bench.registry, 0, 0), 0);
	cr_expect_eq(a->weight, 0);
	cr_assert_eq(registry_set_weight(bench.registry, 0, REGISTRY_WEIGHT_CONFIGURED), 0);
	cr_expect_eq(a->weight, 4);
	close_bench(&bench);
}

Test(registry_apply, what_an_operator_said_is_of_a_name)
{
	struct bench bench;
	open(&bench, "web=a:10.2.0.1,b:10.2.0.2");
	cr_assert_eq(registry_set_admin(bench.registry, 0, ADMIN_DRAIN), 0);
	cr_assert_eq(registry_set_weight(bench.registry, 1, 7), 0);
	cr_assert_eq(apply(&bench, "web=a:10.2.0.99,b:10.2.0.2*3"), 0);
	const struct snapshot_backend *moved = registry_backend(bench.registry, 2);
	cr_expect_eq(moved->admin, ADMIN_DRAIN, "at another address");
	cr_expect_eq(registry_backend(bench.registry, 1)->weight, 7);
	cr_assert_eq(apply(&bench, "web=b:10.2.0.2"), 0);
	registry_give_back_backend(bench.registry, 0);
	registry_give_back_backend(bench.registry, 2);
	cr_assert_eq(apply(&bench, "web=x:10.2.0.50,a:10.2.0.1,b:10.2.0.2"), 0);
	for (uint32_t i = 0; i < registry_n_backends(bench.registry); i++) {
		const struct snapshot_backend *b = registry_backend(bench.registry, i);
		if (b->config)
			cr_expect_eq(b->admin == ADMIN_DRAIN, b->config->name[0] == 'a');
	}
	close_bench(&bench);
}

// ---- source addresses that routes bring ---------------------------------------------------------

// Speaks to the backend from the address that its route has.
static int speak_from(const struct bench *bench, uint32_t backend, const char *text)
{
	struct ip_addr addr;
	struct err err = {0};
	cr_assert(ip_addr_parse(text, &addr));
	int index = registry_add_snat(bench->registry, &addr, &err);
	cr_assert_geq(index, 0, "%s", err.message);
	struct snapshot_hop hop = {.state = HOP_READY, .source = addr};
	registry_set_hop(bench->registry, backend, &hop, UINT64_C(1) << index);
	return index;
}

static int find_snat(struct bench *bench, const char *text)
{
	struct ip_addr addr;
	cr_assert(ip_addr_parse(text, &addr));
	struct snapshot *snapshot = scene_snapshot(&bench->scene);
	int index = snapshot_find_snat(snapshot, &addr);
	snapshot_destroy(snapshot);
	return index;
}

Test(registry_apply, source_addresses_of_routes_go_with_the_last_backend_that_had_them)
{
	struct bench bench = {0};
	scene_init(&bench.scene, "10.2.0.254");
	scene_add_words(&bench.scene, "web=a:10.2.0.1,b:10.2.0.2,c:10.2.0.3,d:10.2.0.4");
	bench.scene.config->passthrough.n_snat_addrs = 0;
	cr_assert_eq(registry_create(&bench.registry, bench.scene.config, 1, 1, &bench.err), 0);
	bench.scene.registry = bench.registry;
	cr_expect_eq(speak_from(&bench, 0, "10.2.0.101"), 0);
	cr_expect_eq(speak_from(&bench, 1, "10.2.0.102"), 1);
	cr_expect_eq(speak_from(&bench, 2, "10.2.0.101"), 0);
	cr_expect_eq(speak_from(&bench, 3, "10.2.0.104"), 2);
	cr_expect_eq(speak_from(&bench, 3, "10.2.0.105"), 3); // its route is another one by now
	cr_assert_eq(apply(&bench, "web=c:10.2.0.3,d:10.2.0.4"), 0);
	cr_expect_eq(find_snat(&bench, "10.2.0.102"), 1, "it drains");
	registry_give_back_backend(bench.registry, 1);
	cr_expect_eq(find_snat(&bench, "10.2.0.102"), -1);
	registry_give_back_backend(bench.registry, 0);
	cr_expect_eq(find_snat(&bench, "10.2.0.101"), 0, "another has it");
	cr_expect_eq(find_snat(&bench, "10.2.0.104"), 2, "flows of before may have it");
	// The place is for the next one.
	cr_expect_eq(speak_from(&bench, 2, "10.2.0.103"), 1);
	cr_assert_eq(apply(&bench, "web=c:10.2.0.3"), 0);
	registry_give_back_backend(bench.registry, 3);
	struct snapshot *snapshot = scene_snapshot(&bench.scene);
	cr_expect_eq(snapshot->n_snats, 2);
	snapshot_destroy(snapshot);
	close_bench(&bench);
}

Test(registry_apply, configured_source_addresses_stay)
{
	struct bench bench;
	open(&bench, "web=a:10.2.0.1,b:10.2.0.2");
	cr_assert_eq(apply(&bench, "web=a:10.2.0.1"), 0);
	registry_give_back_backend(bench.registry, 1);
	cr_expect_eq(find_snat(&bench, "10.2.0.254"), 0);
	close_bench(&bench);
}
