// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/status, /healthz and /readyz: how it is on the whole.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/api_request.h"
#include "control/api_server.h"
#include "control/api_view.h"
#include "culvert/base/clock.h"
#include "culvert/control/api_json.h"

static const char *const state_names[] = {
	[API_STARTING] = "starting",
	[API_READY] = "ready",
	[API_RELOADING] = "reloading",
	[API_DRAINING] = "draining",
};

static const char text_type[] = "text/plain; charset=utf-8";

static json_t *time_to_json(int64_t wall_ms)
{
	char text[CLOCK_WALL_TEXT_MAX];
	return json_string(clock_wall_format(wall_ms, text));
}

// ---- GET /api/v1/status ------------------------------------------------------------------------

struct census {
	unsigned n_total;
	unsigned n_up;
	unsigned n_down;
	unsigned n_unknown;
	unsigned n_drain;
	unsigned n_maint;
	unsigned n_removed;
};

// Each backend counts once: as what an operator said of it, else as health found it.
static void count_backend(struct census *census, const struct backend_view *view)
{
	census->n_total++;
	if (strcmp(view->admin, "removed") == 0)
		census->n_removed++;
	else if (strcmp(view->admin, "maint") == 0)
		census->n_maint++;
	else if (strcmp(view->admin, "drain") == 0)
		census->n_drain++;
	else if (strcmp(view->health, "unknown") == 0)
		census->n_unknown++;
	else if (strcmp(view->health, "down") == 0)
		census->n_down++;
	else
		census->n_up++;
}

static json_t *census_to_json(const struct api_source *source)
{
	static const struct stats no_stats;
	struct census census = {0};
	struct backend_view view;
	for (uint32_t i = 0; i < api_n_backends(source); i++) {
		if (api_view_backend(source, &no_stats, i, &view))
			count_backend(&census, &view);
	}
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "total", (int)census.n_total, "up",
			 (int)census.n_up, "down", (int)census.n_down, "unknown",
			 (int)census.n_unknown, "drain", (int)census.n_drain, "maint",
			 (int)census.n_maint, "removed", (int)census.n_removed);
}

static json_t *panic_to_json(const struct api_source *source)
{
	uint32_t n = api_n_pools(source);
	json_t *names = json_array();
	struct pool_view *pools = calloc(n + 1, sizeof(*pools));
	if (pools)
		api_view_pools(source, NULL, pools);
	for (uint32_t i = 0; pools && i < n; i++) {
		if (pools[i].is_in_panic)
			json_array_append_new(names, json_string(pools[i].config->name));
	}
	free(pools);
	return names;
}

static unsigned count_frontends(const struct api_source *source)
{
	static const struct stats no_stats;
	struct frontend_view view;
	unsigned n = 0;
	for (uint32_t i = 0; i < api_n_frontends(source); i++)
		n += api_view_frontend(source, &no_stats, i, &view) && !view.is_removed;
	return n;
}

// Takes over status->last_reload.
static json_t *config_to_status(const struct api_source *source, const struct api_status *status)
{
	int64_t loaded_ms = status->loaded_ms ? status->loaded_ms : source->started_ms;
	json_t *last = status->last_reload ? status->last_reload : json_null();
	return json_pack("{s:o, s:b, s:o, s:I, s:o}", "path",
			 api_text_to_json(api_config(source)->path), "is_missing",
			 status->is_file_missing, "loaded", time_to_json(loaded_ms), "generation",
			 (json_int_t)registry_generation(source->registry), "last_reload", last);
}

// How full it is.
static int put_load(json_t *root, const struct api_status *status, const struct stats *stats)
{
	if (stats->mode == MODE_PROXY)
		return json_object_set_new(
			root, "sessions",
			json_pack("{s:I, s:I}", "current",
				  (json_int_t)stats->sessions.total.current_connections, "max",
				  (json_int_t)status->max_sessions));
	return json_object_set_new(root, "flows",
				   json_pack("{s:I, s:I, s:I}", "current",
					     (json_int_t)stats->packets.flows, "capacity",
					     (json_int_t)stats->packets.flow_capacity, "fast_path",
					     (json_int_t)stats->packets.fast_flows));
}

