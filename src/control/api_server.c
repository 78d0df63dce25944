// SPDX-License-Identifier: Apache-2.0
// The HTTP side of the API. It shares the control thread's event loop with everything else, so
// whatever its clients do must stay small: few connections, small requests, short lives, and a
// bound on what slow readers keep in memory. The Unix socket has places of its own: clients of TCP
// cannot keep the administrator out.
#include "control/api_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/api_guard.h"
#include "control/api_request.h"
#include "control/api_socket.h"
#include "control/api_view.h"
#include "control/page.h"
#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "culvert/net/sockaddr.h"

enum {
	MAX_BODY = 4096,
	// What operators send: a configuration file, in which each byte may have become two.
	MAX_LOCAL_BODY = 2 * CONFIG_FILE_MAX_BYTES + MAX_BODY,
	MAX_HEADERS = 8192,
	IDLE_S = 5,
	BACKLOG = 64,
	MAX_HELD = 16,         // requests of a door that wait for an answer
	MAX_UNSENT = 32 << 20, // bytes; beyond that clients are told to come back
};

// All that evhttp knows, so that the answer to a wrong one is ours.
static const uint32_t every_method = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
				     EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
				     EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH;

// One of the two ways in.
struct door {
	struct api *api; // borrowed
	struct evhttp *http;
	struct conn_gate *gate;
	bool is_local; // by the Unix socket
};

struct api {
	struct api_source source;
	struct api_router router;
	struct api_requests open;
	struct door tcp;
	struct door local;
	char *socket_path; // owned; NULL: there is none
};

// ---- requests ----------------------------------------------------------------------------------

static bool is_read_only(enum evhttp_cmd_type method)
{
	return method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD;
}

static void refuse_method(struct api_request *request, const struct api_match *match)
{
	const char *allowed = match->has_get ? "GET, HEAD" : "POST";
	if (match->has_get && match->has_post)
		allowed = "GET, HEAD, POST";
	evhttp_add_header(evhttp_request_get_output_headers(request->http), "Allow", allowed);
	api_answer_error(request, 405, NULL, "the method is not one of %s", allowed);
}

// `or_else` is another way out, "" if there is none.
static void refuse_over_tcp(const struct api *api, struct api_request *request, const char *message,
			    const char *or_else)
{
	char hint[ERR_MESSAGE_MAX];
	if (api->socket_path)
		snprintf(hint, sizeof(hint), "ask over the socket %s%s", api->socket_path, or_else);
	else
		snprintf(hint, sizeof(hint), "set [api] socket, and ask there%s", or_else);
	api_answer_error(request, 403, hint, "%s", message);
}

// False: that is answered.
static bool is_allowed(const struct door *door, struct api_request *request)
{
	if (door->is_local)
		return true;
	if (!is_read_only(evhttp_request_get_command(request->http))) {
		refuse_over_tcp(door->api, request, "nothing can be changed over TCP", "");
		return false;
	}
	if (request->match.is_private && !api_config(&door->api->source)->stats_token) {
		refuse_over_tcp(door->api, request,
				"who the clients are and what they send is not told over TCP "
				"without a token",
				", or set [stats] token");
		return false;
	}
	return true;
}

static unsigned count_held(const struct door *door)
{
	const struct api_request *request;
	unsigned n = 0;
	LIST_FOREACH (request, &door->api->open, link)
		n += request->is_held && request->gate == door->gate;
	return n;
}

// Too much is under way already for one more, but for being asked whether it lives.
static bool is_busy(const struct door *door)
{
	return conn_gate_unsent_bytes(door->gate) > MAX_UNSENT || count_held(door) >= MAX_HELD;
}

// False: that is answered. A browser cannot send a token before it has the page that asks for it.
static bool is_admitted(const struct door *door, struct api_request *request)
{
	if (door->is_local || page_has_route(request->match.route))
		return true;
	return api_guard_admit(request, api_config(&door->api->source)->stats_token);
}

static void handle(const struct door *door, struct api_request *request)
{
	bool is_over = false;
	struct api_match *match = &request->match;
	enum evhttp_cmd_type method = evhttp_request_get_command(request->http);
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request->http));
	if (!path)
		path = "";
	api_router_find(&door->api->router, method, path, match);
	if (!is_admitted(door, request))
		return;
	if (!match->has_get && !match->has_post) {
		api_answer_error(request, 404, "docs/api.md lists what there is",
				 "there is nothing at this path");
	} else if (!match->route) {
		refuse_method(request, match);
	} else if (!is_allowed(door, request)) {
		return;
	} else if (is_busy(door) && strcmp(match->route->pattern, "/healthz") != 0) {
		api_answer_error(request, 503, "try again in a second",
				 "too many requests are under way");
	} else if (api_request_parse(request)) {
		request->is_over = &is_over;
		match->route->handler(request, match->arg);
		if (!is_over)
			api_request_hold(request);
	}
}

static void on_request(struct evhttp_request *http, void *arg)
{
	struct door *door = arg;
	conn_gate_on_request(door->gate, http);
	struct api_request *request =
		api_request_open(&door->api->open, http, door->gate, &door->api->source);
	if (request)
		handle(door, request);
	else
		evhttp_send_error(http, HTTP_SERVUNAVAIL, NULL);
}

