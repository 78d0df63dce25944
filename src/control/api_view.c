// SPDX-License-Identifier: Apache-2.0
#include "control/api_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/control/health.h"

static const struct traffic no_traffic;

const struct config *api_config(const struct api_source *source)
{
	return registry_config(source->registry);
}

uint32_t api_n_frontends(const struct api_source *source)
{
	return registry_n_frontends(source->registry);
}

uint32_t api_n_backends(const struct api_source *source)
{
	return registry_n_backends(source->registry);
}

uint32_t api_n_pools(const struct api_source *source)
{
	return registry_n_pools(source->registry);
}

static bool is_removed(enum slot_state state)
{
	return state == SLOT_REMOVED || state == SLOT_OVER;
}

bool api_view_frontend(const struct api_source *source, const struct stats *stats, uint32_t number,
		       struct frontend_view *view)
{
	const struct snapshot_frontend *state = registry_frontend(source->registry, number);
	if (!state->config)
		return false;
	*view = (struct frontend_view){
		.config = state->config,
		.state = state,
		.pool = state->owner->pools[state->config->pool].name,
		.traffic = &no_traffic,
		.is_removed = is_removed(state->state),
	};
	if (stats->mode == MODE_PROXY && number < stats->sessions.n_frontends) {
		view->sessions = &stats->sessions.frontends[number];
		view->traffic = &view->sessions->traffic;
	} else if (stats->mode != MODE_PROXY && number < stats->packets.n_frontends) {
		view->traffic = &stats->packets.frontends[number];
	}
	return true;
}

static const char *admin_of(const struct snapshot_backend *state)
{
	static const char *const names[] = {
		[ADMIN_READY] = "ready",
		[ADMIN_DRAIN] = "drain",
		[ADMIN_MAINT] = "maint",
	};
	return names[state->admin];
}

// As health found it, whatever an operator has said. What it has found up, the data path may not
// know yet; and one that a reload has brought is not up there, which nobody has found out.
static const char *health_of(const struct backend_view *view, const struct health_report *report,
			     bool is_healthy)
{
	if (report->is_up ? !view->state->is_known : !report->is_known)
		return "unknown";
	if (!is_healthy)
		return "down";
	return view->pool->health_check == HEALTH_NONE ? "unchecked" : "up";
}

static void describe_health(const struct api_source *source, uint32_t number,
			    struct backend_view *view)
{
	struct health_report report;
	bool is_healthy = registry_is_healthy(source->registry, number);
	health_describe(source->health, number, &report);
	view->health = health_of(view, &report, is_healthy);
	view->since_ms = report.since_ms ? report.since_ms : source->started_ms;
	view->reason = report.reason;
	if (report.is_up && !is_healthy)
		view->reason = "healthy, but has not passed the readiness check";
}

const struct traffic *api_backend_traffic(const struct stats *stats, uint32_t number)
{
	if (stats->mode == MODE_PROXY && number < stats->sessions.n_backends)
		return &stats->sessions.backends[number].traffic;
	if (stats->mode != MODE_PROXY && number < stats->packets.n_backends)
		return &stats->packets.backends[number];
	return &no_traffic;
}

bool api_view_backend(const struct api_source *source, const struct stats *stats, uint32_t number,
		      struct backend_view *view)
{
	const struct snapshot_backend *state = registry_backend(source->registry, number);
	if (!state->config)
		return false;
	*view = (struct backend_view){
		.config = state->config,
		.pool = state->pool_config,
		.state = state,
		.traffic = api_backend_traffic(stats, number),
		.admin = is_removed(state->state) ? "removed" : admin_of(state),
		.set = admin_of(state),
		.weight_set = registry_weight_set(source->registry, number),
		.is_removed = is_removed(state->state),
	};
	describe_health(source, number, view);
	if (stats->mode == MODE_PROXY && number < stats->sessions.n_backends)
		view->sessions = &stats->sessions.backends[number];
	return true;
}

bool api_view_is_usable(const struct backend_view *view)
{
	return !view->is_removed && snapshot_takes_new(view->state);
}

// NULL: the configuration has left it out as well.
static struct pool_view *find_pool(struct pool_view *views, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(views[i].config->name, name) == 0)
			return &views[i];
	}
	return NULL;
}

// What goes through a pool is the same whatever becomes of its backends, so sums never go back.
static void sum_traffic(const struct api_source *source, const struct stats *stats,
			struct pool_view *views)
{
	const struct registry *registry = source->registry;
	uint32_t n_pools = api_n_pools(source);
	for (uint32_t i = 0; i < n_pools; i++)
		views[i].traffic = *registry_past(registry, views[i].config->name);
	for (uint32_t i = 0; i < api_n_backends(source); i++) {
		const struct snapshot_backend *state = registry_backend(registry, i);
		struct pool_view *view = NULL;
		if (state->config && is_removed(state->state))
			view = find_pool(views, n_pools, state->pool_config->name);
		else if (state->config)
			view = &views[state->pool];
		if (view)
			traffic_add(&view->traffic, api_backend_traffic(stats, i));
	}
}

void api_view_pools(const struct api_source *source, const struct stats *stats,
		    struct pool_view *views)
{
	for (uint32_t i = 0; i < api_n_pools(source); i++) {
		const struct snapshot_pool *pool = registry_pool(source->registry, i);
		views[i] = (struct pool_view){.config = pool->config,
					      .n_total = pool->n_members,
					      .is_in_panic = pool->is_in_panic};
		for (uint32_t m = 0; m < pool->n_members; m++) {
			const struct snapshot_backend *state =
				registry_backend(source->registry, pool->members[m]);
			views[i].n_up += state->is_up;
			views[i].weight += snapshot_share(state);
		}
	}
	if (stats)
		sum_traffic(source, stats, views);
}

double api_view_share(const struct api_source *source, const struct pool_view *pools,
		      const struct backend_view *view)
{
	uint16_t pool = view->state->pool;
	if (!api_view_is_usable(view) || pool >= api_n_pools(source) || pools[pool].weight == 0)
		return 0;
	return (double)snapshot_share(view->state) / (double)pools[pool].weight;
}

char *api_backend_name(const struct backend_view *view)
{
	char *name = NULL;
	return asprintf(&name, "%s/%s", view->pool->name, view->config->name) < 0 ? NULL : name;
}

const struct traffic *api_total_traffic(const struct stats *stats)
{
	return stats->mode == MODE_PROXY ? &stats->sessions.total : &stats->packets.total;
}
