// SPDX-License-Identifier: Apache-2.0
// Another configuration while sessions run: frontends and backends that come, go and come back,
// and settings that change.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"
#include "culvert/balance/grace.h"
#include "culvert/base/clock.h"
#include "proxy/loop.h"
#include "proxy/thread.h"

#define FRONTEND "127.0.0.1:8000"
#define OTHER    "127.0.0.1:8001"
#define BACKEND  "127.0.0.1:7001"
#define SECOND   "127.0.0.1:7002"

TestSuite(proxy_reload, .timeout = 120);

static struct proxy_bench bench;
static int listener;

// A configuration that a test makes from that of the bench.
struct variant {
	struct config config;
	struct config_frontend frontends[PROXY_BENCH_FRONTENDS];
	struct config_pool pool;
	struct config_backend backends[PROXY_BENCH_BACKENDS];
};

static struct variant variants[2];

static struct config *make_variant(struct variant *variant)
{
	memcpy(variant->frontends, bench.frontends, sizeof(variant->frontends));
	memcpy(variant->backends, bench.backends[0], sizeof(variant->backends));
	variant->config = bench.config;
	variant->config.n_refs = 0;
	variant->config.frontends = variant->frontends;
	variant->config.pools = &variant->pool;
	variant->pool = bench.pools[0];
	variant->pool.backends = variant->backends;
	return &variant->config;
}

static void init(void)
{
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	proxy_bench_add_frontend(&bench, FRONTEND);
	listener = proxy_bench_serve(&bench, BACKEND);
}

static void finish(void)
{
	close(listener);
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

static void expect_taken(struct config *config)
{
	cr_assert_eq(proxy_bench_take(&bench, config), 0, "%s", bench.err.message);
}

static int open_session(const char *frontend, int at, int *server)
{
	int client = sockets_connect(frontend);
	cr_assert_geq(client, 0, "%s: %s", frontend, strerror(-client));
	cr_assert(sockets_say(client, "hello"));
	*server = sockets_accept(at);
	cr_assert_geq(*server, 0, "%s: %s", frontend, strerror(-*server));
	cr_assert(sockets_hear(*server, "hello"));
	return client;
}

static void expect_alive(int client, int server)
{
	cr_expect(sockets_say(client, "on"));
	cr_expect(sockets_hear(server, "on"));
	cr_expect(sockets_say(server, "back"));
	cr_expect(sockets_hear(client, "back"));
}

static void close_session(int client, int server)
{
	close(client);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	close(server);
}

static void visit_once(const char *frontend, int at)
{
	int server;
	int client = open_session(frontend, at, &server);
	close_session(client, server);
}

static bool await_users(uint64_t (*users)(const struct proxy *, uint32_t), uint32_t slot,
			uint64_t n)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	uint64_t deadline_ns = clock_now_ns() + SOCKETS_PATIENCE_S * NS_PER_SEC;
	while (users(bench.proxy, slot) != n && clock_now_ns() < deadline_ns)
		nanosleep(&pause, NULL);
	return users(bench.proxy, slot) == n;
}

// ---- frontends ---------------------------------------------------------------------------------

Test(proxy_reload, a_frontend_that_is_added_is_served_and_the_others_go_on)
{
	int servers[2];
	int clients[2];
	init();
	bench.config.proxy.threads = 2;
	proxy_bench_start(&bench);
	clients[0] = open_session(FRONTEND, listener, &servers[0]);
	struct config *config = make_variant(&variants[0]);
	variants[0].frontends[1] = variants[0].frontends[0];
	variants[0].frontends[1].endpoint.port_be = htons(8001);
	config->n_frontends = 2;
	cr_expect_eq(sockets_connect(OTHER), -ECONNREFUSED);
	expect_taken(config);
	clients[1] = open_session(OTHER, listener, &servers[1]);
	expect_alive(clients[0], servers[0]);
	cr_expect_eq(sockets_n_listening(8001), 2);
	for (int i = 0; i < 2; i++)
		close_session(clients[i], servers[i]);
	finish();
}

