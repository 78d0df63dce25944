// SPDX-License-Identifier: Apache-2.0
#include "ctl/top_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/field.h"
#include "culvert/base/clock.h"

static const struct top_numbers nothing = {NAN, NAN, NAN, NAN};

// Counters that went back have begun anew: culvert was started again.
static double rate(const json_t *now, const json_t *before, const char *path, double seconds)
{
	double value;
	double earlier;
	if (!field_number(now, path, &value) || !field_number(before, path, &earlier) ||
	    seconds <= 0 || value < earlier)
		return NAN;
	return (value - earlier) / seconds;
}

static struct top_numbers measure(const json_t *now, const json_t *before, double seconds)
{
	return (struct top_numbers){
		.now = field_number_or(now, "connections.current", NAN),
		.new_per_s = rate(now, before, "connections.total", seconds),
		.in_per_s = rate(now, before, "bytes.tx", seconds),
		.out_per_s = rate(now, before, "bytes.rx", seconds),
	};
}

static double plus(double sum, double part)
{
	if (isnan(sum))
		return part;
	return isnan(part) ? sum : sum + part;
}

static void add(struct top_numbers *sum, const struct top_numbers *part)
{
	sum->now = plus(sum->now, part->now);
	sum->new_per_s = plus(sum->new_per_s, part->new_per_s);
	sum->in_per_s = plus(sum->in_per_s, part->in_per_s);
	sum->out_per_s = plus(sum->out_per_s, part->out_per_s);
}

// The objects of a list by their names. NULL without memory.
static json_t *index_by_name(const json_t *answer, const char *list)
{
	size_t i;
	json_t *object;
	json_t *index = json_object();
	json_array_foreach(field_list(answer, list), i, object)
	{
		const char *name = field_text(object, "name");
		if (name && json_object_set(index, name, object)) {
			json_decref(index);
			return NULL;
		}
	}
	return index;
}

static bool make_rows(struct top_rows *rows, const json_t *list)
{
	*rows = (struct top_rows){calloc(json_array_size(list) + 1, sizeof(*rows->list)), 0};
	return rows->list != NULL;
}

static void fill_servers(struct top_rows *rows, const json_t *list, const json_t *before,
			 double seconds)
{
	size_t i;
	json_t *object;
	json_array_foreach(list, i, object)
	{
		const char *name = field_text(object, "name");
		if (!name)
			continue;
		rows->list[rows->count++] = (struct top_row){
			.name = name,
			.pool = field_text_or(object, "pool", ""),
			.object = object,
			.numbers = measure(object, json_object_get(before, name), seconds),
		};
	}
}

// As GET /stats counts them: of the configuration, and up, also when an operator has it drained.
static bool is_removed(const json_t *server)
{
	return strcmp(field_text_or(server, "state", ""), "removed") == 0;
}

static bool is_up(const json_t *server)
{
	const char *health = field_text_or(server, "health", "");
	return (strcmp(health, "up") == 0 || strcmp(health, "unchecked") == 0) &&
	       strcmp(field_text_or(server, "state", ""), "maint") != 0;
}

static void fill_pools(struct top_rows *pools, const json_t *list, const struct top_rows *servers)
{
	size_t i;
	json_t *object;
	json_array_foreach(list, i, object)
	{
		const char *name = field_text(object, "name");
		if (!name)
			continue;
		struct top_row *pool = &pools->list[pools->count++];
		*pool = (struct top_row){.name = name,
					 .pool = name,
					 .object = object,
					 .numbers = nothing};
		for (size_t j = 0; j < servers->count; j++) {
			const struct top_row *server = &servers->list[j];
			if (strcmp(server->pool, name) != 0)
				continue;
			add(&pool->numbers, &server->numbers);
			if (is_removed(server->object))
				continue;
			pool->n_servers++;
			pool->n_up += is_up(server->object);
		}
	}
}

static struct top_numbers measure_total(const struct top_answers *answers, const json_t *before,
					double seconds)
{
	size_t i;
	json_t *object;
	struct top_numbers total = nothing;
	json_array_foreach(field_list(answers->frontends, "frontends"), i, object)
	{
		struct top_numbers part =
			measure(object, json_object_get(before, field_text_or(object, "name", "")),
				seconds);
		add(&total, &part);
	}
	return total;
}

void top_model_fini(struct top_model *model)
{
	json_decref(model->answers.status);
	json_decref(model->answers.frontends);
	json_decref(model->answers.backends);
	free(model->servers.list);
	free(model->pools.list);
	*model = (struct top_model){0};
}

bool top_model_update(struct top_model *model, const struct top_answers *answers, uint64_t now_ns)
{
	struct top_model next = {.answers = *answers, .time_ns = now_ns};
	const json_t *servers = field_list(answers->backends, "backends");
	const json_t *pools = field_list(answers->backends, "pools");
	double seconds = (double)(now_ns - model->time_ns) / (double)NS_PER_SEC;
	json_t *servers_before = index_by_name(model->answers.backends, "backends");
	json_t *frontends_before = index_by_name(model->answers.frontends, "frontends");
	bool is_good = servers_before && frontends_before && make_rows(&next.servers, servers) &&
		       make_rows(&next.pools, pools);
	if (is_good) {
		fill_servers(&next.servers, servers, servers_before, seconds);
		fill_pools(&next.pools, pools, &next.servers);
		next.total = measure_total(answers, frontends_before, seconds);
		top_model_fini(model);
		*model = next;
	} else {
		top_model_fini(&next);
	}
	json_decref(servers_before);
	json_decref(frontends_before);
	return is_good;
}

struct order {
	enum top_sort sort;
	bool is_reversed;
};

static double key_of(const struct top_row *row, enum top_sort sort)
{
	switch (sort) {
	case TOP_BY_NOW:
		return row->numbers.now;
	case TOP_BY_NEW:
		return row->numbers.new_per_s;
	case TOP_BY_IN:
		return row->numbers.in_per_s;
	case TOP_BY_OUT:
		return row->numbers.out_per_s;
	case TOP_BY_NAME:
		break;
	}
	return 0;
}

static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct top_row *left = a;
	const struct top_row *right = b;
	const struct order *order = arg;
	int by_name = strverscmp(left->name, right->name);
	if (order->sort == TOP_BY_NAME)
		return order->is_reversed ? -by_name : by_name;
	double left_key = key_of(left, order->sort);
	double right_key = key_of(right, order->sort);
	if (isnan(left_key) != isnan(right_key))
		return isnan(left_key) ? 1 : -1;
	int by_key = (left_key < right_key) - (left_key > right_key);
	if (by_key == 0)
		return by_name;
	return order->is_reversed ? -by_key : by_key;
}

void top_rows_sort(struct top_rows *rows, enum top_sort sort, bool is_reversed)
{
	struct order order = {sort, is_reversed};
	if (rows->count > 1)
		qsort_r(rows->list, rows->count, sizeof(*rows->list), compare_rows, &order);
}
