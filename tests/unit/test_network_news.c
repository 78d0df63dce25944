// SPDX-License-Identifier: Apache-2.0
// What is told of the ways to backends, over a registry without a network.
#include "network_news.h"

#include <criterion/criterion.h>
#include <jansson.h>

#include "../support/lib/scene_words.h"

struct bench {
	struct scene scene;
	struct config config; // the scene's, with an interface named
	struct topology topology;
	struct events *events;
	struct network_news *news;
};

static void begin(struct bench *bench, const char *words)
{
	static char name[] = "eth0"; // with interfaces named nobody looks for addresses
	static char *names[] = {name};
	struct err err = {0};
	*bench = (struct bench){0};
	scene_init(&bench->scene, "10.2.0.254");
	scene_add_words(&bench->scene, words);
	bench->scene.config->reload.max_backends = 4;
	scene_build(&bench->scene);
	bench->config = *bench->scene.config;
	bench->config.passthrough.interfaces = names;
	bench->config.passthrough.n_interfaces = 1;
	bench->topology = (struct topology){
		.config = &bench->config,
		.registry = bench->scene.registry,
		.names = {"front", "back"},
	};
	cr_assert_eq(events_create(&bench->events, &err), 0, "%s", err.message);
	cr_assert_eq(network_news_create(&bench->news, &bench->topology, bench->events, &err), 0,
		     "%s", err.message);
}

static void end(struct bench *bench)
{
	network_news_destroy(bench->news);
	events_destroy(bench->events);
	scene_fini(&bench->scene);
}

static void apply(struct bench *bench, const char *words)
{
	struct scene scene;
	struct err err = {0};
	scene_init(&scene, "10.2.0.254");
	scene_add_words(&scene, words);
	cr_assert_eq(registry_apply(bench->scene.registry, scene.config, 0, &err), 0, "%s",
		     err.message);
	config_unref(scene.config);
}

static void set_hop(struct bench *bench, uint32_t backend, enum hop_state state)
{
	const struct snapshot_hop hop = {.state = state, .link = SCENE_BACK};
	registry_set_hop(bench->scene.registry, backend, &hop, 1);
	network_news_look(bench->news);
}

static size_t n_told(const struct bench *bench)
{
	json_t *all = events_to_json(bench->events, EVENTS_KEPT);
	size_t n = json_array_size(json_object_get(all, "events"));
	json_decref(all);
	return n;
}

static void expect_last(const struct bench *bench, const char *subject, const char *text)
{
	json_t *all = events_to_json(bench->events, 1);
	const json_t *event = json_array_get(json_object_get(all, "events"), 0);
	cr_expect_str_eq(json_string_value(json_object_get(event, "subject")), subject);
	cr_expect_str_eq(json_string_value(json_object_get(event, "text")), text);
	json_decref(all);
}

Test(network_news, a_backend_that_is_lost_and_found)
{
	struct bench bench;
	begin(&bench, "web=a:10.2.0.1 @10.1.0.1>web");
	cr_expect_eq(n_told(&bench), 0, "how things are at first is no news");
	set_hop(&bench, 0, HOP_UNRESOLVED);
	expect_last(&bench, "web/a", "cannot be reached: its next hop does not answer");
	set_hop(&bench, 0, HOP_NO_ROUTE);
	cr_expect_eq(n_told(&bench), 1, "it is as lost as before");
	set_hop(&bench, 0, HOP_READY);
	expect_last(&bench, "web/a", "can be reached again, by back");
	cr_expect_eq(n_told(&bench), 2);
	end(&bench);
}

Test(network_news, whoever_gets_a_slot_has_lost_nothing)
{
	struct bench bench;
	begin(&bench, "web=a:10.2.0.1,b:10.2.0.2 @10.1.0.1>web");
	apply(&bench, "web=b:10.2.0.2 @10.1.0.1>web");
	network_news_look(bench.news);
	network_news_forget(bench.news, 0);
	registry_give_back_backend(bench.scene.registry, 0);
	apply(&bench, "web=b:10.2.0.2,c:10.2.0.3 @10.1.0.1>web");
	cr_assert_str_eq(registry_backend(bench.scene.registry, 0)->config->name, "c");
	set_hop(&bench, 0, HOP_UNRESOLVED);
	cr_expect_eq(n_told(&bench), 0);
	set_hop(&bench, 0, HOP_READY);
	cr_expect_eq(n_told(&bench), 0);
	end(&bench);
}
