// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/frontends and /api/v1/backends: each with its state and its counters.
#include "control/api_listing.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "control/api_request.h"
#include "control/api_server.h"
#include "control/api_view.h"
#include "culvert/base/clock.h"
#include "culvert/control/api_json.h"

static bool put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

static bool put_traffic(json_t *object, const struct traffic *traffic, enum mode mode)
{
	// Both are counted while they are read: there may be a moment with fewer held than live.
	uint64_t n_finished = traffic->held_connections > traffic->current_connections
				      ? traffic->held_connections - traffic->current_connections
				      : 0;
	json_t *connections =
		json_pack("{s:I, s:I, s:I}", "current", (json_int_t)traffic->current_connections,
			  "total", (json_int_t)traffic->total_connections, "finished",
			  (json_int_t)n_finished);
	if (!put(object, "connections", connections) ||
	    !put(object, "bytes", api_pair_to_json(mode, traffic->bytes_rx, traffic->bytes_tx)))
		return false;
	return mode == MODE_PROXY ||
	       put(object, "packets",
		   api_pair_to_json(mode, traffic->packets_rx, traffic->packets_tx));
}

// The object when all of it is in it, else NULL.
static json_t *whole(json_t *object, bool is_whole)
{
	if (is_whole)
		return object;
	json_decref(object);
	return NULL;
}

// ---- frontends ---------------------------------------------------------------------------------

static const char *state_of(const struct frontend_view *view)
{
	if (view->is_removed)
		return "removed";
	return view->state->gate == GATE_OPEN ? "active" : "waiting";
}

static json_t *frontend_to_json(const struct frontend_view *view, enum mode mode)
{
	char address[ENDPOINT_TEXT_MAX];
	const struct config_frontend *config = view->config;
	json_t *object =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name", config->name, "protocol",
			  config->endpoint.proto == IPPROTO_UDP ? "udp" : "tcp", "address",
			  endpoint_format(&config->endpoint, address), "pool", view->pool,
			  "scheduler", config_scheduler_name(view->state->scheduler), "state",
			  state_of(view));
	return whole(object, object && put_traffic(object, view->traffic, mode));
}

static json_t *frontends_to_json(const struct api_source *source, const struct stats *stats)
{
	struct frontend_view view;
	json_t *list = json_array();
	bool is_whole = true;
	for (uint32_t i = 0; i < api_n_frontends(source); i++) {
		if (api_view_frontend(source, stats, i, &view))
			is_whole &= json_array_append_new(list, frontend_to_json(&view,
										 stats->mode)) == 0;
	}
	return json_pack("{s:o}", "frontends", whole(list, is_whole));
}

static void on_frontends(struct api_request *request, void *arg)
{
	(void)arg;
	struct stats stats = {0};
	if (api_gather(request, &stats))
		api_answer_json(request, 200, frontends_to_json(request->source, &stats));
	stats_fini(&stats);
}

// ---- backends ----------------------------------------------------------------------------------

// Names of interfaces, each asked of the kernel once per answer.
struct link_names {
	const struct registry *registry;
	char names[CONFIG_MAX_INTERFACES][IF_NAMESIZE];
};

static const char *link_name(struct link_names *links, const struct snapshot_hop *hop)
{
	char *name = links->names[hop->link];
	if (!*name)
		if_indextoname(registry_link(links->registry, hop->link)->ifindex, name);
	return *name ? name : NULL;
}

// A fraction only while it starts slowly.
static json_t *effective_weight(const struct snapshot_backend *state)
{
	int tenths = state->weight * (SNAPSHOT_TENTHS - state->held_back);
	if (tenths % SNAPSHOT_TENTHS == 0)
		return json_integer(tenths / SNAPSHOT_TENTHS);
	return json_real((double)tenths / SNAPSHOT_TENTHS);
}

static json_t *weight_to_json(const struct backend_view *view)
{
	json_t *set = view->weight_set < 0 ? json_null() : json_integer(view->weight_set);
	return json_pack("{s:i, s:o, s:o}", "configured", (int)view->config->weight, "set", set,
			 "effective", effective_weight(view->state));
}

static bool put_state(json_t *object, const struct backend_view *view)
{
	char since[CLOCK_WALL_TEXT_MAX];
	bool is_kept = view->pool->on_backend_down == ON_DOWN_KEEP;
	return put(object, "state", json_string(view->admin)) &&
	       put(object, "state_set", json_string(view->set)) &&
	       put(object, "on_backend_down", json_string(is_kept ? "keep" : "reset")) &&
	       put(object, "health", json_string(view->health)) &&
	       put(object, "health_reason", json_string(view->reason)) &&
	       put(object, "health_since", json_string(clock_wall_format(view->since_ms, since))) &&
	       put(object, "weight", weight_to_json(view));
}

