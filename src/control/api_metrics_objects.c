// SPDX-License-Identifier: Apache-2.0
// Metrics of frontends, backends and pools. The format wants the samples of a family together, so
// the objects are gathered first, and gone through once for each family.
#include <stdlib.h>
#include <string.h>

#include "control/api_metrics.h"
#include "control/metrics_text.h"

#define MS_PER_S 1e3

enum { FAMILY_MAX = 96, LABELS_MAX = 4 };

// A frontend, a backend or a pool, as far as they are alike.
struct object {
	struct metric_label labels[LABELS_MAX];
	char *name; // owned; NULL: borrowed by the label
	struct frontend_view frontend;
	struct backend_view backend;
	const struct traffic *traffic;
	double share; // backends: of their pool
	bool is_removed;
};

struct objects {
	struct object *list; // owned
	size_t n;
	const char *prefix; // of names, "culvert_backend_"
	enum mode mode;
};

// Of every connection, bytes and packets, with their place in struct traffic.
struct traffic_family {
	const char *name; // behind the prefix
	enum metric_type type;
	size_t offset;
	bool is_of_packets;
	bool is_of_answers; // which DSR mode does not see
	const char *help;
};

static const struct traffic_family traffic_families[] = {
	{"connections_total", METRIC_COUNTER, offsetof(struct traffic, total_connections), false,
	 false, "Connections that were ever made: flows, or sessions in proxy mode."},
	{"connections", METRIC_GAUGE, offsetof(struct traffic, current_connections), false, false,
	 "Connections that are open."},
	{"transmitted_bytes_total", METRIC_COUNTER, offsetof(struct traffic, bytes_tx), false,
	 false, "Bytes sent to backends: of IP packets, or relayed in proxy mode."},
	{"received_bytes_total", METRIC_COUNTER, offsetof(struct traffic, bytes_rx), false, true,
	 "Bytes that came from backends, likewise."},
	{"transmitted_packets_total", METRIC_COUNTER, offsetof(struct traffic, packets_tx), true,
	 false, "Packets sent to backends."},
	{"received_packets_total", METRIC_COUNTER, offsetof(struct traffic, packets_rx), true, true,
	 "Packets that came from backends."},
};

static void put_traffic(FILE *out, const struct objects *objects,
			const struct traffic_family *family)
{
	char name[FAMILY_MAX];
	snprintf(name, sizeof(name), "%s%s", objects->prefix, family->name);
	metrics_family(out, name, family->type, family->help);
	for (size_t i = 0; i < objects->n; i++) {
		const struct object *object = &objects->list[i];
		uint64_t value;
		memcpy(&value, (const char *)object->traffic + family->offset, sizeof(value));
		metrics_count(out, name, object->labels, value);
	}
}

static void put_all_traffic(FILE *out, const struct objects *objects)
{
	for (size_t i = 0; i < sizeof(traffic_families) / sizeof(traffic_families[0]); i++) {
		const struct traffic_family *family = &traffic_families[i];
		if (!(objects->mode == MODE_PROXY && family->is_of_packets) &&
		    !(objects->mode == MODE_DSR && family->is_of_answers))
			put_traffic(out, objects, family);
	}
}

// ---- gathering ---------------------------------------------------------------------------------

static void objects_fini(struct objects *objects)
{
	for (size_t i = 0; i < objects->n; i++)
		free(objects->list[i].name);
	free(objects->list);
}

static bool has_name(const struct objects *objects, const char *name)
{
	for (size_t i = 0; i < objects->n; i++) {
		if (strcmp(objects->list[i].labels[0].value, name) == 0)
			return true;
	}
	return false;
}

static void add_frontends(struct objects *objects, const struct api_source *source,
			  const struct stats *stats, bool are_removed)
{
	for (uint32_t i = 0; i < api_n_frontends(source); i++) {
		struct object *object = &objects->list[objects->n];
		if (!api_view_frontend(source, stats, i, &object->frontend) ||
		    object->frontend.is_removed != are_removed ||
		    (are_removed && has_name(objects, object->frontend.config->name)))
			continue;
		object->is_removed = are_removed;
		object->traffic = object->frontend.traffic;
		object->labels[0] =
			(struct metric_label){"frontend", object->frontend.config->name};
		object->labels[1] = (struct metric_label){"pool", object->frontend.pool};
		objects->n++;
	}
}

// What has been removed goes on counting until it is gone, unless its name is somebody else's by
// now: a name has one series.
static bool gather_frontends(struct objects *objects, const struct api_source *source,
			     const struct stats *stats)
{
	*objects = (struct objects){.prefix = "culvert_frontend_", .mode = stats->mode};
	objects->list = calloc(api_n_frontends(source) + 1, sizeof(*objects->list));
	if (!objects->list)
		return false;
	add_frontends(objects, source, stats, false);
	add_frontends(objects, source, stats, true);
	return true;
}

