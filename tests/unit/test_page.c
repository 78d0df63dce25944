// SPDX-License-Identifier: Apache-2.0
// The files of the live page: what is sent with them, and when they are not sent again.
#include "control/page.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../support/lib/api_rig.h"

static struct api_rig rig;

static void setup(void)
{
	api_rig_open(&rig);
}

static void teardown(void)
{
	api_rig_close(&rig);
}

TestSuite(page, .init = setup, .fini = teardown, .timeout = 120);

// `more` is whole lines.
static const char *get(const char *path, const char *more)
{
	char request[512];
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path,
		 more);
	return api_rig_ask(&rig, request);
}

// False in a build with WEB=0, after a look at what it says instead.
static bool is_built_in(void)
{
	const char *answer = get("/", "");
	if (strstr(answer, "HTTP/1.1 200 "))
		return true;
	cr_assert(strstr(answer, "HTTP/1.1 404 ") && strstr(answer, "was not built into"), "%s",
		  answer);
	return false;
}

Test(page, comes_with_a_policy_that_keeps_everything_else_out)
{
	if (!is_built_in())
		return;
	const char *answer = get("/", "");
	cr_assert(strstr(answer, "Content-Type: text/html; charset=utf-8\r\n"), "%s", answer);
	cr_assert(strstr(answer, "Content-Security-Policy: default-src 'self'; "), "%s", answer);
	cr_assert(strstr(answer, "Cache-Control: no-cache\r\n"), "%s", answer);
	cr_assert_null(strstr(answer, "no-store"), "%s", answer);
	cr_assert_eq(strncmp(api_rig_body(answer), "<!doctype html>", 15), 0, "%s", answer);
}

Test(page, is_compressed_for_those_who_take_that)
{
	static const struct {
		const char *header;
		bool is_gzip;
	} cases[] = {
		{"Accept-Encoding: gzip, br\r\n", true},
		{"Accept-Encoding: br, GZIP;q=0.5\r\n", true},
		{"Accept-Encoding: gzip;q=0\r\n", false},
		{"Accept-Encoding: gzip; q=0.000\r\n", false},
		{"Accept-Encoding: identity\r\n", false},
		{"", false},
	};
	if (!is_built_in())
		return;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *answer = get("/page/page.js", cases[i].header);
		bool is_gzip = strstr(answer, "Content-Encoding: gzip\r\n") != NULL;
		cr_assert_eq(is_gzip, cases[i].is_gzip, "%s%s", cases[i].header, answer);
		cr_assert_eq(strncmp(api_rig_body(answer), "\x1f\x8b", 2) == 0, is_gzip);
		cr_assert(strstr(answer, "Vary: Accept-Encoding\r\n"));
	}
}

Test(page, is_not_sent_again_to_who_has_it)
{
	char more[128];
	char etag[64];
	if (!is_built_in())
		return;
	const char *answer = get("/page/page.css", "");
	const char *found = strstr(answer, "ETag: ");
	cr_assert(found && sscanf(found, "ETag: %63s", etag) == 1);
	snprintf(more, sizeof(more), "If-None-Match: \"x\", %s\r\n", etag);
	answer = get("/page/page.css", more);
	cr_assert(strstr(answer, "HTTP/1.1 304 Not Modified\r\n"), "%s", answer);
	cr_assert_str_eq(api_rig_body(answer), "");
	answer = get("/page/page.css", "If-None-Match: \"x\"\r\n");
	cr_assert(strstr(answer, "HTTP/1.1 200 "), "%s", answer);
	// The compressed form is another one.
	snprintf(more, sizeof(more), "If-None-Match: %s\r\nAccept-Encoding: gzip\r\n", etag);
	answer = get("/page/page.css", more);
	cr_assert(strstr(answer, "HTTP/1.1 200 "), "%s", answer);
}

// A browser sends no token before the page has asked for it, and the page is nobody's secret.
Test(page, is_had_without_the_token_that_all_else_wants)
{
	static char token[] = "0123456789abcdef";
	struct api_rig guarded;
	api_rig_init(&guarded);
	guarded.config.stats_token = token;
	api_rig_start(&guarded);
	const char *answer = api_rig_ask(&guarded, "GET /page/page.js HTTP/1.0\r\n\r\n");
	cr_expect_null(strstr(answer, " 401 "), "%s", answer);
	answer = api_rig_ask(&guarded, "GET /stats HTTP/1.0\r\n\r\n");
	cr_expect(strstr(answer, " 401 "), "%s", answer);
	api_rig_close(&guarded);
}
