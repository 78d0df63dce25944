// SPDX-License-Identifier: Apache-2.0
// Paths to handlers.
#include "control/api_router.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void on_any(struct api_request *request, void *arg)
{
	(void)request;
	(void)arg;
}

static const struct api_route routes[] = {
	{EVHTTP_REQ_GET, "/", on_any},
	{EVHTTP_REQ_GET, "/stats", on_any},
	{EVHTTP_REQ_POST, "/servers/*/state", on_any},
	{EVHTTP_REQ_POST, "/servers/*/*/state", on_any},
	{EVHTTP_REQ_GET, "/both", on_any},
	{EVHTTP_REQ_POST, "/both", on_any},
};

enum { N_ROUTES = sizeof(routes) / sizeof(routes[0]), PRIVATE = 4, NONE = -1 };

static struct api_match find(enum evhttp_cmd_type method, const char *path)
{
	struct api_router router = {0};
	struct api_match match;
	for (size_t i = 0; i < N_ROUTES; i++)
		api_router_add(&router, &routes[i], i == PRIVATE, NULL);
	api_router_find(&router, method, path, &match);
	return match;
}

Test(api_router, a_path_has_one_handler_or_none)
{
	char too_long[API_SEGMENT_MAX + 32];
	char name[API_SEGMENT_MAX + 1];
	memset(name, 'a', API_SEGMENT_MAX);
	name[API_SEGMENT_MAX] = '\0';
	snprintf(too_long, sizeof(too_long), "/servers/%s/state", name);
	const struct {
		enum evhttp_cmd_type method;
		const char *path;
		int route;
		const char *first;
		const char *second;
	} cases[] = {
		{EVHTTP_REQ_GET, "/", 0, "", ""},
		{EVHTTP_REQ_HEAD, "/stats", 1, "", ""},
		{EVHTTP_REQ_GET, "/stats", 1, "", ""},
		{EVHTTP_REQ_GET, "", NONE, "", ""},
		{EVHTTP_REQ_GET, "stats", NONE, "", ""},
		{EVHTTP_REQ_GET, "/stats/", NONE, "", ""},
		{EVHTTP_REQ_GET, "//stats", NONE, "", ""},
		{EVHTTP_REQ_GET, "/statsx", NONE, "", ""},
		{EVHTTP_REQ_GET, "/stat", NONE, "", ""},
		{EVHTTP_REQ_GET, "/%73tats", NONE, "", ""},
		{EVHTTP_REQ_POST, "/stats", NONE, "", ""},
		{EVHTTP_REQ_PUT, "/stats", NONE, "", ""},
		{EVHTTP_REQ_POST, "/servers/b1/state", 2, "b1", ""},
		{EVHTTP_REQ_POST, "/servers/web/b1/state", 3, "web", "b1"},
		{EVHTTP_REQ_POST, "/servers/a%20b%2fc/%C3%A4/state", 3, "a b/c", "\xc3\xa4"},
		{EVHTTP_REQ_POST, "/servers//state", NONE, "", ""},
		{EVHTTP_REQ_POST, "/servers/b%0/state", NONE, "", ""},
		{EVHTTP_REQ_POST, "/servers/b%/state", NONE, "", ""},
		{EVHTTP_REQ_POST, "/servers/b%zz/state", NONE, "", ""},
		{EVHTTP_REQ_POST, "/servers/b%00c/state", NONE, "", ""},
		{EVHTTP_REQ_POST, "/servers/a/b/c/state", NONE, "", ""},
		{EVHTTP_REQ_POST, too_long, NONE, "", ""},
		{EVHTTP_REQ_POST, "/both", 5, "", ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct api_match match = find(cases[i].method, cases[i].path);
		const struct api_route *expected =
			cases[i].route == NONE ? NULL : &routes[cases[i].route];
		cr_expect_eq(match.route, expected, "%s", cases[i].path);
		if (!expected || !match.route)
			continue;
		cr_expect_str_eq(match.captures[0], cases[i].first, "%s", cases[i].path);
		cr_expect_str_eq(match.captures[1], cases[i].second, "%s", cases[i].path);
	}
}

Test(api_router, a_wrong_method_learns_which_would_do)
{
	struct api_match match = find(EVHTTP_REQ_DELETE, "/both");
	cr_expect(!match.route && match.has_get && match.has_post);
	match = find(EVHTTP_REQ_POST, "/stats");
	cr_expect(!match.route && match.has_get && !match.has_post);
	match = find(EVHTTP_REQ_GET, "/servers/b1/state");
	cr_expect(!match.route && !match.has_get && match.has_post);
	match = find(EVHTTP_REQ_GET, "/nowhere");
	cr_expect(!match.route && !match.has_get && !match.has_post);
}