Test(proxy_reload, a_frontend_that_moves_takes_its_sessions_to_their_end)
{
	int servers[2];
	int clients[2];
	init();
	proxy_bench_start(&bench);
	clients[0] = open_session(FRONTEND, listener, &servers[0]);
	struct config *config = make_variant(&variants[0]);
	variants[0].frontends[0].endpoint.port_be = htons(8001);
	expect_taken(config);
	clients[1] = open_session(OTHER, listener, &servers[1]);
	cr_expect(await_users(proxy_frontend_users, 0, 1), "its listener is open");
	cr_expect_eq(sockets_connect(FRONTEND), -ECONNREFUSED);
	expect_alive(clients[0], servers[0]);
	for (int i = 0; i < 2; i++)
		close_session(clients[i], servers[i]);
	cr_expect(await_users(proxy_frontend_users, 0, 0));
	finish();
}

// What was sent has been acknowledged: the connection is in the listen queue, however late its last
// segment of the handshake was looked at.
static void await_acknowledged(int fd)
{
	int n_left = 1;
	while (n_left > 0) {
		cr_assert_eq(ioctl(fd, SIOCOUTQ, &n_left), 0);
		usleep(1000);
	}
}

Test(proxy_reload, who_waits_at_a_frontend_that_is_removed_is_served)
{
	init();
	proxy_bench_add_backend(&bench, BACKEND);
	proxy_bench_start(&bench);
	struct config *config = make_variant(&variants[0]);
	variants[0].frontends[0].endpoint.port_be = htons(8001);
	proxy_bench_freeze(&bench);
	int client = sockets_connect(FRONTEND);
	cr_assert_geq(client, 0);
	cr_assert(sockets_say(client, "hello"));
	await_acknowledged(client);
	expect_taken(config);
	proxy_bench_thaw(&bench);
	int server = sockets_accept(listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	cr_expect(sockets_hear(server, "hello"));
	expect_alive(client, server);
	close_session(client, server);
	finish();
}

Test(proxy_reload, a_frontend_whose_time_is_over_resets_what_is_left)
{
	int server;
	init();
	proxy_bench_start(&bench);
	int client = open_session(FRONTEND, listener, &server);
	struct config *config = make_variant(&variants[0]);
	config->n_frontends = 0;
	expect_taken(config);
	expect_alive(client, server);
	proxy_bench_end_drains(&bench);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_DRAIN_TIMEOUT, 1));
	close(client);
	close(server);
	finish();
}

Test(proxy_reload, an_address_that_is_taken_changes_nothing)
{
	int server;
	init();
	proxy_bench_start(&bench);
	int taken = sockets_listen(OTHER, 1);
	struct config *config = make_variant(&variants[0]);
	variants[0].frontends[0].endpoint.port_be = htons(8002);
	variants[0].frontends[1] = variants[0].frontends[0];
	variants[0].frontends[1].endpoint.port_be = htons(8001);
	config->n_frontends = 2;
	cr_expect_eq(proxy_bench_take(&bench, config), -EADDRINUSE);
	cr_expect_not_null(strstr(bench.err.message, OTHER " is in use by another program"), "%s",
			   bench.err.message);
	cr_expect_eq(sockets_n_listening(8002), 0);
	int client = open_session(FRONTEND, listener, &server);
	close_session(client, server);
	close(taken);
	finish();
}

// Of the kernel's view, the wildcard has the port already: it is ours.
Test(proxy_reload, a_frontend_moves_between_the_wildcard_and_an_address)
{
	int server;
	init();
	bench.config.proxy.threads = 2;
	proxy_bench_start(&bench);
	struct config *wide = make_variant(&variants[0]);
	memset(&variants[0].frontends[0].endpoint.addr, 0, 16);
	cr_assert(endpoint_parse("0.0.0.0:8000", &variants[0].frontends[0].endpoint));
	variants[0].frontends[0].endpoint.proto = IPPROTO_TCP;
	expect_taken(wide);
	int client = open_session("127.0.0.2:8000", listener, &server);
	close_session(client, server);
	expect_taken(make_variant(&variants[1]));
	cr_expect(await_users(proxy_frontend_users, 1, 0));
	client = open_session(FRONTEND, listener, &server);
	close_session(client, server);
	cr_expect_eq(sockets_connect("127.0.0.2:8000"), -ECONNREFUSED);
	finish();
}

