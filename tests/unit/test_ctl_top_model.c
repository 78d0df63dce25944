// SPDX-License-Identifier: Apache-2.0
#include "ctl/top_model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "culvert/base/clock.h"

static json_t *backend(const char *pool, const char *name, const char *health, int now, int total)
{
	return json_pack("{s:s+,s:s,s:s,s:{s:i,s:i},s:{s:i,s:i}}", "name", name, "", "pool", pool,
			 "health", health, "connections", "current", now, "total", total, "bytes",
			 "rx", total * 1000, "tx", total * 10);
}

static struct top_answers answers(json_t *first, json_t *second, int total)
{
	return (struct top_answers){
		.status = json_object(),
		.frontends = json_pack("{s:[{s:s,s:{s:i,s:i},s:{s:i,s:i}}]}", "frontends", "name",
				       "web", "connections", "current", 3, "total", total, "bytes",
				       "rx", 0, "tx", 0),
		.backends = json_pack("{s:[o,o],s:[{s:s},{s:s}]}", "backends", first, second,
				      "pools", "name", "web", "name", "mail"),
	};
}

static void update(struct top_model *model, struct top_answers now, uint64_t seconds)
{
	cr_assert(top_model_update(model, &now, seconds * NS_PER_SEC));
}

// Second 5: two servers up, with 10 and 20 connections so far, and 30 of the frontend.
static struct top_model begin(void)
{
	struct top_model model = {0};
	update(&model,
	       answers(backend("web", "web/a", "up", 1, 10), backend("web", "web/b", "up", 2, 20),
		       30),
	       5);
	return model;
}

Test(ctl_top_model, rates_are_the_counters_differences_by_time)
{
	struct top_model model = begin();
	cr_assert_eq(model.servers.count, 2);
	cr_expect(isnan(model.servers.list[0].numbers.new_per_s), "there is nothing before it");
	cr_expect(isnan(model.pools.list[0].numbers.in_per_s));
	update(&model,
	       answers(backend("web", "web/a", "up", 4, 30), backend("web", "web/b", "down", 0, 20),
		       50),
	       7);
	const struct top_numbers *a = &model.servers.list[0].numbers;
	cr_expect_float_eq(a->now, 4, 0.001);
	cr_expect_float_eq(a->new_per_s, 10, 0.001);
	cr_expect_float_eq(a->in_per_s, 100, 0.001);
	cr_expect_float_eq(a->out_per_s, 10000, 0.001);
	cr_expect_float_eq(model.servers.list[1].numbers.new_per_s, 0, 0.001);
	cr_expect_float_eq(model.total.new_per_s, 10, 0.001);
	top_model_fini(&model);
}

Test(ctl_top_model, counters_that_went_back_have_no_rate)
{
	struct top_model model = begin();
	update(&model,
	       answers(backend("web", "web/a", "up", 1, 3), backend("web", "web/b", "up", 2, 21),
		       1),
	       6);
	cr_expect(isnan(model.servers.list[0].numbers.new_per_s));
	cr_expect(isnan(model.total.new_per_s));
	cr_expect_float_eq(model.servers.list[1].numbers.new_per_s, 1, 0.001);
	top_model_fini(&model);
}

Test(ctl_top_model, servers_are_followed_by_name_not_by_place)
{
	struct top_model model = begin();
	update(&model,
	       answers(backend("web", "web/c", "up", 1, 99), backend("web", "web/a", "up", 2, 12),
		       30),
	       6);
	cr_expect(isnan(model.servers.list[0].numbers.new_per_s), "c is new");
	cr_expect_float_eq(model.servers.list[1].numbers.new_per_s, 2, 0.001);
	top_model_fini(&model);
}

Test(ctl_top_model, pools_are_the_sums_of_their_servers)
{
	struct top_model model = {0};
	update(&model,
	       answers(backend("web", "web/a", "up", 1, 10), backend("web", "web/b", "down", 2, 20),
		       30),
	       5);
	const struct top_row *web = &model.pools.list[0];
	const struct top_row *mail = &model.pools.list[1];
	cr_expect_eq(web->n_servers, 2);
	cr_expect_eq(web->n_up, 1);
	cr_expect_float_eq(web->numbers.now, 3, 0.001);
	cr_expect_eq(mail->n_servers, 0);
	cr_expect(isnan(mail->numbers.now));
	top_model_fini(&model);
}

Test(ctl_top_model, pools_count_the_servers_they_have_and_can_use)
{
	static const struct {
		const char *state;
		const char *health;
		size_t n_up;
		size_t n_servers;
	} cases[] = {
		{"ready", "up", 2, 2},     {"ready", "unchecked", 2, 2}, {"ready", "unknown", 1, 2},
		{"drain", "up", 2, 2},     {"maint", "up", 1, 2},        {"removed", "up", 1, 1},
		{"removed", "down", 1, 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct top_model model = {0};
		json_t *other = backend("web", "web/b", cases[i].health, 2, 20);
		json_object_set_new(other, "state", json_string(cases[i].state));
		update(&model, answers(backend("web", "web/a", "up", 1, 10), other, 30), 5);
		const struct top_row *web = &model.pools.list[0];
		cr_expect_eq(web->n_up, cases[i].n_up, "%s, %s: %zu", cases[i].state,
			     cases[i].health, web->n_up);
		cr_expect_eq(web->n_servers, cases[i].n_servers);
		cr_expect_float_eq(web->numbers.now, 3, 0.001, "what drains is of the pool still");
		top_model_fini(&model);
	}
}

Test(ctl_top_model, answers_of_another_shape_are_empty)
{
	struct top_model model = {0};
	struct top_answers strange = {
		.status = json_array(),
		.frontends = json_pack("{s:s}", "frontends", "none"),
		.backends = json_pack("{s:[i,{s:i},{s:s}]}", "backends", 7, "name", 8, "name", "x"),
	};
	update(&model, strange, 1);
	cr_expect_eq(model.pools.count, 0);
	cr_assert_eq(model.servers.count, 1);
	cr_expect_str_eq(model.servers.list[0].name, "x");
	cr_expect(isnan(model.servers.list[0].numbers.now));
	top_model_fini(&model);
}

static void expect_order(struct top_rows *rows, enum top_sort sort, bool is_reversed,
			 const char *names)
{
	char found[16] = "";
	top_rows_sort(rows, sort, is_reversed);
	for (size_t i = 0; i < rows->count; i++)
		strcat(found, rows->list[i].name);
	cr_expect_str_eq(found, names);
}

Test(ctl_top_model, rows_are_sorted_and_the_unknown_is_last)
{
	struct top_row list[] = {
		{.name = "b10", .numbers = {.now = 1, .new_per_s = NAN}},
		{.name = "b9", .numbers = {.now = 5, .new_per_s = 1}},
		{.name = "a", .numbers = {.now = 1, .new_per_s = 7}},
	};
	struct top_rows rows = {list, 3};
	expect_order(&rows, TOP_BY_NAME, false, "ab9b10");
	expect_order(&rows, TOP_BY_NAME, true, "b10b9a");
	expect_order(&rows, TOP_BY_NOW, false, "b9ab10");
	expect_order(&rows, TOP_BY_NOW, true, "ab10b9");
	expect_order(&rows, TOP_BY_NEW, false, "ab9b10");
	expect_order(&rows, TOP_BY_NEW, true, "b9ab10");
}