static json_t *status_to_json(const struct api_source *source, const struct stats *stats)
{
	struct api_status status = {0};
	source->ops->status(source->arg, &status);
	double uptime_s = (double)(clock_now_ns() - source->started_ns) / NS_PER_SEC;
	json_t *root =
		json_pack("{s:s, s:s, s:i, s:o, s:f, s:s, s:o, s:i, s:i, s:o, s:o}", "version",
			  CULVERT_VERSION, "mode", mode_name(api_config(source)->mode), "pid",
			  (int)getpid(), "started", time_to_json(source->started_ms), "uptime",
			  uptime_s, "state", state_names[status.state], "config",
			  config_to_status(source, &status), "threads", (int)status.n_threads,
			  "frontends", (int)count_frontends(source), "backends",
			  census_to_json(source), "pools_in_panic", panic_to_json(source));
	if (root && put_load(root, &status, stats) == 0)
		return root;
	json_decref(root);
	return NULL;
}

static void on_status(struct api_request *request, void *arg)
{
	(void)arg;
	struct stats stats = {0};
	if (api_gather(request, &stats))
		api_answer_json(request, 200, status_to_json(request->source, &stats));
	stats_fini(&stats);
}

// ---- GET /healthz, /readyz ---------------------------------------------------------------------

static void on_healthz(struct api_request *request, void *arg)
{
	(void)arg;
	api_answer_bytes(request, 200, text_type, "ok\n", 3);
}

// Its pool has nobody with a weight, or its gate is shut. One that is only awaited takes a moment,
// in which clients try again.
static void tell_unready(FILE *text, const struct pool_view *pool, const struct frontend_view *view)
{
	if (pool->weight == 0)
		fprintf(text, "frontend %s: no backend of pool %s can be used\n",
			view->config->name, view->pool);
	else if (view->state->gate == GATE_SHUT)
		fprintf(text, "frontend %s: some backend of pool %s is not ready for it\n",
			view->config->name, view->pool);
}

// A line for each frontend that could not serve a client.
static void list_unready(FILE *text, const struct api_source *source, const struct pool_view *pools)
{
	static const struct stats no_stats;
	struct frontend_view view;
	for (uint32_t i = 0; i < api_n_frontends(source); i++) {
		if (api_view_frontend(source, &no_stats, i, &view) && !view.is_removed &&
		    view.state->pool < api_n_pools(source))
			tell_unready(text, &pools[view.state->pool], &view);
	}
}

// What stands against being ready, a line each, for free(); NULL when memory is short.
static char *list_reasons(const struct api_source *source)
{
	struct api_status status = {0};
	char *text = NULL;
	size_t size = 0;
	struct pool_view *pools = calloc(api_n_pools(source) + 1, sizeof(*pools));
	FILE *file = pools ? open_memstream(&text, &size) : NULL;
	if (file) {
		api_view_pools(source, NULL, pools);
		source->ops->status(source->arg, &status);
		json_decref(status.last_reload);
		if (status.state == API_STARTING || status.state == API_DRAINING)
			fprintf(file, "culvert is %s\n", state_names[status.state]);
		list_unready(file, source, pools);
		fclose(file);
	}
	free(pools);
	return text;
}

static void on_readyz(struct api_request *request, void *arg)
{
	(void)arg;
	char *reasons = list_reasons(request->source);
	if (!reasons)
		api_answer_error(request, 500, NULL, "not enough memory for the answer");
	else if (*reasons)
		api_answer_bytes(request, 503, text_type, reasons, strlen(reasons));
	else
		api_answer_bytes(request, 200, text_type, "ready\n", 6);
	free(reasons);
}

void api_add_status(struct api *api)
{
	static const struct api_route routes[] = {
		{EVHTTP_REQ_GET, "/api/v1/status", on_status},
		{EVHTTP_REQ_GET, "/healthz", on_healthz},
		{EVHTTP_REQ_GET, "/readyz", on_readyz},
	};
	api_add_routes(api, routes, sizeof(routes) / sizeof(routes[0]), NULL);
}
