// SPDX-License-Identifier: Apache-2.0
// What a reload has done or would do, as the API says it. A member that memory was short for is
// left out.
#include "culvert/base/clock.h"
#include "culvert/control/api_json.h"
#include "reload.h"

enum { HTTP_STATUS_OK = 200, HTTP_STATUS_UNPROCESSABLE = 422 };

static void put(json_t *object, const char *key, json_t *value)
{
	(void)json_object_set_new(object, key, value);
}

static json_t *changes_json(const struct reload_plan *plan)
{
	json_t *list = json_array();
	for (size_t i = 0; i < plan->n_changes; i++) {
		const struct reload_change *change = &plan->changes[i];
		json_t *item = json_object();
		put(item, "change", json_string(reload_change_name(change->kind)));
		put(item, "what", json_string(reload_subject_name(change->subject)));
		put(item, "name", api_text_to_json(change->name));
		put(item, "detail", api_text_to_json(change->detail));
		(void)json_array_append_new(list, item);
	}
	return list;
}

static json_t *obstacles_json(const struct reload_plan *plan)
{
	json_t *list = json_array();
	for (size_t i = 0; i < plan->n_obstacles; i++) {
		json_t *item = json_object();
		put(item, "key", json_string(plan->obstacles[i].key));
		put(item, "message", api_text_to_json(plan->obstacles[i].message));
		(void)json_array_append_new(list, item);
	}
	return list;
}

static json_t *plan_json(const struct reload_result *result)
{
	const struct reload_plan *plan = &result->plan;
	if (!result->has_plan)
		return json_null();
	json_t *object = json_object();
	json_t *slots = json_object();
	put(slots, "moved", json_integer((json_int_t)plan->slots_moved));
	put(slots, "total", json_integer((json_int_t)plan->slots_total));
	put(object, "changes", changes_json(plan));
	put(object, "slots", slots);
	put(object, "flows_touched", json_integer((json_int_t)plan->n_flows));
	put(object, "needs_restart", obstacles_json(plan));
	put(object, "disruption", json_real(reload_plan_disruption(plan)));
	put(object, "max_disruption", json_real(result->max_disruption));
	return object;
}

static json_t *errors_json(const struct config_errors *errors)
{
	json_t *list = json_array();
	for (size_t i = 0; i < errors->count; i++) {
		const struct err *err = &errors->list[i];
		json_t *item = json_object();
		put(item, "file", api_text_to_json(err->file));
		put(item, "line", json_integer(err->line));
		put(item, "column", json_integer(err->column));
		put(item, "message", api_text_to_json(err->message));
		(void)json_array_append_new(list, item);
	}
	return list;
}

json_t *reload_result_json(const struct reload_result *result)
{
	json_t *object = json_object();
	if (result->outcome >= RELOAD_REFUSED) {
		json_t *error = json_object();
		put(error, "message", api_text_to_json(result->summary));
		put(object, "error", error);
		put(object, "errors", errors_json(&result->errors));
	} else {
		put(object, "result", json_string(reload_outcome_name(result->outcome)));
	}
	put(object, "plan", plan_json(result));
	return object;
}

int reload_result_status(const struct reload_result *result)
{
	return result->outcome >= RELOAD_REFUSED ? HTTP_STATUS_UNPROCESSABLE : HTTP_STATUS_OK;
}

json_t *reload_last_json(const struct reload *reload)
{
	const struct reload_last *last = reload_last(reload);
	char text[CLOCK_WALL_TEXT_MAX];
	if (!last->is_any)
		return json_null();
	json_t *object = json_object();
	json_t *errors = json_array();
	for (size_t i = 0; i < last->n_errors; i++)
		(void)json_array_append_new(errors, api_text_to_json(last->errors[i]));
	put(object, "time", json_string(clock_wall_format(last->time_ms, text)));
	put(object, "result", json_string(reload_outcome_name(last->outcome)));
	put(object, "cause", json_string(reload_cause_name(last->cause)));
	put(object, "summary", api_text_to_json(last->summary));
	put(object, "errors", errors);
	return object;
}