static json_t *backend_to_json(const struct backend_view *view, double share, enum mode mode,
			       struct link_names *links)
{
	char address[CONFIG_BACKEND_TEXT_MAX];
	char *name = api_backend_name(view);
	json_t *object = json_pack("{s:s, s:s, s:s, s:s}", "name", name, "pool", view->pool->name,
				   "server", view->config->name, "address",
				   config_backend_format(view->config, address));
	const struct snapshot_hop *to = &view->state->hop;
	json_t *hop = mode == MODE_PROXY ? json_null() : api_hop_to_json(to, link_name(links, to));
	free(name);
	bool has_state = object && put_state(object, view);
	bool has_hop = put(object, "hop", hop);
	return whole(object, has_state && has_hop && put(object, "share", json_real(share)) &&
				     put_traffic(object, view->traffic, mode));
}

// The pools' states, gathered once: a backend's share is of them. For free().
static struct pool_view *gather_pools(const struct api_source *source)
{
	uint32_t n = api_n_pools(source);
	struct pool_view *pools = calloc(n + 1, sizeof(*pools));
	if (pools)
		api_view_pools(source, NULL, pools);
	return pools;
}

static json_t *list_backends(const struct api_source *source, const struct stats *stats,
			     const struct pool_view *pools)
{
	struct backend_view view;
	struct link_names links = {.registry = source->registry};
	json_t *list = json_array();
	bool is_whole = true;
	for (uint32_t i = 0; i < api_n_backends(source); i++) {
		if (api_view_backend(source, stats, i, &view))
			is_whole &=
				json_array_append_new(
					list,
					backend_to_json(&view, api_view_share(source, pools, &view),
							stats->mode, &links)) == 0;
	}
	return whole(list, is_whole);
}

static json_t *frontends_of(const struct api_source *source, const char *pool)
{
	static const struct stats no_stats;
	struct frontend_view view;
	json_t *names = json_array();
	for (uint32_t i = 0; i < api_n_frontends(source); i++) {
		if (api_view_frontend(source, &no_stats, i, &view) && !view.is_removed &&
		    strcmp(view.pool, pool) == 0)
			json_array_append_new(names, json_string(view.config->name));
	}
	return names;
}

static json_t *list_pools(const struct api_source *source, const struct pool_view *pools)
{
	json_t *list = json_array();
	bool is_whole = true;
	for (uint32_t i = 0; i < api_n_pools(source); i++) {
		const char *name = pools[i].config->name;
		json_t *pool = json_pack("{s:s, s:i, s:i, s:b, s:o}", "name", name, "up",
					 (int)pools[i].n_up, "total", (int)pools[i].n_total,
					 "in_panic", (int)pools[i].is_in_panic, "frontends",
					 frontends_of(source, name));
		is_whole &= json_array_append_new(list, pool) == 0;
	}
	return whole(list, is_whole);
}

static void on_backends(struct api_request *request, void *arg)
{
	(void)arg;
	const struct api_source *source = request->source;
	struct stats stats = {0};
	if (!api_gather(request, &stats)) {
		stats_fini(&stats);
		return;
	}
	struct pool_view *pools = gather_pools(source);
	json_t *body = NULL;
	if (pools)
		body = json_pack("{s:o, s:o}", "backends", list_backends(source, &stats, pools),
				 "pools", list_pools(source, pools));
	api_answer_json(request, 200, body);
	free(pools);
	stats_fini(&stats);
}

json_t *api_backend_to_json(const struct api_source *source, const struct stats *stats,
			    uint32_t number)
{
	struct backend_view view;
	struct link_names links = {.registry = source->registry};
	struct pool_view *pools = gather_pools(source);
	json_t *object = NULL;
	if (pools && api_view_backend(source, stats, number, &view))
		object = backend_to_json(&view, api_view_share(source, pools, &view), stats->mode,
					 &links);
	free(pools);
	return object;
}

void api_add_listing(struct api *api)
{
	static const struct api_route routes[] = {
		{EVHTTP_REQ_GET, "/api/v1/frontends", on_frontends},
		{EVHTTP_REQ_GET, "/api/v1/backends", on_backends},
	};
	api_add_routes(api, routes, sizeof(routes) / sizeof(routes[0]), NULL);
}
