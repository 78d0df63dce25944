// SPDX-License-Identifier: Apache-2.0
// What a file can say about health checks, and what it is told when that does not fit together.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "config/parse.h"
#include "culvert/config/config_json.h"

#define FRONTEND "[frontends.w]\nlisten_addr = '192.0.2.1:80'\nbackend = 'w'\n"
#define POOL(keys) \
	FRONTEND "[backends.w]\n" keys "[backends.w.servers.s]\naddr = '198.51.100.1:80'\n"
#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct config *parse(const char *text)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	int code = config_parse(text, strlen(text), SYNTAX_TOML, "test", &config, &errors);
	cr_assert_eq(code, 0, "%s", errors.count ? errors.list[0].message : "");
	return config;
}

static void assert_refused(const char *text, unsigned line, const char *message)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	int code = config_parse(text, strlen(text), SYNTAX_TOML, "test", &config, &errors);
	cr_assert_lt(code, 0, "accepted:\n%s", text);
	cr_expect_not_null(strstr(errors.list[0].message, message), "got:    %s\nwanted: %s",
			   errors.list[0].message, message);
	cr_expect_eq(errors.list[0].line, line, "line %u: %s", errors.list[0].line, message);
	cr_expect_eq(errors.count, 1, "the second: %s",
		     errors.count > 1 ? errors.list[1].message : "");
	config_errors_fini(&errors);
}

Test(config_health, defaults)
{
	struct config *config = parse(POOL("health_check = 'http'\n"));
	const struct config_pool *pool = &config->pools[0];
	cr_expect_eq(pool->health_check, HEALTH_HTTP);
	cr_expect_eq(pool->check.method, HTTP_GET);
	cr_expect_str_eq(pool->check.path, "/");
	cr_expect_null(pool->check.host);
	cr_expect_null(pool->check.body);
	cr_expect_null(pool->check.send.bytes);
	cr_expect_null(pool->check.expect.bytes);
	cr_expect(pool->passive_checks);
	cr_expect_eq(pool->slow_start_ms, 0);
	cr_expect_eq(pool->panic_threshold, 0);
	cr_expect_eq(config_check_port(pool, &pool->backends[0]), 80);
	static const unsigned good[] = {200, 204, 301, 399};
	static const unsigned bad[] = {101, 199, 400, 503};
	for (size_t i = 0; i < 4; i++) {
		cr_expect(config_check_takes_status(&pool->check, good[i]), "%u", good[i]);
		cr_expect_not(config_check_takes_status(&pool->check, bad[i]), "%u", bad[i]);
	}
	config_destroy(config);
}

Test(config_health, every_key_of_http)
{
	struct config *config = parse(POOL("health_check = 'http'\nhealth_check_method = 'GET'\n"
					   "health_check_path = '/up?x=%20'\n"
					   "health_check_host = 'www.example'\n"
					   "health_check_status = ['200-299', '401']\n"
					   "health_check_body = 'all well'\n"
					   "health_check_port = 8080\npassive_checks = false\n"
					   "slow_start = 2.5\npanic_threshold = 50\n"));
	const struct config_pool *pool = &config->pools[0];
	cr_expect_str_eq(pool->check.path, "/up?x=%20");
	cr_expect_str_eq(pool->check.host, "www.example");
	cr_expect_str_eq(pool->check.body, "all well");
	cr_expect(config_check_takes_status(&pool->check, 299));
	cr_expect(config_check_takes_status(&pool->check, 401));
	cr_expect_not(config_check_takes_status(&pool->check, 300));
	cr_expect_not(config_check_takes_status(&pool->check, 400));
	cr_expect_eq(config_check_port(pool, &pool->backends[0]), 8080);
	cr_expect_not(pool->passive_checks);
	cr_expect_eq(pool->slow_start_ms, 2500);
	cr_expect_eq(pool->panic_threshold, 50);
	config_destroy(config);
}

Test(config_health, one_status_need_not_be_a_list)
{
	struct config *config = parse(POOL("health_check = 'http'\nhealth_check_status = 204\n"));
	cr_expect(config_check_takes_status(&config->pools[0].check, 204));
	cr_expect_not(config_check_takes_status(&config->pools[0].check, 200));
	config_destroy(config);
}

static void expect_octets(const struct config_octets *octets, const char *bytes, size_t n)
{
	cr_assert_not_null(octets->bytes);
	cr_expect_eq(octets->n, n, "%zu", octets->n);
	cr_expect_arr_eq(octets->bytes, bytes, n);
}

Test(config_health, datagrams_are_text_or_hexadecimal)
{
	struct config *config = parse(POOL("health_check = 'udp'\nhealth_check_send = \"pi\\nng\"\n"
					   "health_check_expect = 'hex:00 fFa0 09'\n"));
	expect_octets(&config->pools[0].check.send, "pi\nng", 5);
	expect_octets(&config->pools[0].check.expect, "\0\xff\xa0\x09", 4);
	config_destroy(config);
	config = parse(POOL("health_check = 'udp'\nhealth_check_expect = ''\n"));
	expect_octets(&config->pools[0].check.expect, "", 0);
	cr_expect_null(config->pools[0].check.send.bytes);
	config_destroy(config);
}

