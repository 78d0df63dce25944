// SPDX-License-Identifier: Apache-2.0
// The statistics as one JSON object. The keys of the program whose configuration culvert also reads
// are as there, so that its dashboards go on working: the totals, "backends" with "servers", and
// "frontends"; what else is in it is ours.
#include "control/api_stats.h"

#include <stdlib.h>

#include "control/api_request.h"
#include "control/api_server.h"
#include "control/api_view.h"
#include "culvert/balance/registry.h"

static const struct traffic no_traffic;

bool stats_put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

bool stats_put_count(json_t *object, const char *key, uint64_t value)
{
	return stats_put(object, key, json_integer((json_int_t)value));
}

bool stats_put_traffic(json_t *object, const struct traffic *traffic)
{
	return stats_put_count(object, "total_connections", traffic->total_connections) &&
	       stats_put_count(object, "current_connections", traffic->current_connections) &&
	       stats_put_count(object, "bytes_tx", traffic->bytes_tx) &&
	       stats_put_count(object, "bytes_rx", traffic->bytes_rx);
}

static const struct traffic *frontend_traffic(const struct stats *stats, size_t frontend)
{
	if (stats->mode == MODE_PROXY && frontend < stats->sessions.n_frontends)
		return &stats->sessions.frontends[frontend].traffic;
	if (stats->mode != MODE_PROXY && frontend < stats->packets.n_frontends)
		return &stats->packets.frontends[frontend];
	return &no_traffic;
}

static bool put_server(json_t *servers, const struct config_backend *config,
		       const struct stats *stats, uint32_t number)
{
	char name[CONFIG_BACKEND_TEXT_MAX];
	json_t *object = json_object();
	bool is_good =
		stats_put(object, "addr", json_string(config_backend_format(config, name))) &&
		stats_put_traffic(object, api_backend_traffic(stats, number));
	if (stats->mode == MODE_PROXY && number < stats->sessions.n_backends)
		is_good = is_good && stats_put_connects(object, &stats->sessions.backends[number]);
	return stats_put(servers, config->name, object) && is_good;
}

static bool put_pool(json_t *pools, const struct registry *registry, const struct stats *stats,
		     const struct snapshot_pool *pool, const struct pool_view *view)
{
	json_t *object = json_object();
	json_t *servers = json_object();
	json_t *server_stats = json_object();
	bool is_good = true;
	for (uint32_t i = 0; i < pool->n_members; i++) {
		char name[CONFIG_BACKEND_TEXT_MAX];
		uint32_t slot = pool->members[i];
		const struct snapshot_backend *backend = registry_backend(registry, slot);
		config_backend_format(backend->config, name);
		// In a panic also those are used that are not up.
		bool is_up = backend->is_up && registry_is_healthy(registry, slot);
		is_good = is_good && stats_put(servers, name, json_boolean(is_up)) &&
			  put_server(server_stats, backend->config, stats, slot);
	}
	is_good = is_good && stats_put_traffic(object, &view->traffic);
	// All hand-overs happen whatever came before.
	bool has_servers = stats_put(object, "servers", servers);
	bool has_stats = stats_put(object, "server_stats", server_stats);
	return stats_put(pools, pool->config->name, object) && has_servers && has_stats && is_good;
}

static bool put_pools(json_t *root, const struct api_source *source, const struct stats *stats)
{
	const struct registry *registry = source->registry;
	uint32_t n = api_n_pools(source);
	json_t *pools = json_object();
	struct pool_view *views = calloc(n + 1, sizeof(*views));
	if (views)
		api_view_pools(source, stats, views);
	bool is_good = views != NULL;
	for (uint32_t i = 0; i < n && is_good; i++)
		is_good = put_pool(pools, registry, stats, registry_pool(registry, i), &views[i]);
	free(views);
	return stats_put(root, "backends", pools) && is_good;
}

static bool put_frontends(json_t *root, const struct registry *registry, const struct stats *stats)
{
	json_t *frontends = json_object();
	bool is_good = true;
	for (uint32_t i = 0; i < registry_n_frontends(registry); i++) {
		const struct snapshot_frontend *frontend = registry_frontend(registry, i);
		if (frontend->state != SLOT_ACTIVE)
			continue;
		json_t *object = json_object();
		bool is_full = stats_put_traffic(object, frontend_traffic(stats, i));
		if (stats->mode == MODE_PROXY && i < stats->sessions.n_frontends)
			is_full = is_full &&
				  stats_put_session_ends(object, &stats->sessions.frontends[i]);
		is_good =
			stats_put(frontends, frontend->config->name, object) && is_full && is_good;
	}
	return stats_put(root, "frontends", frontends) && is_good;
}

// With it the frontends sum to the totals, whatever has been reloaded.
static bool put_removed_frontends(json_t *root, const struct registry *registry,
				  const struct stats *stats)
{
	struct traffic rest = *api_total_traffic(stats);
	json_t *object = json_object();
	for (uint32_t i = 0; i < registry_n_frontends(registry); i++) {
		if (registry_frontend(registry, i)->state == SLOT_ACTIVE)
			traffic_subtract(&rest, frontend_traffic(stats, i));
	}
	bool is_good = stats_put_traffic(object, &rest);
	return stats_put(root, "removed_frontends", object) && is_good;
}

static bool put_totals(json_t *root, const struct stats *stats)
{
	const struct traffic *total = api_total_traffic(stats);
	return stats_put_count(root, "total_connections", total->total_connections) &&
	       stats_put_count(root, "current_connections", total->current_connections) &&
	       stats_put_count(root, "total_bytes_tx", total->bytes_tx) &&
	       stats_put_count(root, "total_bytes_rx", total->bytes_rx);
}

static bool put_mode(json_t *root, const struct stats *stats)
{
	if (!stats_put(root, "mode", json_string(mode_name(stats->mode))))
		return false;
	return stats->mode == MODE_PROXY ? stats_put_sessions(root, &stats->sessions)
					 : stats_put_packets(root, &stats->packets);
}

static bool put_flow_log(json_t *root, const struct flow_log_stats *stats)
{
	if (!stats->is_on)
		return true;
	json_t *object = json_object();
	bool is_good = stats_put_count(object, "lines", stats->lines) &&
		       stats_put_count(object, "dropped", stats->dropped) &&
		       stats_put_count(object, "unwritten", stats->unwritten);
	return stats_put(root, "flow_log", object) && is_good;
}

json_t *stats_to_json(const struct api_source *source, const struct stats *stats)
{
	json_t *root = json_object();
	if (put_totals(root, stats) && put_pools(root, source, stats) &&
	    put_frontends(root, source->registry, stats) &&
	    put_removed_frontends(root, source->registry, stats) && put_mode(root, stats) &&
	    put_flow_log(root, &stats->flow_log))
		return root;
	json_decref(root);
	return NULL;
}

static void on_stats(struct api_request *request, void *arg)
{
	(void)arg;
	struct stats stats = {0};
	if (api_gather(request, &stats))
		api_answer_json(request, 200, stats_to_json(request->source, &stats));
	stats_fini(&stats);
}

void api_add_stats(struct api *api)
{
	static const struct api_route route = {EVHTTP_REQ_GET, "/stats", on_stats};
	api_add_routes(api, &route, 1, NULL);
}
