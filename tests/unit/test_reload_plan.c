// SPDX-License-Identifier: Apache-2.0
// What a plan says of two configurations: changes, slots, what needs a restart.
#include "reload_plan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/scene_words.h"
#include "config/schema.h"
#include "culvert/config/compare.h"
#include "reload.h"

struct bench {
	struct scene before;
	struct scene after;
	struct reload_plan plan;
};

static void begin(struct bench *bench, const char *before, const char *after)
{
	*bench = (struct bench){0};
	scene_init(&bench->before, "10.2.0.254");
	scene_init(&bench->after, "10.2.0.254");
	scene_add_words(&bench->before, before);
	scene_add_words(&bench->after, after);
	scene_build(&bench->before);
}

static void make(struct bench *bench)
{
	struct err err = {0};
	uint64_t flows[256];
	for (uint64_t i = 0; i < 256; i++)
		flows[i] = 10 + i;
	cr_assert_eq(reload_plan_make(&bench->plan, bench->before.registry, bench->after.config,
				      flows, &err),
		     0, "%s", err.message);
}

static void end(struct bench *bench)
{
	reload_plan_fini(&bench->plan);
	scene_fini(&bench->before);
	scene_fini(&bench->after);
}

// "added backend web/b (10.2.0.2:80); ..."
static const char *describe(const struct bench *bench, char *text)
{
	char *at = text;
	*at = '\0';
	for (size_t i = 0; i < bench->plan.n_changes; i++) {
		const struct reload_change *change = &bench->plan.changes[i];
		at += sprintf(at, "%s%s %s %s (%s)", i ? "; " : "",
			      reload_change_name(change->kind),
			      reload_subject_name(change->subject), change->name, change->detail);
	}
	return text;
}

