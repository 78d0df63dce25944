// SPDX-License-Identifier: Apache-2.0
// What control asks the threads of proxy mode about their sessions.
#include "culvert/proxy/query.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"

#define FRONTEND "127.0.0.1:8000"
#define OTHER    "127.0.0.1:8001"
#define BACKEND  "127.0.0.1:7001"

enum { AWAIT_MS = 60000, LIMIT = 50 };

TestSuite(proxy_query, .timeout = 120);

static struct proxy_bench bench;
static int listener;
static int wake_fd; // outlives every thread that may still ring it

static void init(int n_threads)
{
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	bench.config.proxy.threads = n_threads;
	proxy_bench_add_frontend(&bench, FRONTEND);
	proxy_bench_add_frontend(&bench, OTHER);
	listener = proxy_bench_serve(&bench, BACKEND);
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	cr_assert_geq(wake_fd, 0);
}

static void finish(void)
{
	proxy_stop(bench.proxy);
	close(wake_fd);
	close(listener);
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

static struct query *make_query(uint32_t limit)
{
	struct query *query = query_create(proxy_n_threads(bench.proxy), limit);
	cr_assert_not_null(query);
	query->wake_fd = wake_fd;
	return query;
}

// A bell that is rung late is about the question before.
static void await_answer(const struct query *query)
{
	struct pollfd bell = {.fd = wake_fd, .events = POLLIN};
	uint64_t rung;
	while (!query_is_done(query)) {
		cr_assert_eq(poll(&bell, 1, AWAIT_MS), 1, "nobody answers");
		(void)!read(wake_fd, &rung, sizeof(rung));
	}
}

// The sessions that match; the first of them in *row.
static uint64_t ask(const struct query_filter *filter, struct flow_row *row)
{
	struct query *query = make_query(LIMIT);
	uint64_t n = 0;
	query->filter = *filter;
	proxy_ask(bench.proxy, query);
	await_answer(query);
	for (uint32_t i = 0; i < query->n_parts; i++) {
		n += query->parts[i].n_matched;
		if (row && query->parts[i].n_rows)
			*row = query->parts[i].rows[0];
	}
	query_destroy(query);
	return n;
}

static int open_session(const char *from, const char *frontend, int *server)
{
	int client = sockets_connect_from(from, frontend);
	cr_assert_geq(client, 0, "%s", strerror(-client));
	*server = sockets_accept(listener);
	cr_assert_geq(*server, 0, "%s", strerror(-*server));
	cr_assert(sockets_say(*server, "served"));
	cr_assert(sockets_hear(client, "served"));
	return client;
}

static void close_session(int client, int server)
{
	close(client);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	close(server);
}

static struct query_filter any(void)
{
	return (struct query_filter){.backend = QUERY_ANY, .frontend = QUERY_ANY};
}

Test(proxy_query, finds_the_sessions_that_match_and_no_others)
{
	enum { N = 12 };
	for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
		int clients[N];
		int servers[N];
		struct flow_row row = {0};
		struct query_filter filter = any();
		init(n_threads);
		proxy_bench_start(&bench);
		cr_expect_eq(ask(&filter, NULL), 0);
		for (int i = 0; i < N; i++)
			clients[i] = open_session(i ? "127.0.0.1:0" : "127.0.0.9:4321",
						  i % 3 ? FRONTEND : OTHER, &servers[i]);
		cr_expect_eq(ask(&filter, NULL), N);
		filter.frontend = 1;
		cr_expect_eq(ask(&filter, NULL), N / 3);
		filter = any();
		filter.backend = 0;
		cr_expect_eq(ask(&filter, NULL), N);
		filter.backend = 1;
		cr_expect_eq(ask(&filter, NULL), 0);
		filter = any();
		filter.has_client = true;
		filter.client = ip_addr_from_v4(inet_addr("127.0.0.9"));
		filter.client_port_be = htons(4321);
		cr_assert_eq(ask(&filter, &row), 1);
		cr_expect_str_eq(row.state, "relaying");
		cr_expect_eq(row.frontend, 1);
		cr_expect_eq(row.backend, 0);
		cr_expect_eq(row.bytes_rx, strlen("served"));
		cr_expect_eq(row.bytes_tx, 0);
		cr_expect_gt(row.expires_ms, 0);
		filter.client_port_be = htons(4322);
		cr_expect_eq(ask(&filter, NULL), 0);
		for (int i = 0; i < N; i++)
			close_session(clients[i], servers[i]);
		cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, N));
		filter = any();
		cr_expect_eq(ask(&filter, NULL), 0);
		finish();
	}
}

Test(proxy_query, a_session_whose_header_is_awaited_has_no_backend)
{
	struct ip_network everybody;
	struct flow_row row = {0};
	struct query_filter filter = any();
	init(1);
	cr_assert(ip_network_parse("127.0.0.0/8", &everybody));
	bench.frontends[0].accept_proxy = &everybody;
	bench.frontends[0].n_accept_proxy = 1;
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	cr_assert(proxy_bench_await_sessions(&bench, 1));
	while (ask(&filter, &row) == 0) {
	}
	cr_expect_str_eq(row.state, "header");
	cr_expect_eq(row.backend, QUERY_ANY);
	filter.backend = 0;
	cr_expect_eq(ask(&filter, NULL), 0);
	sockets_close_by_reset(client);
	cr_expect(proxy_bench_await_sessions(&bench, 0));
	bench.frontends[0].accept_proxy = NULL;
	bench.frontends[0].n_accept_proxy = 0;
	finish();
}

// ---- disturbance -------------------------------------------------------------------------------

static _Atomic bool is_stopping; // w: the test, r: the visitors

static void *visit(void *arg)
{
	(void)arg;
	while (!is_stopping)
		(void)sockets_visit(FRONTEND);
	return NULL;
}

static void *serve(void *arg)
{
	(void)arg;
	int fd;
	while ((fd = sockets_accept(listener)) >= 0) {
		close(fd);
		if (is_stopping)
			break;
	}
	return NULL;
}

Test(proxy_query, is_answered_while_sessions_come_and_go_and_snapshots_change)
{
	pthread_t visitor;
	pthread_t server;
	init(2);
	proxy_bench_start(&bench);
	cr_assert_eq(pthread_create(&server, NULL, serve, NULL), 0);
	cr_assert_eq(pthread_create(&visitor, NULL, visit, NULL), 0);
	for (int i = 0; i < 200; i++) {
		struct query *query = make_query(3);
		proxy_ask(bench.proxy, query);
		if (i % 20 == 0)
			proxy_bench_set_up(&bench, 0, true);
		if (i % 3 == 0)
			query_cancel(query);
		await_answer(query);
		for (uint32_t k = 0; k < query->n_parts; k++)
			cr_expect_leq(query->parts[k].n_rows, 3);
		query_destroy(query);
	}
	is_stopping = true;
	pthread_join(visitor, NULL);
	(void)sockets_visit(FRONTEND); // whoever still waits to accept
	pthread_join(server, NULL);
	finish();
}

Test(proxy_query, may_be_under_way_when_the_proxy_stops)
{
	for (int i = 0; i < 10; i++) {
		init(2);
		proxy_bench_start(&bench);
		struct query *query = make_query(LIMIT);
		proxy_ask(bench.proxy, query);
		proxy_stop(bench.proxy);
		query_destroy(query);
		finish();
	}
}
