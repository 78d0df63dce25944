// SPDX-License-Identifier: Apache-2.0
// What changes something: POST, over the Unix socket only.
#include <errno.h>
#include <string.h>

#include "control/api_listing.h"
#include "control/api_params.h"
#include "control/api_request.h"
#include "control/api_server.h"

enum { WEIGHT_MAX = 1000 };

// The one that the path names: POOL and SERVER, or one name.
static bool find_backend(struct api_request *request, uint32_t *number)
{
	const char *first = request->match.captures[0];
	const char *second = request->match.captures[1];
	if (*second)
		return api_find_backend(request, first, second, number);
	return api_find_backend(request, NULL, first, number);
}

static void answer_backend(struct api_request *request, uint32_t number)
{
	struct stats stats = {0};
	if (api_gather(request, &stats))
		api_answer_json(request, 200, api_backend_to_json(request->source, &stats, number));
	stats_fini(&stats);
}

// The result of an operation of the mode.
static void answer_change(struct api_request *request, uint32_t number, int code,
			  const struct err *err)
{
	if (code == 0)
		answer_backend(request, number);
	else
		api_answer_error(request, code == -ENOMEM ? 500 : 409, NULL, "%s", err->message);
}

// ---- state -------------------------------------------------------------------------------------

static const char *const state_names[] = {
	[ADMIN_READY] = "ready",
	[ADMIN_DRAIN] = "drain",
	[ADMIN_MAINT] = "maint",
};

static bool parse_state(struct api_request *request, enum admin_state *state)
{
	const char *text = json_string_value(json_object_get(request->body, "state"));
	for (unsigned i = 0; text && i < sizeof(state_names) / sizeof(state_names[0]); i++) {
		if (strcmp(text, state_names[i]) == 0) {
			*state = (enum admin_state)i;
			return true;
		}
	}
	api_answer_error(request, 400, "send {\"state\": \"ready\"}, \"drain\" or \"maint\"",
			 "there is no such state");
	return false;
}

static void on_state(struct api_request *request, void *arg)
{
	(void)arg;
	static const char *const keys[] = {"state", NULL};
	const struct api_source *source = request->source;
	enum admin_state state;
	uint32_t number;
	struct err err = {0};
	if (!source->ops->set_state)
		api_answer_lacking(request, "states of servers");
	else if (api_body_known(request, keys) && parse_state(request, &state) &&
		 find_backend(request, &number))
		answer_change(request, number,
			      source->ops->set_state(source->arg, number, state, &err), &err);
}

// ---- weight ------------------------------------------------------------------------------------

static bool parse_weight(struct api_request *request, int32_t *weight)
{
	const json_t *value = json_object_get(request->body, "weight");
	json_int_t number = json_integer_value(value);
	*weight = REGISTRY_WEIGHT_CONFIGURED;
	if (json_is_null(value))
		return true;
	if (json_is_integer(value) && number >= 0 && number <= WEIGHT_MAX) {
		*weight = (int32_t)number;
		return true;
	}
	api_answer_error(request, 400,
			 "send {\"weight\": 10}, or {\"weight\": null} for that of the file",
			 "the weight is not a whole number from 0 to %d", WEIGHT_MAX);
	return false;
}

static void on_weight(struct api_request *request, void *arg)
{
	(void)arg;
	static const char *const keys[] = {"weight", NULL};
	const struct api_source *source = request->source;
	int32_t weight;
	uint32_t number;
	struct err err = {0};
	if (!source->ops->set_weight)
		api_answer_lacking(request, "weights at run time");
	else if (api_body_known(request, keys) && parse_weight(request, &weight) &&
		 find_backend(request, &number))
		answer_change(request, number,
			      source->ops->set_weight(source->arg, number, weight, &err), &err);
}

// ---- reload ------------------------------------------------------------------------------------

// Sent along, and not named by a path: culvert may not read what its operator may, nor the other
// way round.
static bool parse_file(struct api_request *request, struct api_reload_query *query)
{
	json_t *file = json_object_get(request->body, "file");
	const json_t *text = json_object_get(file, "text");
	if (!file)
		return true;
	query->name = json_string_value(json_object_get(file, "name"));
	query->text = json_string_value(text);
	query->length = json_string_length(text);
	if (!query->name || !query->text || json_object_size(file) != 2)
		api_answer_error(request, 400, NULL,
				 "file is not {\"name\": \"new.toml\", \"text\": ...}");
	else if (!query->is_plan)
		api_answer_error(request, 400,
				 "send \"plan\": true as well, or write it to the configuration "
				 "file",
				 "another file can only be planned");
	else if (query->length > CONFIG_FILE_MAX_BYTES)
		api_answer_error(request, 413, NULL, "the file is larger than %d MiB",
				 CONFIG_FILE_MAX_BYTES >> 20);
	else
		return true;
	return false;
}

static bool parse_reload(struct api_request *request, struct api_reload_query *query)
{
	const json_t *plan = json_object_get(request->body, "plan");
	const json_t *most = json_object_get(request->body, "max_disruption");
	*query = (struct api_reload_query){.is_plan = json_is_true(plan), .max_disruption = -1};
	if (plan && !json_is_boolean(plan)) {
		api_answer_error(request, 400, NULL, "plan is neither true nor false");
		return false;
	}
	if (!parse_file(request, query))
		return false;
	if (!most)
		return true;
	query->max_disruption = json_number_value(most);
	if (json_is_number(most) && query->max_disruption >= 0 && query->max_disruption <= 1)
		return true;
	api_answer_error(request, 400, NULL, "max_disruption is not a number from 0 to 1");
	return false;
}

static void on_reload(struct api_request *request, void *arg)
{
	(void)arg;
	static const char *const keys[] = {"plan", "max_disruption", "file", NULL};
	const struct api_source *source = request->source;
	struct api_reload_query query;
	if (!source->ops->reload)
		api_answer_lacking(request, "reloading");
	else if (api_body_known(request, keys) && parse_reload(request, &query))
		source->ops->reload(source->arg, &query, request);
}

void api_add_admin(struct api *api)
{
	static const struct api_route routes[] = {
		{EVHTTP_REQ_POST, "/api/v1/servers/*/state", on_state},
		{EVHTTP_REQ_POST, "/api/v1/servers/*/*/state", on_state},
		{EVHTTP_REQ_POST, "/api/v1/servers/*/weight", on_weight},
		{EVHTTP_REQ_POST, "/api/v1/servers/*/*/weight", on_weight},
		{EVHTTP_REQ_POST, "/api/v1/reload", on_reload},
	};
	api_add_routes(api, routes, sizeof(routes) / sizeof(routes[0]), NULL);
}