static bool gather_backend(struct object *object, const struct api_source *source,
			   const struct pool_view *pools)
{
	struct backend_view *view = &object->backend;
	object->name = api_backend_name(view);
	if (!object->name)
		return false;
	object->is_removed = view->is_removed;
	object->traffic = view->traffic;
	object->labels[0] = (struct metric_label){"backend", object->name};
	object->labels[1] = (struct metric_label){"pool", view->pool->name};
	object->share = api_view_share(source, pools, view);
	return true;
}

static bool add_backends(struct objects *objects, const struct api_source *source,
			 const struct stats *stats, const struct pool_view *pools, bool are_removed)
{
	for (uint32_t i = 0; i < api_n_backends(source); i++) {
		struct object *object = &objects->list[objects->n];
		if (!api_view_backend(source, stats, i, &object->backend) ||
		    object->backend.is_removed != are_removed)
			continue;
		if (!gather_backend(object, source, pools))
			return false;
		if (are_removed && has_name(objects, object->name))
			free(object->name);
		else
			objects->n++;
	}
	return true;
}

static bool gather_backends(struct objects *objects, const struct api_source *source,
			    const struct stats *stats, const struct pool_view *pools)
{
	*objects = (struct objects){.prefix = "culvert_backend_", .mode = stats->mode};
	objects->list = calloc(api_n_backends(source) + 1, sizeof(*objects->list));
	return objects->list && add_backends(objects, source, stats, pools, false) &&
	       add_backends(objects, source, stats, pools, true);
}

static bool gather_pools(struct objects *objects, const struct stats *stats,
			 const struct pool_view *pools, uint32_t n)
{
	*objects = (struct objects){.prefix = "culvert_pool_", .mode = stats->mode};
	objects->list = calloc(n + 1, sizeof(*objects->list));
	for (uint32_t i = 0; objects->list && i < n; i++) {
		objects->list[i].labels[0] = (struct metric_label){"pool", pools[i].config->name};
		objects->list[i].traffic = &pools[i].traffic;
		objects->n++;
	}
	return objects->list != NULL;
}

// ---- frontends ---------------------------------------------------------------------------------

// The label behind those of the object.
static void set_last_label(struct metric_label *labels, const struct object *object,
			   const char *name, const char *value)
{
	memcpy(labels, object->labels, sizeof(object->labels));
	labels[2] = (struct metric_label){name, value};
}

static void put_session_ends(FILE *out, const struct objects *objects)
{
	static const char name[] = "culvert_frontend_sessions_ended_total";
	metrics_family(out, name, METRIC_COUNTER, "Sessions that have ended, by how.");
	for (size_t i = 0; i < objects->n; i++) {
		const struct object *object = &objects->list[i];
		struct metric_label labels[LABELS_MAX];
		for (unsigned e = 0; object->frontend.sessions && e < N_SESSION_ENDS; e++) {
			set_last_label(labels, object, "end",
				       session_end_name((enum session_end)e));
			metrics_count(out, name, labels, object->frontend.sessions->ends[e]);
		}
	}
}

static void put_frontends(FILE *out, const struct objects *objects)
{
	static const char name[] = "culvert_frontend_session_duration_seconds";
	put_all_traffic(out, objects);
	if (objects->mode != MODE_PROXY)
		return;
	put_session_ends(out, objects);
	metrics_family(out, name, METRIC_HISTOGRAM, "How long sessions lasted.");
	for (size_t i = 0; i < objects->n; i++) {
		const struct object *object = &objects->list[i];
		if (object->frontend.sessions)
			metrics_histogram(out, name, object->labels,
					  &object->frontend.sessions->session_time);
	}
}

// ---- backends ----------------------------------------------------------------------------------

static double get_up(const struct object *object)
{
	return object->backend.state->is_up;
}

static double get_drain(const struct object *object)
{
	return strcmp(object->backend.admin, "drain") == 0;
}

static double get_maint(const struct object *object)
{
	return strcmp(object->backend.admin, "maint") == 0;
}

static double get_changed(const struct object *object)
{
	return (double)object->backend.since_ms / MS_PER_S;
}

static double get_weight(const struct object *object)
{
	return object->backend.state->weight;
}

static double get_share(const struct object *object)
{
	return object->share;
}

static const struct {
	const char *name;
	double (*get)(const struct object *object);
	const char *help;
} backend_gauges[] = {
	{"culvert_backend_up", get_up, "1: healthy, as far as is known, and not in maintenance."},
	{"culvert_backend_draining", get_drain, "1: an operator has it drained."},
	{"culvert_backend_maintenance", get_maint, "1: an operator has it in maintenance."},
	{"culvert_backend_health_change_timestamp_seconds", get_changed,
	 "When its health changed last, since 1970."},
	{"culvert_backend_weight", get_weight, "Its weight now."},
	{"culvert_backend_share_ratio", get_share,
	 "Its share of the pool's new connections, by weight."},
};