void api_add_routes(struct api *api, const struct api_route *routes, size_t n, void *arg)
{
	for (size_t i = 0; i < n; i++)
		api_router_add(&api->router, &routes[i], false, arg);
}

void api_add_private_routes(struct api *api, const struct api_route *routes, size_t n, void *arg)
{
	for (size_t i = 0; i < n; i++)
		api_router_add(&api->router, &routes[i], true, arg);
}

// ---- the ways in -------------------------------------------------------------------------------

static int open_tcp_listener(struct evconnlistener **listener, struct event_base *base,
			     const struct config *config, struct err *err)
{
	struct endpoint endpoint = {.addr = config->stats_listen_addr,
				    .port_be = htons(config->stats_port),
				    .proto = IPPROTO_TCP};
	struct sockaddr_storage sockaddr;
	socklen_t size = sockaddr_from_endpoint(&endpoint, &sockaddr);
	*listener = evconnlistener_new_bind(base, NULL, NULL,
					    LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC |
						    LEV_OPT_CLOSE_ON_FREE,
					    BACKLOG, (struct sockaddr *)&sockaddr, (int)size);
	if (*listener)
		return 0;
	char text[ENDPOINT_TEXT_MAX];
	return err_sys(err, errno ? -errno : -ENOMEM,
		       "cannot listen for statistics on %s (choose another [stats] port or "
		       "listen_addr)",
		       endpoint_format(&endpoint, text));
}

static void close_door(struct door *door)
{
	if (door->http)
		evhttp_free(door->http); // and with it the listener and every connection
	conn_gate_destroy(door->gate);
	door->http = NULL;
	door->gate = NULL;
}

// The listener is taken over in any case.
static int open_door(struct door *door, struct event_base *base, struct evconnlistener *listener,
		     struct err *err)
{
	const unsigned max_body = door->is_local ? MAX_LOCAL_BODY : MAX_BODY;
	door->http = evhttp_new(base);
	if (!door->http)
		goto fail;
	evhttp_set_max_body_size(door->http, max_body);
	evhttp_set_max_headers_size(door->http, MAX_HEADERS);
	evhttp_set_timeout(door->http, IDLE_S);
	evhttp_set_allowed_methods(door->http, every_method);
	evhttp_set_gencb(door->http, on_request, door);
	door->gate = conn_gate_create(base, door->http, listener, max_body + MAX_HEADERS);
	if (door->gate && evhttp_bind_listener(door->http, listener))
		return 0;
fail:
	close_door(door);
	evconnlistener_free(listener);
	return err_set(err, -ENOMEM, "not enough memory for the API");
}

static int open_tcp(struct api *api, struct event_base *base, struct err *err)
{
	struct evconnlistener *listener = NULL;
	if (api_config(&api->source)->stats_port == 0)
		return 0;
	int code = open_tcp_listener(&listener, base, api_config(&api->source), err);
	return code ? code : open_door(&api->tcp, base, listener, err);
}

// Without its socket the API is less, and the data path is not.
static void warn_without_socket(int code, const struct err *err)
{
	if (code == -EADDRINUSE)
		log_warn("api",
			 "%s, perhaps a culvert of another network namespace; going on without a "
			 "socket: set another path by [api] socket, or \"off\"",
			 err->message);
	else
		log_warn("api",
			 "%s; going on without a socket: set another path by [api] socket, or "
			 "\"off\"",
			 err->message);
}

static int open_local(struct api *api, struct event_base *base, struct err *err)
{
	struct err why = {0};
	const char *path = api_config(&api->source)->api_socket;
	if (!path)
		return 0;
	int fd = api_socket_open(path, &why);
	if (fd < 0) {
		warn_without_socket(fd, &why);
		return 0;
	}
	api->socket_path = strdup(path);
	struct evconnlistener *listener =
		evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE,
				   0, fd);
	if (!listener || !api->socket_path) {
		if (listener)
			evconnlistener_free(listener);
		else
			close(fd);
		api_socket_remove(path);
		return err_set(err, -ENOMEM, "not enough memory for the API");
	}
	return open_door(&api->local, base, listener, err);
}

int api_start(struct api **api, struct event_base *base, const struct api_source *source,
	      struct err *err)
{
	struct api *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the API");
	made->source = *source;
	made->source.started_ms = clock_wall_ms();
	made->source.started_ns = clock_now_ns();
	made->tcp = (struct door){.api = made};
	made->local = (struct door){.api = made, .is_local = true};
	LIST_INIT(&made->open);
	api_add_admin(made);
	api_add_config(made);
	api_add_drops(made);
	api_add_flows(made);
	api_add_listing(made);
	api_add_metrics(made);
	api_add_stats(made);
	api_add_status(made);
	page_add_routes(made);
	int code = open_tcp(made, base, err);
	if (!code)
		code = open_local(made, base, err);
	if (code)
		api_stop(made);
	else
		*api = made;
	return code;
}

void api_stop(struct api *api)
{
	if (!api)
		return;
	while (!LIST_EMPTY(&api->open))
		api_answer_error(LIST_FIRST(&api->open), 503, NULL, "culvert stops");
	close_door(&api->tcp);
	close_door(&api->local);
	if (api->socket_path)
		api_socket_remove(api->socket_path);
	free(api->socket_path);
	free(api);
}

const char *api_socket_path(const struct api *api)
{
	return api->socket_path;
}