Test(config_health, a_backend_may_have_a_port_of_its_own)
{
	struct config *config =
		parse(FRONTEND "[backends.w]\nhealth_check_port = 81\n[backends.w.servers]\n"
			       "a = {addr = '198.51.100.1:80', health_check_port = 82}\n"
			       "b = {addr = '198.51.100.2:80'}\n");
	const struct config_pool *pool = &config->pools[0];
	cr_expect_eq(config_check_port(pool, &pool->backends[0]), 82);
	cr_expect_eq(config_check_port(pool, &pool->backends[1]), 81);
	config_destroy(config);
}

Test(config_health, values_that_make_no_sense)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *message;
	} cases[] = {
		{POOL("health_check = 'https'\n"), 5,
		 "health_check: \"https\" is not known; write \"tcp\", \"http\", \"udp\" or "
		 "\"none\""},
		{POOL("health_check = 'http'\nhealth_check_method = 'POST'\n"), 6,
		 "health_check_method: \"POST\" is not known; write \"GET\" or \"HEAD\""},
		{POOL("health_check = 'http'\nhealth_check_path = ''\n"), 6,
		 "is too short or too long; write a string of 1 to 1024 bytes"},
		{POOL("health_check = 'http'\nhealth_check_path = 'up'\n"), 6,
		 "health_check_path: a path begins with \"/\"; write \"/up\""},
		{POOL("health_check = 'http'\nhealth_check_path = '/a b'\n"), 6,
		 "health_check_path: there is a blank"},
		{POOL("health_check = 'http'\nhealth_check_path = \"/\\r\\nX: y\"\n"), 6,
		 "health_check_path: "},
		{POOL("health_check = 'http'\nhealth_check_host = 'a b'\n"), 6,
		 "health_check_host: there is a blank in it; write it percent-encoded"},
		{POOL("health_check = 'http'\nhealth_check_status = '399-200'\n"), 6,
		 "health_check_status: \"399-200\" is out of range"},
		{POOL("health_check = 'http'\nhealth_check_status = ['2xx']\n"), 6,
		 "health_check_status: \"2xx\" is not a range of HTTP statuses; write a status "
		 "from 100 to 599 or a range of them, as in \"200\" or \"200-399\""},
		{POOL("health_check = 'http'\nhealth_check_status = '200-3999'\n"), 6,
		 "is not a range of HTTP statuses"},
		{POOL("health_check = 'http'\nhealth_check_method = 'HEAD'\n"
		      "health_check_body = 'ok'\n"),
		 7, "health_check_body: an answer to HEAD has no body"},
		{POOL("health_check = 'udp'\nhealth_check_send = 'hex:012'\n"), 6,
		 "health_check_send: \"hex:012\" is not hexadecimal"},
		{POOL("health_check_path = '/up'\n"), 5,
		 "health_check_path: health_check \"tcp\" would ignore it; take it out, or choose "
		 "health_check = \"http\""},
		{POOL("health_check = 'http'\nhealth_check_send = 'x'\n"), 6,
		 "health_check_send: health_check \"http\" would ignore it; take it out, or choose "
		 "health_check = \"udp\""},
		{POOL("health_check = 'none'\npassive_checks = true\n"), 6,
		 "passive_checks: without health checks nothing would bring a backend up again"},
		{POOL("panic_threshold = 101\n"), 5, "panic_threshold: 101 is out of range"},
		{FRONTEND "[backends.w]\nhealth_check_port = 81\n[backends.w.servers.s]\n"
			  "addr = 'unix:/run/x'\n",
		 7, "addr: a local socket has no port"},
		{FRONTEND "[backends.w]\nhealth_check = 'udp'\n[backends.w.servers.s]\n"
			  "addr = 'unix:/run/x'\n",
		 7, "addr: a local socket cannot be asked by UDP"},
	};
	for (size_t i = 0; i < N_OF(cases); i++)
		assert_refused(cases[i].text, cases[i].line, cases[i].message);
}

static void expect_shown(const json_t *pool, const char *key, const char *expected)
{
	char *text = json_dumps(json_object_get(pool, key), JSON_ENCODE_ANY | JSON_COMPACT);
	cr_expect_str_eq(text, expected, "%s: %s, not %s", key, text, expected);
	free(text);
}

// What the API shows.
Test(config_health, is_shown_as_a_file_would_say_it)
{
	struct config *config = parse(POOL("health_check = 'udp'\nhealth_check_send = 'ping'\n"
					   "health_check_expect = 'hex:00 fF'\n"));
	json_t *root = config_to_json(config);
	const json_t *pool = json_object_get(json_object_get(root, "backends"), "w");
	expect_shown(pool, "health_check", "\"udp\"");
	expect_shown(pool, "health_check_send", "\"ping\"");
	expect_shown(pool, "health_check_expect", "\"hex:00ff\"");
	expect_shown(pool, "health_check_host", "null");
	json_decref(root);
	config_destroy(config);
	config = parse(POOL("health_check = 'http'\nhealth_check_status = ['200-299', '401']\n"));
	root = config_to_json(config);
	pool = json_object_get(json_object_get(root, "backends"), "w");
	expect_shown(pool, "health_check_status", "[\"200-299\",\"401\"]");
	expect_shown(pool, "health_check_path", "\"/\"");
	expect_shown(pool, "health_check_send", "null");
	json_decref(root);
	config_destroy(config);
}