Test(proxy_reload, a_wildcard_that_leaves_ipv4_to_another_takes_it_only_after_a_restart)
{
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	proxy_bench_add_frontend(&bench, "[::]:8000");
	proxy_bench_add_frontend(&bench, "0.0.0.0:8000");
	listener = proxy_bench_serve(&bench, BACKEND);
	proxy_bench_start(&bench);
	struct config *config = make_variant(&variants[0]);
	config->n_frontends = 1;
	cr_expect_eq(proxy_bench_take(&bench, config), -EBUSY);
	cr_expect_not_null(strstr(bench.err.message, "restart"), "%s", bench.err.message);
	finish();
}

Test(proxy_reload, a_frontend_that_comes_back_at_once_is_listened_on_again)
{
	enum { ROUNDS = 40 };
	int server;
	init();
	bench.config.proxy.threads = 3;
	proxy_bench_start(&bench);
	struct config *without = make_variant(&variants[0]);
	without->n_frontends = 0;
	struct config *with = make_variant(&variants[1]);
	for (int i = 0; i < ROUNDS; i++) {
		expect_taken(without);
		expect_taken(with);
		int client = open_session(FRONTEND, listener, &server);
		close_session(client, server);
		cr_assert_eq(sockets_n_listening(8000), 3);
	}
	finish();
}

Test(proxy_reload, a_slot_that_another_frontend_gets_counts_from_0)
{
	int server;
	init();
	proxy_bench_start(&bench);
	visit_once(FRONTEND, listener);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 1));
	struct config *none = make_variant(&variants[0]);
	none->n_frontends = 0;
	expect_taken(none);
	cr_assert(await_users(proxy_frontend_users, 0, 0));
	proxy_forget_frontend(bench.proxy, 0);
	registry_give_back_frontend(bench.registry, 0);
	bench.has_forgotten = true;
	struct config *moved = make_variant(&variants[1]);
	variants[1].frontends[0].endpoint.port_be = htons(8001);
	expect_taken(moved);
	int client = open_session(OTHER, listener, &server);
	struct proxy_stats stats;
	cr_assert_eq(proxy_stats(bench.proxy, &stats), 0);
	cr_expect_eq(stats.frontends[0].traffic.total_connections, 1);
	cr_expect_eq(stats.frontends[0].ends[SESSION_END_COMPLETED], 0);
	cr_expect_eq(stats.accepted, 2);
	proxy_stats_fini(&stats);
	close_session(client, server);
	finish();
}

Test(proxy_reload, clients_of_a_held_frontend_wait)
{
	init();
	proxy_bench_start(&bench);
	proxy_bench_set_up(&bench, 0, false);
	proxy_hold_frontend(bench.proxy, 0, true);
	int client = sockets_connect(FRONTEND);
	cr_assert_geq(client, 0);
	cr_assert(sockets_say(client, "hello"));
	cr_expect_eq(proxy_bench_total(&bench).total_connections, 0);
	proxy_bench_set_up(&bench, 0, true);
	proxy_hold_frontend(bench.proxy, 0, false);
	int server = sockets_accept(listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	cr_expect(sockets_hear(server, "hello"));
	expect_alive(client, server);
	cr_expect_eq(proxy_bench_n_ends(&bench, SESSION_END_NO_BACKEND), 0);
	close(server);
	close(client);
	finish();
}

// ---- backends ----------------------------------------------------------------------------------

static int second;

static void start_with_two(int n_threads)
{
	init();
	bench.config.proxy.threads = n_threads;
	second = proxy_bench_serve(&bench, SECOND);
	bench.backends[0][1].name = strdup("second");
	proxy_bench_start(&bench);
}

static void finish_with_two(void)
{
	close(second);
	char *name = bench.backends[0][1].name;
	finish();
	free(name);
}

// Sessions of the bench's first backend.
static int open_at_first(int *server)
{
	proxy_bench_set_up(&bench, 1, false);
	int client = open_session(FRONTEND, listener, server);
	proxy_bench_set_up(&bench, 1, true);
	return client;
}

static struct config *without_first(struct variant *variant)
{
	struct config *config = make_variant(variant);
	variant->backends[0] = variant->backends[1];
	variant->pool.n_backends = 1;
	return config;
}

Test(proxy_reload, a_backend_that_is_removed_gets_nothing_new_and_keeps_what_it_has)
{
	enum { MORE = 10 };
	int server;
	start_with_two(1);
	int client = open_at_first(&server);
	expect_taken(without_first(&variants[0]));
	for (int i = 0; i < MORE; i++)
		visit_once(FRONTEND, second);
	expect_alive(client, server);
	cr_expect_eq(proxy_backend_users(bench.proxy, 0), 1);
	proxy_bench_end_drains(&bench);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_DRAIN_TIMEOUT, 1));
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	cr_expect(await_users(proxy_backend_users, 0, 0));
	close(client);
	close(server);
	finish_with_two();
}

