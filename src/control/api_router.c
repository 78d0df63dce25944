// SPDX-License-Identifier: Apache-2.0
#include "control/api_router.h"

#include <assert.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

// One segment without its percent signs (RFC 3986 section 2.1). A zero byte is nothing's name.
static bool decode(const char *segment, size_t length, char *text)
{
	size_t used = 0;
	for (size_t i = 0; i < length; i++) {
		char c = segment[i];
		if (c == '%') {
			int high = i + 2 < length ? hex_digit(segment[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(segment[i + 2]) : -1;
			if (low < 0 || (high == 0 && low == 0))
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (used == API_SEGMENT_MAX - 1)
			return false;
		text[used++] = c;
	}
	text[used] = '\0';
	return used > 0;
}

static bool fits(const char *pattern, const char *path, char captures[][API_SEGMENT_MAX])
{
	unsigned n_captures = 0;
	while (*pattern == '/' && *path == '/') {
		size_t wanted = strcspn(++pattern, "/");
		size_t given = strcspn(++path, "/");
		if (wanted == 1 && *pattern == '*') {
			if (!decode(path, given, captures[n_captures++]))
				return false;
		} else if (wanted != given || memcmp(pattern, path, given) != 0) {
			return false;
		}
		pattern += wanted;
		path += given;
	}
	return *pattern == '\0' && *path == '\0';
}

void api_router_add(struct api_router *router, const struct api_route *route, bool is_private,
		    void *arg)
{
	assert(router->n_entries < API_ROUTES_MAX);
	router->entries[router->n_entries].route = route;
	router->entries[router->n_entries].is_private = is_private;
	router->entries[router->n_entries++].arg = arg;
}

void api_router_find(const struct api_router *router, enum evhttp_cmd_type method, const char *path,
		     struct api_match *match)
{
	if (method == EVHTTP_REQ_HEAD)
		method = EVHTTP_REQ_GET;
	match->route = NULL;
	match->has_get = false;
	match->has_post = false;
	for (size_t i = 0; i < router->n_entries; i++) {
		char captures[API_CAPTURES_MAX][API_SEGMENT_MAX] = {""};
		const struct api_route *route = router->entries[i].route;
		if (!fits(route->pattern, path, captures))
			continue;
		match->has_get |= route->method == EVHTTP_REQ_GET;
		match->has_post |= route->method == EVHTTP_REQ_POST;
		if (route->method != method || match->route)
			continue;
		match->route = route;
		match->arg = router->entries[i].arg;
		match->is_private = router->entries[i].is_private;
		memcpy(match->captures, captures, sizeof(captures));
	}
}
