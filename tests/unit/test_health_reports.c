// SPDX-License-Identifier: Apache-2.0
// What the data path reports about a backend, next to what checks find.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/control/health.h"

enum { GIVE_UP_S = 30 };

struct bench {
	struct config_backend backend;
	struct config_pool pool;
	struct config config;
	struct event_base *base;
	struct health *health;
	int listener; // -1: closed
	unsigned n_changes;
	bool is_up;
	char reason[256];
};

static void on_change(void *arg, size_t backend, bool is_up, const char *reason)
{
	struct bench *bench = arg;
	cr_expect_eq(backend, 0);
	bench->n_changes++;
	bench->is_up = is_up;
	snprintf(bench->reason, sizeof(bench->reason), "%s", reason);
}

static void bench_listen(struct bench *bench)
{
	int on = 1;
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = bench->backend.endpoint.port_be};
	socklen_t size = sizeof(addr);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bench->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(bench->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	cr_assert_eq(bind(bench->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(bench->listener, 64), 0);
	getsockname(bench->listener, (struct sockaddr *)&addr, &size);
	bench->backend.endpoint.port_be = addr.sin_port;
}

// A backend that listens, checked every `interval_ms`.
static void bench_init(struct bench *bench, uint32_t interval_ms)
{
	static char name[] = "backend";
	*bench = (struct bench){.base = event_base_new()};
	bench->backend = (struct config_backend){.name = name, .weight = 1};
	cr_assert(ip_addr_parse("127.0.0.1", &bench->backend.endpoint.addr));
	bench->pool = (struct config_pool){.name = name,
					   .backends = &bench->backend,
					   .n_backends = 1,
					   .health_check_interval_ms = interval_ms,
					   .health_check_timeout_ms = 5000,
					   .passive_checks = true,
					   .rise = 1,
					   .fall = 3};
	bench->config = (struct config){.pools = &bench->pool, .n_pools = 1};
	bench_listen(bench);
}

static void bench_start(struct bench *bench)
{
	struct err err = {0};
	cr_assert_eq(health_start(&bench->health, bench->base, &bench->config, on_change, bench,
				  &err),
		     0, "%s", err.message);
}

static void bench_fini(struct bench *bench)
{
	health_stop(bench->health);
	event_base_free(bench->base);
	close(bench->listener);
}

static void give_up(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

// Run the loop until `n` changes have been told in all, or for `ms`. Returns whether they have.
static bool run(struct bench *bench, unsigned n, unsigned ms)
{
	bool is_over = false;
	struct event *limit = evtimer_new(bench->base, give_up, &is_over);
	struct timeval patience = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
	evtimer_add(limit, &patience);
	while (bench->n_changes < n && !is_over)
		event_base_loop(bench->base, EVLOOP_ONCE);
	event_free(limit);
	return bench->n_changes >= n;
}

static void await_changes(struct bench *bench, unsigned n)
{
	cr_assert(run(bench, n, GIVE_UP_S * 1000), "%u changes of %u", bench->n_changes, n);
}

Test(health_reports, a_failure_takes_a_backend_down_until_checks_pass)
{
	struct bench bench;
	bench_init(&bench, 20);
	bench.pool.rise = 3;
	bench_start(&bench);
	await_changes(&bench, 1);
	health_report_failure(bench.health, 0, "refused");
	cr_expect_eq(bench.n_changes, 2);
	cr_expect_not(bench.is_up);
	cr_expect_str_eq(bench.reason, "refused");
	health_report_failure(bench.health, 0, "refused");
	health_report_silence(bench.health, 0);
	cr_expect_eq(bench.n_changes, 2, "it was down already");
	await_changes(&bench, 3);
	cr_expect(bench.is_up);
	cr_expect_not_null(strstr(bench.reason, "3 of 3 checks passed"), "%s", bench.reason);
	bench_fini(&bench);
}

// The API's JSON takes nothing else, and a reason may be cut anywhere.
Test(health_reports, a_reason_is_utf8_whatever_was_quoted)
{
	struct bench bench;
	struct health_report report;
	bench_init(&bench, 3600000);
	bench_start(&bench);
	await_changes(&bench, 1);
	health_report_failure(bench.health, 0, "not \"caf\xc3\xa9 \xe6\xbc\"");
	health_describe(bench.health, 0, &report);
	cr_expect_str_eq(report.reason, "not \"caf\xc3\xa9 ??\"");
	bench_fini(&bench);
}

Test(health_reports, silence_has_the_backend_checked_at_once_and_failing_that_is_enough)
{
	struct bench bench;
	bench_init(&bench, 3600000);
	bench_start(&bench);
	await_changes(&bench, 1);
	run(&bench, 2, 50);
	close(bench.listener);
	bench.listener = -1;
	health_report_silence(bench.health, 0);
	cr_expect_eq(bench.n_changes, 1, "down without a check");
	await_changes(&bench, 2);
	cr_expect_not(bench.is_up);
	cr_expect_str_eq(bench.reason, "connect refused, nor do clients get any answer");
	bench_fini(&bench);
}

Test(health_reports, silence_of_a_backend_that_passes_its_check_is_forgotten)
{
	struct bench bench;
	bench_init(&bench, 3600000);
	bench_start(&bench);
	await_changes(&bench, 1);
	health_report_silence(bench.health, 0);
	cr_expect_not(run(&bench, 2, 100), "%s", bench.reason);
	cr_expect(health_is_up(bench.health, 0));
	// From here on it takes as many failures as ever.
	bench_fini(&bench);
	bench_init(&bench, 20);
	bench_start(&bench);
	await_changes(&bench, 1);
	health_report_silence(bench.health, 0);
	run(&bench, 2, 100);
	close(bench.listener);
	bench.listener = -1;
	await_changes(&bench, 2);
	cr_expect_str_eq(bench.reason, "connect refused, 3 of 3 checks failed");
	bench_fini(&bench);
}

static void expect_deaf(enum health_kind kind, bool is_passive)
{
	struct bench bench;
	bench_init(&bench, 3600000);
	bench.pool.health_check = kind;
	bench.pool.passive_checks = is_passive;
	bench_start(&bench);
	await_changes(&bench, 1);
	health_report_failure(bench.health, 0, "refused");
	health_report_silence(bench.health, 0);
	cr_expect_not(run(&bench, 2, 50), "%s", bench.reason);
	cr_expect(health_is_up(bench.health, 0));
	bench_fini(&bench);
}

Test(health_reports, are_not_for_pools_without_checks_or_that_do_not_want_them)
{
	expect_deaf(HEALTH_NONE, true);
	expect_deaf(HEALTH_TCP, false);
}

static void expect_request(const struct bench *bench, const char *begin)
{
	char request[512] = "";
	int fd = accept(bench->listener, NULL, NULL);
	cr_assert_geq(fd, 0);
	cr_assert_gt(read(fd, request, sizeof(request) - 1), 0);
	cr_expect_eq(strncmp(request, begin, strlen(begin)), 0, "%s", request);
	close(fd);
}

// The pool that it was asked for may be gone.
Test(health_changes, a_check_under_way_begins_again)
{
	static char old_path[] = "/old";
	static char new_path[] = "/new";
	struct err err = {0};
	struct bench bench;
	bench_init(&bench, 3600000);
	bench.pool.health_check = HEALTH_HTTP;
	bench.pool.health_check_timeout_ms = GIVE_UP_S * 1000;
	bench.pool.check.path = old_path;
	bench_start(&bench);
	run(&bench, 1, 50); // it has asked, and nobody answers
	struct config_pool changed = bench.pool;
	changed.check.path = new_path;
	cr_assert_eq(health_change(bench.health, 0, &changed, &bench.backend, &err), 0);
	memset(&bench.pool, 0xff, sizeof(bench.pool));
	run(&bench, 1, 50);
	expect_request(&bench, "GET /old ");
	expect_request(&bench, "GET /new ");
	cr_expect_eq(bench.n_changes, 0);
	bench_fini(&bench);
}

// Reloads in quick succession would else keep every check from ending.
Test(health_changes, a_check_under_way_goes_on_when_it_asks_the_same)
{
	static char path[] = "/";
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell";
	char old_body[] = "well";
	char new_body[] = "well";
	char request[512];
	struct err err = {0};
	struct bench bench;
	bench_init(&bench, 3600000);
	bench.pool.health_check = HEALTH_HTTP;
	bench.pool.health_check_timeout_ms = GIVE_UP_S * 1000;
	bench.pool.check.path = path;
	bench.pool.check.body = old_body;
	bench_start(&bench);
	run(&bench, 1, 50);
	struct config_pool next = bench.pool;
	struct config_backend backend = bench.backend;
	next.check.body = new_body;
	next.backends = &backend;
	for (int i = 0; i < 3; i++)
		cr_assert_eq(health_change(bench.health, 0, &next, &backend, &err), 0);
	memset(&bench.pool, 0xff, sizeof(bench.pool));
	memset(old_body, 'x', sizeof(old_body) - 1);
	int fd = accept(bench.listener, NULL, NULL);
	cr_assert_gt(read(fd, request, sizeof(request)), 0);
	cr_assert_gt(write(fd, answer, sizeof(answer) - 1), 0);
	await_changes(&bench, 1);
	cr_expect(bench.is_up, "%s", bench.reason);
	close(fd);
	bench_fini(&bench);
}

Test(health_changes, a_shorter_interval_counts_at_once)
{
	struct err err = {0};
	struct bench bench;
	bench_init(&bench, 3600000);
	bench_start(&bench);
	await_changes(&bench, 1);
	close(bench.listener);
	bench.listener = -1;
	struct config_pool changed = bench.pool;
	changed.health_check_interval_ms = 20;
	cr_assert_eq(health_change(bench.health, 0, &changed, &bench.backend, &err), 0);
	await_changes(&bench, 2);
	cr_expect_not(bench.is_up);
	bench_fini(&bench);
}