// Its time is over all the same, though it was never told that the backend is down.
Test(proxy_reload, a_backend_that_was_down_when_its_time_was_over_is_left_too)
{
	int server;
	init();
	bench.pools[0].on_backend_down = ON_DOWN_KEEP;
	second = proxy_bench_serve(&bench, SECOND);
	bench.backends[0][1].name = strdup("second");
	proxy_bench_start(&bench);
	int client = open_at_first(&server);
	proxy_bench_set_up(&bench, 0, false);
	expect_taken(without_first(&variants[0]));
	proxy_bench_set_up(&bench, 0, false);
	expect_alive(client, server);
	proxy_bench_end_drains(&bench);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_DRAIN_TIMEOUT, 1));
	close(client);
	close(server);
	finish_with_two();
}

Test(proxy_reload, a_slot_that_another_backend_gets_counts_from_0)
{
	int server;
	start_with_two(1);
	int client = open_at_first(&server);
	expect_taken(without_first(&variants[0]));
	close_session(client, server);
	cr_assert(await_users(proxy_backend_users, 0, 0));
	proxy_forget_backend(bench.proxy, 0);
	registry_give_back_backend(bench.registry, 0);
	bench.has_forgotten = true;
	struct config *config = make_variant(&variants[1]);
	variants[1].backends[0].endpoint.port_be = htons(7003);
	int third = sockets_listen("127.0.0.1:7003", 8);
	expect_taken(config);
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_CONNECTED), 0);
	proxy_bench_set_up(&bench, 1, false);
	client = open_session(FRONTEND, third, &server);
	cr_expect(proxy_bench_await_connects(&bench, 0, CONNECT_CONNECTED, 1));
	close_session(client, server);
	close(third);
	finish_with_two();
}

Test(proxy_reload, draining_keeps_sessions_and_maintenance_resets_them)
{
	int server;
	start_with_two(1);
	int client = open_at_first(&server);
	cr_assert_eq(registry_set_admin(bench.registry, 0, ADMIN_DRAIN), 0);
	proxy_bench_publish(&bench);
	for (int i = 0; i < 4; i++)
		visit_once(FRONTEND, second);
	expect_alive(client, server);
	cr_assert_eq(registry_set_admin(bench.registry, 0, ADMIN_MAINT), 0);
	proxy_bench_publish(&bench);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_BACKEND_DOWN, 1));
	close(client);
	close(server);
	cr_assert_eq(registry_set_admin(bench.registry, 0, ADMIN_READY), 0);
	cr_assert_eq(registry_set_weight(bench.registry, 1, 0), 0);
	proxy_bench_publish(&bench);
	visit_once(FRONTEND, listener);
	finish_with_two();
}

// Its queue is full: the connect is under way for as long as that is so.
Test(proxy_reload, a_connect_to_a_backend_in_maintenance_is_tried_elsewhere)
{
	init();
	close(listener);
	listener = sockets_listen(BACKEND, 0);
	second = proxy_bench_serve(&bench, SECOND);
	bench.backends[0][1].name = strdup("second");
	proxy_bench_start(&bench);
	int filler = sockets_connect(BACKEND);
	proxy_bench_set_up(&bench, 1, false);
	int client = sockets_connect(FRONTEND);
	cr_assert(await_users(proxy_backend_users, 0, 1));
	proxy_bench_set_up(&bench, 1, true);
	cr_assert_eq(registry_set_admin(bench.registry, 0, ADMIN_MAINT), 0);
	proxy_bench_publish(&bench);
	int server = sockets_accept(second);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	expect_alive(client, server);
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_ABANDONED), 1);
	close_session(client, server);
	close(filler);
	finish_with_two();
}

