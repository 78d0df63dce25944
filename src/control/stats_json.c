// SPDX-License-Identifier: Apache-2.0
// The statistics as one JSON object. The keys up to "frontends" are those of the program whose
// configuration culvert also reads, so that its dashboards go on working; the others are ours.
#include "culvert/control/stats.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "culvert/control/health.h"

// Takes `value` over, also when it is NULL for want of memory: then false.
static bool put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

static bool put_count(json_t *object, const char *key, uint64_t value)
{
	return put(object, key, json_integer((json_int_t)value));
}

static bool put_traffic(json_t *object, const struct traffic *traffic)
{
	return put_count(object, "total_connections", traffic->total_connections) &&
	       put_count(object, "current_connections", traffic->current_connections) &&
	       put_count(object, "bytes_tx", traffic->bytes_tx) &&
	       put_count(object, "bytes_rx", traffic->bytes_rx);
}

static void add_traffic(struct traffic *sum, const struct traffic *part)
{
	sum->total_connections += part->total_connections;
	sum->current_connections += part->current_connections;
	sum->bytes_tx += part->bytes_tx;
	sum->bytes_rx += part->bytes_rx;
}

// `first` is the running number of the pool's first backend.
static bool put_pool(json_t *pools, const struct stats_source *source,
		     const struct packet_stats *stats, const struct config_pool *pool, size_t first)
{
	struct traffic sum = {0};
	json_t *object = json_object();
	json_t *servers = json_object();
	bool is_good = true;
	for (size_t i = 0; i < pool->n_backends; i++) {
		char name[ENDPOINT_TEXT_MAX];
		bool is_up = health_is_up(source->health, first + i);
		endpoint_format(&pool->backends[i].endpoint, name);
		is_good = is_good && put(servers, name, json_boolean(is_up));
		if (first + i < stats->n_backends)
			add_traffic(&sum, &stats->backends[first + i]);
	}
	is_good = is_good && put_traffic(object, &sum);
	// Both hand-overs happen whatever came before.
	bool has_servers = put(object, "servers", servers);
	return put(pools, pool->name, object) && has_servers && is_good;
}

static bool put_pools(json_t *root, const struct stats_source *source,
		      const struct packet_stats *stats)
{
	const struct config *config = source->config;
	json_t *pools = json_object();
	bool is_good = true;
	size_t first = 0;
	for (size_t i = 0; i < config->n_pools; i++) {
		is_good = is_good && put_pool(pools, source, stats, &config->pools[i], first);
		first += config->pools[i].n_backends;
	}
	return put(root, "backends", pools) && is_good;
}

static bool put_frontends(json_t *root, const struct config *config,
			  const struct packet_stats *stats)
{
	static const struct traffic none;
	json_t *frontends = json_object();
	bool is_good = true;
	for (size_t i = 0; i < config->n_frontends; i++) {
		json_t *object = json_object();
		bool is_full =
			put_traffic(object, i < stats->n_frontends ? &stats->frontends[i] : &none);
		is_good = put(frontends, config->frontends[i].name, object) && is_full && is_good;
	}
	return put(root, "frontends", frontends) && is_good;
}

static bool put_packets(json_t *root, const struct packet_stats *stats)
{
	uint64_t n_dropped = 0;
	json_t *drops = json_object();
	bool is_good = true;
	for (unsigned v = VERDICT_PASSED + 1; v < N_VERDICTS; v++) {
		n_dropped += stats->verdicts[v];
		is_good = is_good &&
			  put_count(drops, verdict_name((enum verdict)v), stats->verdicts[v]);
	}
	json_t *packets = json_object();
	is_good = is_good && put_count(packets, "received", stats->received) &&
		  put_count(packets, "forwarded", stats->verdicts[VERDICT_FORWARDED]) &&
		  put_count(packets, "passed", stats->verdicts[VERDICT_PASSED]) &&
		  put_count(packets, "dropped", n_dropped) &&
		  put_count(packets, "generated", stats->generated) &&
		  put_count(packets, "suppressed", stats->suppressed) &&
		  put_count(packets, "kernel_dropped", stats->kernel_dropped);
	bool has_packets = put(root, "packets", packets);
	return put(root, "drops", drops) && has_packets && is_good;
}

static bool put_flows(json_t *root, const struct packet_stats *stats)
{
	json_t *flows = json_object();
	bool is_good = put_count(flows, "current", stats->flows) &&
		       put_count(flows, "capacity", stats->flow_capacity) &&
		       put_count(flows, "reclaimed", stats->flows_reclaimed);
	return put(root, "flows", flows) && is_good;
}

char *stats_to_json(const struct stats_source *source, const struct packet_stats *stats)
{
	const struct traffic *total = &stats->total;
	json_t *root = json_object();
	char *text = NULL;
	if (put_count(root, "total_connections", total->total_connections) &&
	    put_count(root, "current_connections", total->current_connections) &&
	    put_count(root, "total_bytes_tx", total->bytes_tx) &&
	    put_count(root, "total_bytes_rx", total->bytes_rx) && put_pools(root, source, stats) &&
	    put_frontends(root, source->config, stats) && put_packets(root, stats) &&
	    put_flows(root, stats))
		text = json_dumps(root, JSON_INDENT(2));
	json_decref(root);
	return text;
}