Test(reload_plan, names_what_changes)
{
	static const struct {
		const char *before;
		const char *after;
		const char *changes;
		uint64_t n_flows;
	} cases[] = {
		{"web=a:10.2.0.1 @10.1.0.1>web", "web=a:10.2.0.1 @10.1.0.1>web", "", 0},
		{"web=a:10.2.0.1", "web=a:10.2.0.1,b:10.2.0.2", "added backend web/b (10.2.0.2:80)",
		 0},
		{"web=a:10.2.0.1,b:10.2.0.2", "web=a:10.2.0.1",
		 "removed backend web/b (10.2.0.2:80)", 11},
		{"web=a:10.2.0.1", "web=a:10.2.0.1*7", "changed backend web/a (weight 1 → 7)", 0},
		{"web=a:10.2.0.1", "web=a:10.2.0.9",
		 "added backend web/a (10.2.0.9:80); removed backend web/a (10.2.0.1:80)", 10},
		{"web=a:10.2.0.1 api=b:10.2.0.2", "api=b:10.2.0.2 web=a:10.2.0.1", "", 0},
		{"web=a:10.2.0.1", "web=a:10.2.0.1 api=b:10.2.0.2",
		 "added pool api (); added backend api/b (10.2.0.2:80)", 0},
		{"web=a:10.2.0.1 api=b:10.2.0.2", "web=a:10.2.0.1",
		 "removed pool api (); removed backend api/b (10.2.0.2:80)", 11},
		{"web=a:10.2.0.1 @10.1.0.1>web", "web=a:10.2.0.1 @10.1.0.1>web @10.1.0.2>web",
		 "added frontend 10.1.0.2:80 (10.1.0.2:80)", 0},
		{"web=a:10.2.0.1 @10.1.0.1>web", "web=a:10.2.0.1",
		 "removed frontend 10.1.0.1:80 (10.1.0.1:80)", 0},
		{"web=a:10.2.0.1 api=a:10.2.0.1 @10.1.0.1>web",
		 "web=a:10.2.0.1 api=a:10.2.0.1 @10.1.0.1>api",
		 "changed frontend 10.1.0.1:80 (backend web → api)", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench bench;
		char text[1024];
		begin(&bench, cases[i].before, cases[i].after);
		make(&bench);
		cr_expect_str_eq(describe(&bench, text), cases[i].changes, "%s => %s: %s",
				 cases[i].before, cases[i].after, text);
		cr_expect_eq(bench.plan.n_flows, cases[i].n_flows, "%s", cases[i].changes);
		cr_expect_eq(bench.plan.n_obstacles, 0);
		end(&bench);
	}
}

Test(reload_plan, its_summary_counts_as_people_do)
{
	static const struct {
		struct reload_plan plan;
		const char *summary;
	} cases[] = {
		{{.slots_moved = 34952, .slots_total = 65537},
		 "34,952 of 65,537 slots move, 0 flows drain"},
		{{.slots_total = 251, .n_flows = 1}, "0 of 251 slots move, 1 flow drains"},
		{{.n_flows = 1234567}, "0 of 0 slots move, 1,234,567 flows drain"},
	};
	char text[256];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_str_eq(reload_plan_summary(&cases[i].plan, text, sizeof(text)),
				 cases[i].summary, "%s", text);
}

Test(reload_plan, a_frontend_of_the_same_name_moves)
{
	struct bench bench;
	char text[1024];
	begin(&bench, "web=a:10.2.0.1 @10.1.0.1>web", "web=a:10.2.0.1 @10.1.0.2>web");
	free(bench.after.config->frontends[0].name);
	bench.after.config->frontends[0].name = strdup("10.1.0.1:80");
	make(&bench);
	cr_expect_str_eq(describe(&bench, text),
			 "moved frontend 10.1.0.1:80 (10.1.0.1:80 → 10.1.0.2:80)", "%s", text);
	end(&bench);
}

// A fifth of the slots was the removed one's, and consistent hashing moves few others.
Test(reload_plan, counts_the_slots_that_will_move)
{
	struct bench bench;
	const char *four = "web=a:10.2.0.1,b:10.2.0.2,c:10.2.0.3,d:10.2.0.4 @10.1.0.1>web";
	const char *five =
		"web=a:10.2.0.1,b:10.2.0.2,c:10.2.0.3,d:10.2.0.4,e:10.2.0.5 @10.1.0.1>web";
	for (int is_adding = 0; is_adding < 2; is_adding++) {
		begin(&bench, is_adding ? four : five, is_adding ? five : four);
		make(&bench);
		cr_expect_eq(bench.plan.slots_total, 251);
		double disruption = reload_plan_disruption(&bench.plan);
		cr_expect(disruption >= 0.19 && disruption < 0.4, "%g", disruption);
		// It is what happens.
		struct snapshot *old = scene_snapshot(&bench.before);
		struct registry *registry = bench.before.registry;
		cr_assert_eq(registry_apply(registry, bench.after.config, 0, NULL), 0);
		for (uint32_t i = 0; i < registry_n_backends(registry); i++)
			registry_set_up(registry, i, true);
		struct snapshot *now = scene_snapshot(&bench.before);
		uint64_t n_moved = 0;
		for (uint32_t i = 0; i < 251; i++)
			n_moved += old->pools[0].table->slots[i] != now->pools[0].table->slots[i];
		cr_expect_eq(n_moved, bench.plan.slots_moved);
		snapshot_destroy(old);
		snapshot_destroy(now);
		end(&bench);
	}
}

Test(reload_plan, backends_that_nobody_uses_move_nothing)
{
	struct bench bench;
	begin(&bench, "web=a:10.2.0.1,b:10.2.0.2 @10.1.0.1>web", "web=a:10.2.0.1 @10.1.0.1>web");
	registry_set_up(bench.before.registry, 1, false);
	make(&bench);
	cr_expect_eq(bench.plan.slots_moved, 0);
	cr_expect_eq(bench.plan.slots_total, 251);
	end(&bench);
}

Test(reload_plan, an_operators_word_counts)
{
	struct bench bench;
	begin(&bench, "web=a:10.2.0.1,b:10.2.0.2 @10.1.0.1>web",
	      "web=a:10.2.0.1,b:10.2.0.2*9 @10.1.0.1>web");
	cr_assert_eq(registry_set_admin(bench.before.registry, 1, ADMIN_DRAIN), 0);
	make(&bench);
	cr_expect_eq(bench.plan.slots_moved, 0);
	end(&bench);
}

// web/b has been left out with an order, and the next file has it again.
Test(reload_plan, who_comes_back_is_as_it_was_set_by_hand)
{
	static const struct {
		enum admin_state admin;
		int32_t weight;
		const char *by_hand; // NULL: nothing
		const char *changes;
	} cases[] = {
		{ADMIN_READY, REGISTRY_WEIGHT_CONFIGURED, NULL,
		 "added backend web/b (10.2.0.2:80)"},
		{ADMIN_MAINT, REGISTRY_WEIGHT_CONFIGURED, "maint",
		 "added backend web/b (10.2.0.2:80, still set by hand: maint)"},
		{ADMIN_DRAIN, 5, "drain, weight 5",
		 "added backend web/b (10.2.0.2:80, still set by hand: drain, weight 5)"},
		{ADMIN_READY, 0, "weight 0",
		 "added backend web/b (10.2.0.2:80, still set by hand: weight 0)"},
	};
	const char *two = "web=a:10.2.0.1,b:10.2.0.2 @10.1.0.1>web";
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench bench;
		struct scene without;
		char text[1024];
		bool is_gone = i % 2;
		scene_init(&without, "10.2.0.254");
		scene_add_words(&without, "web=a:10.2.0.1 @10.1.0.1>web");
		begin(&bench, two, two);
		struct registry *registry = bench.before.registry;
		registry_set_admin(registry, 1, cases[i / 2].admin);
		registry_set_weight(registry, 1, cases[i / 2].weight);
		cr_assert_eq(registry_apply(registry, without.config, 1, NULL), 0);
		if (is_gone)
			registry_give_back_backend(registry, 1);
		make(&bench);
		cr_expect_str_eq(describe(&bench, text), cases[i / 2].changes, "%s", text);
		const char *by_hand = bench.plan.changes[0].by_hand;
		cr_expect_str_eq(by_hand ? by_hand : "-",
				 cases[i / 2].by_hand ? cases[i / 2].by_hand : "-");
		bool takes_none = cases[i / 2].admin != ADMIN_READY || cases[i / 2].weight == 0;
		cr_expect_eq(bench.plan.slots_moved == 0, takes_none, "%zu", i);
		end(&bench);
		config_unref(without.config);
	}
}