// ---- settings ----------------------------------------------------------------------------------

Test(proxy_reload, a_limit_that_is_raised_lets_in_who_waits)
{
	int servers[2];
	int clients[2];
	init();
	bench.frontends[0].max_connections = 1;
	proxy_bench_start(&bench);
	clients[0] = open_session(FRONTEND, listener, &servers[0]);
	clients[1] = sockets_connect(FRONTEND);
	struct config *config = make_variant(&variants[0]);
	variants[0].frontends[0].max_connections = 2;
	expect_taken(config);
	servers[1] = sockets_accept(listener);
	cr_assert_geq(servers[1], 0, "%s", strerror(-servers[1]));
	for (int i = 0; i < 2; i++)
		close_session(clients[i], servers[i]);
	finish();
}

Test(proxy_reload, more_connections_than_descriptors_allow_are_refused_with_the_rest)
{
	init();
	proxy_bench_start(&bench);
	struct config *config = make_variant(&variants[0]);
	config->proxy.max_connections = proxy_max_sessions(bench.proxy) + 1000;
	cr_expect_eq(proxy_bench_take(&bench, config), -EMFILE);
	cr_expect_not_null(strstr(bench.err.message, "max_connections"), "%s", bench.err.message);
	config->proxy.max_connections = 20;
	expect_taken(config);
	cr_expect_eq(proxy_max_sessions(bench.proxy), 20);
	finish();
}

Test(proxy_reload, a_shorter_timeout_counts_for_the_sessions_that_there_are)
{
	int server;
	init();
	proxy_bench_start(&bench);
	int client = open_session(FRONTEND, listener, &server);
	struct config *config = make_variant(&variants[0]);
	config->proxy.idle_timeout_ms = 200;
	expect_taken(config);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_IDLE, 1));
	close(client);
	close(server);
	finish();
}

// Each pool decides for itself, whatever stands in the file before it.
Test(proxy_reload, the_header_for_backends_is_that_of_the_frontends_pool)
{
	init();
	proxy_bench_add_pool(&bench)->send_proxy = SEND_PROXY_V1;
	second = proxy_bench_serve(&bench, SECOND);
	proxy_bench_add_frontend(&bench, OTHER);
	proxy_bench_start(&bench);
	int client = sockets_connect(OTHER);
	int server = sockets_accept(second);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	cr_expect(sockets_hear(server, "PROXY TCP4 127.0.0.1 127.0.0.1 "));
	close(client);
	close(server);
	visit_once(FRONTEND, listener);
	close(second);
	finish();
}

// ---- under load --------------------------------------------------------------------------------

static atomic_bool is_over;   // for visitors
static atomic_bool has_ended; // for whom they visit

struct visitor {
	pthread_t pthread;
	const char *frontend;
	unsigned n_served;
	int error; // 0: none
};

static void *serve(void *arg)
{
	int at = *(int *)arg;
	while (!atomic_load(&has_ended)) {
		int server = sockets_accept(at);
		if (server >= 0 && sockets_hear(server, "hello"))
			sockets_say(server, "world");
		close(server);
	}
	return NULL;
}

static void *visit(void *arg)
{
	struct visitor *visitor = arg;
	while (!atomic_load(&is_over) && !visitor->error) {
		int client = sockets_connect(visitor->frontend);
		if (client < 0)
			visitor->error = -client;
		else if (!sockets_say(client, "hello") || !sockets_hear(client, "world"))
			visitor->error = EPROTO;
		visitor->n_served += !visitor->error;
		close(client);
	}
	return NULL;
}

static void wake_servers(void)
{
	close(sockets_connect(BACKEND));
	close(sockets_connect(SECOND));
}