static void put_removal(FILE *out, const struct objects *objects)
{
	static const char name[] = "culvert_backend_removed";
	metrics_family(out, name, METRIC_GAUGE, "1: a reload has left it out, and it drains.");
	for (size_t i = 0; i < objects->n; i++)
		metrics_count(out, name, objects->list[i].labels, objects->list[i].is_removed);
}

// Of what has been removed nothing is expected, so whether it is up is nothing to be alarmed by.
static void put_gauges(FILE *out, const struct objects *objects)
{
	for (size_t g = 0; g < sizeof(backend_gauges) / sizeof(backend_gauges[0]); g++) {
		metrics_family(out, backend_gauges[g].name, METRIC_GAUGE, backend_gauges[g].help);
		for (size_t i = 0; i < objects->n; i++) {
			if (!objects->list[i].is_removed)
				metrics_real(out, backend_gauges[g].name, objects->list[i].labels,
					     backend_gauges[g].get(&objects->list[i]));
		}
	}
}

static void put_connects(FILE *out, const struct objects *objects)
{
	static const char results[] = "culvert_backend_connects_total";
	static const char times[] = "culvert_backend_connect_duration_seconds";
	metrics_family(out, results, METRIC_COUNTER, "Attempts to connect, by result.");
	for (size_t i = 0; i < objects->n; i++) {
		const struct object *object = &objects->list[i];
		struct metric_label labels[LABELS_MAX];
		for (unsigned c = 0; object->backend.sessions && c < N_CONNECT_RESULTS; c++) {
			set_last_label(labels, object, "result",
				       connect_result_name((enum connect_result)c));
			metrics_count(out, results, labels, object->backend.sessions->connects[c]);
		}
	}
	metrics_family(out, times, METRIC_HISTOGRAM, "How long successful connects took.");
	for (size_t i = 0; i < objects->n; i++) {
		const struct object *object = &objects->list[i];
		if (object->backend.sessions)
			metrics_histogram(out, times, object->labels,
					  &object->backend.sessions->connect_time);
	}
}

static void put_backends(FILE *out, const struct objects *objects)
{
	put_gauges(out, objects);
	put_removal(out, objects);
	put_all_traffic(out, objects);
	if (objects->mode == MODE_PROXY)
		put_connects(out, objects);
}

// ---- pools, and what the configuration has left out --------------------------------------------

static void put_pools(FILE *out, const struct pool_view *pools, uint32_t n,
		      const struct objects *objects)
{
	static const char *const names[] = {"culvert_pool_backends", "culvert_pool_up_backends",
					    "culvert_pool_in_panic"};
	static const char *const helps[] = {"Backends of the pool.",
					    "Backends of the pool that are up.",
					    "1: too few are up, so all are used."};
	for (unsigned f = 0; f < sizeof(names) / sizeof(names[0]); f++) {
		metrics_family(out, names[f], METRIC_GAUGE, helps[f]);
		for (uint32_t i = 0; i < n; i++) {
			const struct metric_label labels[] = {{"pool", pools[i].config->name},
							      {NULL, NULL}};
			const uint64_t values[] = {pools[i].n_total, pools[i].n_up,
						   pools[i].is_in_panic};
			metrics_count(out, names[f], labels, values[f]);
		}
	}
	put_all_traffic(out, objects);
}

static void put_removed(FILE *out, const struct api_source *source, const struct stats *stats)
{
	struct backend_view view;
	uint64_t n = 0;
	uint64_t n_connections = 0;
	for (uint32_t i = 0; i < api_n_backends(source); i++) {
		if (!api_view_backend(source, stats, i, &view) || !view.is_removed)
			continue;
		n++;
		n_connections += view.traffic->current_connections;
	}
	metrics_family(out, "culvert_removed_backends", METRIC_GAUGE,
		       "Backends that the configuration has left out and that still drain.");
	metrics_count(out, "culvert_removed_backends", NULL, n);
	metrics_family(out, "culvert_removed_backend_connections", METRIC_GAUGE,
		       "Connections of those that are open.");
	metrics_count(out, "culvert_removed_backend_connections", NULL, n_connections);
}

bool metrics_put_objects(FILE *out, const struct api_source *source, const struct stats *stats)
{
	uint32_t n_pools = api_n_pools(source);
	struct objects frontends = {0};
	struct objects backends = {0};
	struct objects sums = {0};
	struct pool_view *pools = calloc(n_pools + 1, sizeof(*pools));
	if (pools)
		api_view_pools(source, stats, pools);
	bool is_whole = pools && gather_frontends(&frontends, source, stats) &&
			gather_backends(&backends, source, stats, pools) &&
			gather_pools(&sums, stats, pools, n_pools);
	if (is_whole) {
		put_frontends(out, &frontends);
		put_backends(out, &backends);
		put_pools(out, pools, n_pools, &sums);
		put_removed(out, source, stats);
	}
	objects_fini(&frontends);
	objects_fini(&backends);
	objects_fini(&sums);
	free(pools);
	return is_whole;
}
