// SPDX-License-Identifier: Apache-2.0
// Which handler a method and a path belong to. Patterns are of whole segments; "*" stands for any
// one that is not empty, which the handler gets decoded: "/api/v1/servers/*/state".
// Called by: control.
#pragma once

#include <event2/http.h>
#include <stdbool.h>
#include <stddef.h>

struct api_request;

enum { API_CAPTURES_MAX = 2, API_ROUTES_MAX = 64, API_SEGMENT_MAX = 256 };

typedef void (*api_handler_fn)(struct api_request *request, void *arg);

struct api_route {
	enum evhttp_cmd_type method; // EVHTTP_REQ_GET, which is HEAD too, or EVHTTP_REQ_POST
	const char *pattern;         // static
	api_handler_fn handler;
};

struct api_router {
	struct {
		const struct api_route *route; // borrowed
		void *arg;
		bool is_private;
	} entries[API_ROUTES_MAX];
	size_t n_entries;
};

struct api_match {
	const struct api_route *route; // NULL: none
	void *arg;
	bool is_private;
	bool has_get; // the path has a handler of that method
	bool has_post;
	char captures[API_CAPTURES_MAX][API_SEGMENT_MAX]; // decoded, in order
};

// `route` is borrowed as long as the router. There is room for API_ROUTES_MAX of them, which is an
// invariant of the program. `is_private` is found again in the match.
void api_router_add(struct api_router *router, const struct api_route *route, bool is_private,
		    void *arg);

// `path` as it came, encoded. The first route that fits counts.
void api_router_find(const struct api_router *router, enum evhttp_cmd_type method, const char *path,
		     struct api_match *match);
