// SPDX-License-Identifier: Apache-2.0
#include "culvert/control/api_json.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/line.h"

enum { MS_PER_S = 1000 };

json_t *api_text_to_json(const char *text)
{
	char *copy = strdup(text);
	if (copy)
		line_make_valid(copy);
	json_t *string = json_string(copy);
	free(copy);
	return string;
}

json_t *api_hop_to_json(const struct snapshot_hop *hop, const char *interface)
{
	static const char *const states[] = {
		[HOP_NO_ROUTE] = "no_route",
		[HOP_UNRESOLVED] = "unresolved",
		[HOP_READY] = "ready",
	};
	char mac[MAC_ADDR_TEXT_MAX];
	char source[IP_ADDR_TEXT_MAX];
	bool has_route = hop->state != HOP_NO_ROUTE;
	bool is_ready = hop->state == HOP_READY;
	json_t *name = has_route && interface ? api_text_to_json(interface) : json_null();
	return json_pack("{s:s, s:o, s:s?, s:s?}", "state", states[hop->state], "interface", name,
			 "mac", is_ready ? mac_addr_format(&hop->mac, mac) : NULL, "source",
			 has_route ? ip_addr_format(&hop->source, source) : NULL);
}

json_t *api_name_of_backend(const struct snapshot_backend *backend)
{
	return json_sprintf("%s/%s", backend->pool_config->name, backend->config->name);
}

static json_t *backend_of(const struct registry *registry, const struct flow_row *row)
{
	if (row->backend == QUERY_ANY)
		return json_null();
	const struct snapshot_backend *backend = registry_backend(registry, (uint32_t)row->backend);
	return backend->config ? api_name_of_backend(backend) : NULL;
}

json_t *api_pair_to_json(enum mode mode, uint64_t rx, uint64_t tx)
{
	json_t *received = mode == MODE_DSR ? json_null() : json_integer((json_int_t)rx);
	return json_pack("{s:o, s:I}", "rx", received, "tx", (json_int_t)tx);
}

// What there is in some modes only.
static bool put_ways(json_t *object, enum mode mode, const struct flow_row *row)
{
	char nat[ENDPOINT_TEXT_MAX];
	if (mode != MODE_PROXY &&
	    json_object_set_new(object, "fast_path", json_boolean(row->is_fast)))
		return false;
	return !row->nat.port_be ||
	       json_object_set_new(object, "nat", json_string(endpoint_format(&row->nat, nat))) ==
		       0;
}

json_t *api_flow_to_json(const struct registry *registry, const struct flow_row *row)
{
	char client[ENDPOINT_TEXT_MAX];
	const struct snapshot_frontend *frontend = registry_frontend(registry, row->frontend);
	json_t *backend = backend_of(registry, row);
	if (!frontend->config || !backend) {
		json_decref(backend);
		return NULL;
	}
	enum mode mode = registry_config(registry)->mode;
	json_t *object = json_pack("{s:s, s:s, s:s, s:o, s:s, s:f, s:f, s:o}", "protocol",
				   row->client.proto == IPPROTO_UDP ? "udp" : "tcp", "client",
				   endpoint_format(&row->client, client), "frontend",
				   frontend->config->name, "backend", backend, "state", row->state,
				   "idle", (double)row->idle_ms / MS_PER_S, "expires_in",
				   (double)row->expires_ms / MS_PER_S, "bytes",
				   api_pair_to_json(mode, row->bytes_rx, row->bytes_tx));
	if (object && !put_ways(object, mode, row)) {
		json_decref(object);
		return NULL;
	}
	return object;
}