// Another frontend and one of two backends come and go; whoever visits the one that stays does not
// notice.
Test(proxy_reload, clients_of_what_stays_notice_nothing)
{
	enum { VISITORS = 4, ROUNDS = 60 };
	struct visitor visitors[VISITORS];
	pthread_t servers[2];
	start_with_two(3);
	struct config *less = without_first(&variants[0]);
	struct config *more = make_variant(&variants[1]);
	variants[1].frontends[1] = variants[1].frontends[0];
	variants[1].frontends[1].endpoint.port_be = htons(8001);
	more->n_frontends = 2;
	pthread_create(&servers[0], NULL, serve, &listener);
	pthread_create(&servers[1], NULL, serve, &second);
	for (int i = 0; i < VISITORS; i++) {
		visitors[i] = (struct visitor){.frontend = FRONTEND};
		pthread_create(&visitors[i].pthread, NULL, visit, &visitors[i]);
	}
	for (int i = 0; i < ROUNDS; i++) {
		expect_taken(i % 2 ? less : more);
		if (i % 2 == 0)
			close(sockets_connect(OTHER));
	}
	atomic_store(&is_over, true);
	for (int i = 0; i < VISITORS; i++) {
		pthread_join(visitors[i].pthread, NULL);
		cr_expect_eq(visitors[i].error, 0, "%s", strerror(visitors[i].error));
		cr_expect_gt(visitors[i].n_served, 0);
	}
	atomic_store(&has_ended, true);
	wake_servers();
	for (int i = 0; i < 2; i++)
		pthread_join(servers[i], NULL);
	finish_with_two();
}

// ---- backends that fail meanwhile --------------------------------------------------------------

Test(proxy_reload, a_lower_fall_counts_the_failures_of_before)
{
	enum { N_BEFORE = 3 };
	init();
	close(listener); // whoever connects is refused
	listener = -1;
	bench.pools[0].fall = N_BEFORE + 2;
	proxy_bench_start(&bench);
	for (int i = 0; i < N_BEFORE; i++)
		cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
	struct config *config = make_variant(&variants[0]);
	variants[0].pool.fall = N_BEFORE - 1;
	expect_taken(config);
	struct pollfd bell = {.fd = proxy_alarm_fd(bench.proxy), .events = POLLIN};
	cr_expect_eq(poll(&bell, 1, 0), 0);
	cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
	cr_expect_eq(poll(&bell, 1, 0), 1);
	cr_expect_eq(proxy_take_suspect(bench.proxy), 0);
	finish();
}

static bool has_event(const struct proxy_thread *thread, int patience_ms)
{
	struct pollfd events = {.fd = thread->epoll_fd, .events = POLLIN};
	return poll(&events, 1, patience_ms) == 1;
}

// The test is the thread: both come in the same round, the answer and the word of the operator.
Test(proxy_reload, an_answer_that_comes_with_a_withdrawal_is_not_taken_for_that_of_the_next_backend)
{
	enum { PATIENCE_MS = 60000 };
	static char second_name[] = "second";
	init();
	close(listener);
	listener = sockets_listen(BACKEND, 0);
	proxy_bench_add_backend(&bench, SECOND);
	bench.backends[0][1].name = second_name;
	int silent = sockets_listen(SECOND, 0);
	int fillers[] = {sockets_connect(BACKEND), sockets_connect(SECOND)};
	cr_assert_eq(proxy_bench_create(&bench), 0, "%s", bench.err.message);
	proxy_bench_set_up(&bench, 1, false);
	struct proxy_thread *thread = &bench.proxy->threads[0];
	grace_join();
	loop_round(thread);
	int client = sockets_connect(FRONTEND);
	for (int i = 0; i < 2; i++) // neither backend answers
		loop_round(thread);
	cr_assert_eq(proxy_bench_n_at(&bench, 0), 1);
	close(fillers[0]);
	close(listener);
	listener = -1;
	cr_assert(has_event(thread, PATIENCE_MS)); // the SYN has come again, and is refused
	registry_set_admin(bench.registry, 0, ADMIN_MAINT);
	proxy_bench_set_up(&bench, 1, true);
	loop_round(thread);
	cr_expect_eq(proxy_bench_n_at(&bench, 1), 1);
	cr_expect_eq(proxy_bench_n_connects(&bench, 1, CONNECT_CONNECTED), 0);
	sockets_close_by_reset(client);
	while (proxy_n_sessions(bench.proxy))
		loop_round(thread);
	grace_leave();
	close(fillers[1]);
	close(silent);
	finish();
}
