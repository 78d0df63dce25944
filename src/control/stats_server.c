// SPDX-License-Identifier: Apache-2.0
// The HTTP side of the statistics. It shares the control thread's event loop with everything else,
// so whatever its clients do must stay small: few connections, small requests, short lives.
#include "culvert/control/stats.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn_gate.h"
#include "culvert/base/log.h"
#include "culvert/net/sockaddr.h"

enum { MAX_BODY = 1024, MAX_HEADERS = 8192, IDLE_S = 5, BACKLOG = 64 };

// All that evhttp knows, so that the answer to a wrong one is ours.
static const uint32_t every_method = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
				     EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
				     EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH;

struct stats_server {
	struct evhttp *http;
	struct conn_gate *gate;
	struct stats_source source;
};

// One request per connection: a place is free again as soon as its answer is out. evhttp would send
// the body of an answer to HEAD too (RFC 9110 section 9.3.2 forbids it), so that gets its length
// only.
static void reply(struct evhttp_request *request, int status, const char *reason, const char *type,
		  const char *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *buffer = evbuffer_new();
	char length[24];
	snprintf(length, sizeof(length), "%zu", strlen(body) + 1);
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Content-Length", length);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "Connection", "close");
	if (buffer && evhttp_request_get_command(request) != EVHTTP_REQ_HEAD)
		evbuffer_add_printf(buffer, "%s\n", body);
	evhttp_send_reply(request, status, reason, buffer);
	if (buffer)
		evbuffer_free(buffer);
}

static void reply_text(struct evhttp_request *request, int status, const char *reason)
{
	reply(request, status, reason, "text/plain", reason);
}

static void reply_stats(struct evhttp_request *request, const struct stats_source *source)
{
	struct stats stats = {0};
	int code = source->gather(source->arg, &stats);
	char *json = code ? NULL : stats_to_json(source, &stats);
	if (json)
		reply(request, HTTP_OK, "OK", "application/json", json);
	else
		reply_text(request, HTTP_SERVUNAVAIL, "Service Unavailable");
	if (!json)
		log_error("stats", "cannot gather statistics: %s", strerror(code ? -code : ENOMEM));
	free(json);
	stats_fini(&stats);
}

static void on_request(struct evhttp_request *request, void *arg)
{
	const struct stats_server *server = arg;
	conn_gate_on_request(server->gate, request);
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
	enum evhttp_cmd_type method = evhttp_request_get_command(request);
	if (!path || strcmp(path, "/stats") != 0) {
		reply_text(request, HTTP_NOTFOUND, "Not Found");
		return;
	}
	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
		reply_text(request, HTTP_BADMETHOD, "Method Not Allowed");
		return;
	}
	reply_stats(request, &server->source);
}

static int open_listener(struct evconnlistener **listener, struct event_base *base,
			 const struct endpoint *endpoint, struct err *err)
{
	struct sockaddr_storage sockaddr;
	socklen_t size = sockaddr_from_endpoint(endpoint, &sockaddr);
	struct evconnlistener *opened =
		evconnlistener_new_bind(base, NULL, NULL,
					LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC |
						LEV_OPT_CLOSE_ON_FREE,
					BACKLOG, (struct sockaddr *)&sockaddr, (int)size);
	if (!opened) {
		int code = errno ? -errno : -ENOMEM;
		char text[ENDPOINT_TEXT_MAX];
		return err_sys(err, code,
			       "cannot listen for statistics on %s (choose another [stats] port or "
			       "listen_addr)",
			       endpoint_format(endpoint, text));
	}
	*listener = opened;
	return 0;
}

static struct evhttp *open_http(struct event_base *base, struct stats_server *server)
{
	struct evhttp *http = evhttp_new(base);
	if (!http)
		return NULL;
	evhttp_set_max_body_size(http, MAX_BODY);
	evhttp_set_max_headers_size(http, MAX_HEADERS);
	evhttp_set_timeout(http, IDLE_S);
	evhttp_set_allowed_methods(http, every_method);
	evhttp_set_gencb(http, on_request, server);
	return http;
}

int stats_server_start(struct stats_server **server, struct event_base *base,
		       const struct ip_addr *addr, uint16_t port, const struct stats_source *source,
		       struct err *err)
{
	struct endpoint endpoint = {.addr = *addr, .port_be = htons(port), .proto = IPPROTO_TCP};
	struct evconnlistener *listener = NULL;
	int code = open_listener(&listener, base, &endpoint, err);
	if (code)
		return code;
	struct stats_server *created = calloc(1, sizeof(*created));
	if (!created)
		goto free_listener;
	created->source = *source;
	created->http = open_http(base, created);
	if (!created->http)
		goto free_server;
	created->gate = conn_gate_create(base, created->http, listener);
	if (!created->gate || !evhttp_bind_listener(created->http, listener))
		goto free_http;
	*server = created;
	return 0;

free_http:
	evhttp_free(created->http);
	conn_gate_destroy(created->gate);
free_server:
	free(created);
free_listener:
	evconnlistener_free(listener);
	return err_sys(err, -ENOMEM, "cannot start the statistics server");
}

void stats_server_stop(struct stats_server *server)
{
	if (!server)
		return;
	evhttp_free(server->http); // and with it the listener and every connection
	conn_gate_destroy(server->gate);
	free(server);
}