// ---- what only a restart can change ------------------------------------------------------------

// All settings but these are laid down at the start.
static bool may_change(const char *section, const char *key)
{
	static const char *const keys[] = {
		"log.level",
		"reload.drain_timeout",
		"reload.max_disruption",
		// A thread of proxy mode looks at these for each session.
		"proxy.connect_timeout",
		"proxy.client_timeout",
		"proxy.idle_timeout",
		"proxy.header_timeout",
		"proxy.drain_timeout",
		"proxy.retries",
		"proxy.max_connections",
		"proxy.on_full",
		"proxy.tcp_keepalive",
		"proxy.tcp_fast_open",
		"proxy.splice",
		"proxy.source_addrs",
	};
	char name[128];
	snprintf(name, sizeof(name), "%s%s%s", section, section[0] ? "." : "", key);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i], name) == 0)
			return true;
	}
	return false;
}

Test(reload_plan, the_schema_says_which_settings_can_change)
{
	for (size_t i = 0; i < schema_root.n_keys; i++) {
		const struct schema_key *section = &schema_root.keys[i];
		if (section->kind != SCHEMA_TABLE)
			cr_expect_not(section->can_change, "%s", section->name);
		for (size_t k = 0; section->kind == SCHEMA_TABLE && k < section->table->n_keys;
		     k++) {
			const struct schema_key *key = &section->table->keys[k];
			cr_expect_eq(key->can_change, may_change(section->name, key->name), "%s.%s",
				     section->name, key->name);
		}
	}
}

Test(reload_plan, what_needs_a_restart_is_named_with_both_values)
{
	struct bench bench;
	const char *words = "web=a:10.2.0.1 @10.1.0.1>web";
	begin(&bench, words, words);
	struct config *after = bench.after.config;
	after->passthrough.workers = 3;
	after->passthrough.nat_port_max = 40500;
	after->timeouts.udp = 7;
	scene_add_snat(&bench.after, "10.2.0.253");
	after->reload.drain_timeout_ms = 1500;
	make(&bench);
	static const struct {
		const char *key;
		const char *words;
	} expected[] = {
		{"passthrough.workers", "from 0 to 3"},
		{"passthrough.snat_addrs", "[\"10.2.0.254\"] to [\"10.2.0.254\", \"10.2.0.253\"]"},
		{"passthrough.nat_ports", "from 40000-40999 to 40000-40500"},
		{"timeouts.udp", "from 300 to 7"},
	};
	cr_assert_eq(bench.plan.n_obstacles, 4);
	for (size_t i = 0; i < 4; i++) {
		const struct reload_obstacle *obstacle = &bench.plan.obstacles[i];
		cr_expect_str_eq(obstacle->key, expected[i].key);
		cr_expect(strstr(obstacle->message, expected[i].words), "%s", obstacle->message);
	}
	cr_assert_eq(bench.plan.n_changes, 1);
	cr_expect_str_eq(bench.plan.changes[0].name, "reload.drain_timeout");
	cr_expect_str_eq(bench.plan.changes[0].detail, "0 → 1.5");
	end(&bench);
}

// A message may quote a file that is not, or be cut within a character.
Test(reload_plan, what_is_wrong_is_told_even_if_it_is_not_utf8)
{
	struct err err = {.file = "/etc/\xe9.toml", .line = 7, .message = "no \xff here"};
	struct reload_result result = {
		.outcome = RELOAD_REFUSED,
		.errors = {.list = &err, .count = 1},
		.summary = "cut \xc3",
	};
	json_t *told = reload_result_json(&result);
	const char *summary = NULL;
	const char *file = NULL;
	const char *message = NULL;
	cr_assert_eq(json_unpack(told, "{s:{s:s}, s:[{s:s, s:s}]}", "error", "message", &summary,
				 "errors", "file", &file, "message", &message),
		     0);
	cr_expect_str_eq(summary, "cut ?");
	cr_expect_str_eq(file, "/etc/?.toml");
	cr_expect_str_eq(message, "no ? here");
	json_decref(told);
}
