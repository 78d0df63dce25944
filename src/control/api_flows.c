// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/flows and /api/v1/explain: what is asked is checked here; the data path answers.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "control/api_params.h"
#include "control/api_request.h"
#include "control/api_server.h"

enum { FLOWS_LIMIT = 100, FLOWS_LIMIT_MAX = 10000 };

// ---- flows -------------------------------------------------------------------------------------

// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80".
static bool parse_client(struct api_request *request, struct api_flow_query *query)
{
	const char *text = api_request_param(request, "client");
	struct endpoint endpoint;
	if (!text)
		return true;
	query->has_client = true;
	if (ip_addr_parse(text, &query->client))
		return true;
	if (endpoint_parse(text, &endpoint)) {
		query->client = endpoint.addr;
		query->client_port_be = endpoint.port_be;
		return true;
	}
	api_answer_error(request, 400, "write 192.0.2.1 or 192.0.2.1:80, [2001:db8::1]:80",
			 "client: \"%s\" is not an address", text);
	return false;
}

static bool parse_names(struct api_request *request, struct api_flow_query *query)
{
	const char *server = api_request_param(request, "server");
	const char *frontend = api_request_param(request, "frontend");
	uint32_t number;
	if (server) {
		if (!api_find_backend(request, NULL, server, &number))
			return false;
		query->backend = (int32_t)number;
	}
	if (frontend) {
		if (!api_find_frontend(request, frontend, &number))
			return false;
		query->frontend = (int32_t)number;
	}
	return true;
}

static void on_flows(struct api_request *request, void *arg)
{
	(void)arg;
	static const char *const keys[] = {"client", "server", "frontend", "limit", NULL};
	const struct api_source *source = request->source;
	struct api_flow_query query = {.backend = -1, .frontend = -1};
	if (!source->ops->flows)
		api_answer_lacking(request, "listing of flows");
	else if (api_params_known(request, keys) && parse_client(request, &query) &&
		 parse_names(request, &query) &&
		 api_param_number(request, "limit", FLOWS_LIMIT, 1, FLOWS_LIMIT_MAX, &query.limit))
		source->ops->flows(source->arg, &query, request);
}

// ---- explain -----------------------------------------------------------------------------------

static bool parse_protocol(struct api_request *request, uint8_t *proto)
{
	const char *text = api_request_param(request, "protocol");
	if (!text || strcmp(text, "tcp") == 0) {
		*proto = IPPROTO_TCP;
		return true;
	}
	if (strcmp(text, "udp") == 0) {
		*proto = IPPROTO_UDP;
		return true;
	}
	api_answer_error(request, 400, NULL, "protocol: \"%s\" is neither tcp nor udp", text);
	return false;
}

static bool parse_endpoint(struct api_request *request, const char *key, uint8_t proto,
			   struct endpoint *endpoint)
{
	static const char advice[] = "write 192.0.2.1:80 or [2001:db8::1]:80";
	const char *text = api_request_param(request, key);
	if (text && endpoint_parse(text, endpoint)) {
		endpoint->proto = proto;
		return true;
	}
	if (text)
		api_answer_error(request, 400, advice, "%s: \"%s\" is not an address with a port",
				 key, text);
	else
		api_answer_error(request, 400, advice, "%s is missing", key);
	return false;
}

static bool is_one_family(struct api_request *request, const struct api_explain_query *query)
{
	if (ip_addr_is_v4(&query->client.addr) == ip_addr_is_v4(&query->vip.addr))
		return true;
	api_answer_error(request, 400, NULL, "client and vip are of different address families");
	return false;
}

static void on_explain(struct api_request *request, void *arg)
{
	(void)arg;
	static const char *const keys[] = {"client", "vip", "protocol", NULL};
	const struct api_source *source = request->source;
	struct api_explain_query query = {0};
	uint8_t proto;
	if (!source->ops->explain)
		api_answer_lacking(request, "explanations");
	else if (api_params_known(request, keys) && parse_protocol(request, &proto) &&
		 parse_endpoint(request, "client", proto, &query.client) &&
		 parse_endpoint(request, "vip", proto, &query.vip) &&
		 is_one_family(request, &query))
		source->ops->explain(source->arg, &query, request);
}

void api_add_flows(struct api *api)
{
	static const struct api_route flows = {EVHTTP_REQ_GET, "/api/v1/flows", on_flows};
	static const struct api_route explain = {EVHTTP_REQ_GET, "/api/v1/explain", on_explain};
	api_add_private_routes(api, &flows, 1, NULL);
	api_add_routes(api, &explain, 1, NULL);
}
