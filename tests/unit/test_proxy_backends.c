// SPDX-License-Identifier: Apache-2.0
// Backends that fail and backends that are taken out: what the data path tells control, and what
// control's word does to sessions.
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"

#define FRONTEND "127.0.0.1:8000"
#define OTHER    "127.0.0.1:8001"
#define BACKEND  "127.0.0.1:7001"
#define REFUSES  "127.0.0.1:7000" // nobody listens

TestSuite(proxy_backends, .timeout = 120);

static struct proxy_bench bench;

static void init(void)
{
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	proxy_bench_add_frontend(&bench, FRONTEND);
}

static void finish(void)
{
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

static void fail_one(const char *frontend)
{
	cr_expect_eq(sockets_visit(frontend), ECONNRESET);
}

static bool is_rung(void)
{
	struct pollfd look = {.fd = proxy_alarm_fd(bench.proxy), .events = POLLIN};
	return poll(&look, 1, 0) == 1;
}

static void expect_suspects(int32_t first, int32_t second)
{
	cr_expect(is_rung());
	cr_expect_eq(proxy_take_suspect(bench.proxy), first);
	cr_expect_eq(proxy_take_suspect(bench.proxy), second);
	if (second >= 0)
		cr_expect_eq(proxy_take_suspect(bench.proxy), -1);
	cr_expect_not(is_rung());
}

// ---- what the data path tells ------------------------------------------------------------------

Test(proxy_backends, failures_in_a_row_ring_once)
{
	init();
	proxy_bench_add_backend(&bench, REFUSES);
	bench.pools[0].fall = 3;
	proxy_bench_start(&bench);
	cr_expect_eq(proxy_take_suspect(bench.proxy), -1);
	for (int round = 0; round < 2; round++) {
		fail_one(FRONTEND);
		fail_one(FRONTEND);
		cr_expect_not(is_rung());
		cr_expect_eq(proxy_take_suspect(bench.proxy), -1);
		fail_one(FRONTEND);
		expect_suspects(0, -1);
	}
	finish();
}

Test(proxy_backends, a_success_in_between_starts_the_count_again)
{
	init();
	proxy_bench_add_backend(&bench, BACKEND);
	bench.pools[0].fall = 2;
	proxy_bench_start(&bench);
	for (int i = 0; i < 3; i++) {
		fail_one(FRONTEND);
		int listener = sockets_listen(BACKEND, 8);
		int client = sockets_connect(FRONTEND);
		close(sockets_accept(listener));
		cr_expect_eq(sockets_await_end(client, NULL), 0);
		close(client);
		close(listener);
		cr_expect_eq(proxy_take_suspect(bench.proxy), -1, "round %d", i);
	}
	fail_one(FRONTEND);
	fail_one(FRONTEND);
	expect_suspects(0, -1);
	finish();
}

// Running numbers go over all pools, and each pool has its own patience.
Test(proxy_backends, each_suspect_is_named_by_its_number)
{
	init();
	proxy_bench_add_backend(&bench, REFUSES);
	bench.pools[0].fall = 1;
	proxy_bench_add_pool(&bench)->fall = 2;
	proxy_bench_add_backend(&bench, "127.0.0.2:7000");
	proxy_bench_add_backend(&bench, "127.0.0.3:7000");
	proxy_bench_add_frontend(&bench, OTHER);
	bench.config.proxy.retries = 0;
	proxy_bench_start(&bench);
	proxy_bench_set_up(&bench, 1, false);
	fail_one(FRONTEND);
	fail_one(OTHER);
	expect_suspects(0, -1);
	fail_one(FRONTEND);
	fail_one(OTHER);
	expect_suspects(0, 2);
	finish();
}

Test(proxy_backends, silence_and_want_of_a_route_count_too)
{
	init();
	proxy_bench_add_backend(&bench, BACKEND);
	proxy_bench_add_backend(&bench, "192.0.2.1:80");
	bench.pools[0].fall = 2;
	bench.config.proxy.retries = 1;
	bench.config.proxy.connect_timeout_ms = 50;
	int silent = sockets_listen(BACKEND, 0);
	int filler = sockets_connect(BACKEND);
	proxy_bench_start(&bench);
	fail_one(FRONTEND);
	cr_expect_not(is_rung());
	fail_one(FRONTEND);
	expect_suspects(0, 1);
	close(filler);
	close(silent);
	finish();
}

Test(proxy_backends, what_the_client_gave_up_counts_for_nothing)
{
	init();
	proxy_bench_add_backend(&bench, BACKEND);
	bench.pools[0].fall = 1;
	int silent = sockets_listen(BACKEND, 0);
	int filler = sockets_connect(BACKEND);
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	while (proxy_bench_n_at(&bench, 0) == 0)
		;
	sockets_close_by_reset(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_RESET, 1));
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_ABANDONED), 1);
	cr_expect_not(is_rung());
	close(filler);
	close(silent);
	finish();
}

// ---- what control says -------------------------------------------------------------------------

static int open_session(int listener, int *server)
{
	int client = sockets_connect(FRONTEND);
	*server = sockets_accept(listener);
	cr_assert_geq(*server, 0, "%s", strerror(-*server));
	cr_assert(sockets_say(*server, "served"));
	cr_assert(sockets_hear(client, "served"));
	return client;
}

Test(proxy_backends, sessions_of_a_backend_that_goes_down_are_reset)
{
	int server;
	int other_server;
	init();
	bench.pools[0].on_backend_down = ON_DOWN_RESET;
	int listener = proxy_bench_serve(&bench, BACKEND);
	int other = proxy_bench_serve(&bench, "127.0.0.1:7002");
	proxy_bench_start(&bench);
	proxy_bench_set_up(&bench, 1, false);
	int client = open_session(listener, &server);
	proxy_bench_set_up(&bench, 1, true);
	proxy_bench_set_up(&bench, 0, false);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	close(client);
	close(server);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_BACKEND_DOWN, 1));

	// The other one's are left alone, also when the first comes back and goes again.
	client = open_session(other, &other_server);
	proxy_bench_set_up(&bench, 0, true);
	proxy_bench_set_up(&bench, 0, false);
	cr_assert(sockets_say(client, "still there"));
	cr_expect(sockets_hear(other_server, "still there"));
	close(client);
	close(other_server);
	close(listener);
	close(other);
	finish();
}

Test(proxy_backends, sessions_are_kept_when_that_is_wanted)
{
	int server;
	init();
	bench.pools[0].on_backend_down = ON_DOWN_KEEP;
	int listener = proxy_bench_serve(&bench, BACKEND);
	proxy_bench_start(&bench);
	int client = open_session(listener, &server);
	proxy_bench_set_up(&bench, 0, false);
	fail_one(FRONTEND);
	cr_assert(sockets_say(client, "still there"));
	cr_expect(sockets_hear(server, "still there"));
	close(client);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	close(server);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 1));
	close(listener);
	finish();
}

Test(proxy_backends, a_backend_without_weight_is_not_chosen)
{
	int server;
	init();
	int drained = proxy_bench_serve(&bench, "127.0.0.1:7002");
	bench.pools[0].backends[0].weight = 0;
	int listener = proxy_bench_serve(&bench, BACKEND);
	proxy_bench_start(&bench);
	for (int i = 0; i < 4; i++) {
		close(open_session(listener, &server));
		close(server);
	}
	cr_expect_not(sockets_has_caller(drained));
	close(listener);
	close(drained);
	finish();
}

// ---- a queue that is full ----------------------------------------------------------------------

// Of a Unix socket the kernel says so at once, where a SYN would be sent again.
Test(proxy_backends, a_client_waits_for_room_in_the_queue_of_a_local_socket)
{
	init();
	int listener = sockets_listen("unix:@full", 0);
	proxy_bench_add_backend(&bench, "unix:@full");
	int filler = sockets_connect("unix:@full");
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	cr_assert(sockets_say(client, "hello"));
	cr_assert(proxy_bench_await_sessions(&bench, 1));
	close(sockets_accept(listener));
	int server = sockets_accept(listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	cr_expect(sockets_hear(server, "hello"));
	close(client);
	close(server);
	close(filler);
	close(listener);
	finish();
}

Test(proxy_backends, a_client_that_leaves_the_queue_of_a_local_socket_leaves_nothing)
{
	init();
	int listener = sockets_listen("unix:@full", 0);
	proxy_bench_add_backend(&bench, "unix:@full");
	int filler = sockets_connect("unix:@full");
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	while (proxy_bench_n_at(&bench, 0) == 0)
		;
	sockets_close_by_reset(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_RESET, 1));
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_ABANDONED), 1);
	close(filler);
	close(listener);
	finish();
}

Test(proxy_backends, a_queue_of_a_local_socket_that_stays_full_times_out)
{
	init();
	int full = sockets_listen("unix:@full", 0);
	proxy_bench_add_backend(&bench, "unix:@full");
	int filler = sockets_connect("unix:@full");
	int listener = proxy_bench_serve(&bench, BACKEND);
	bench.config.proxy.connect_timeout_ms = 200;
	proxy_bench_start(&bench);
	proxy_bench_set_up(&bench, 1, false);
	int client = sockets_connect(FRONTEND);
	cr_assert(proxy_bench_await_sessions(&bench, 1));
	proxy_bench_set_up(&bench, 1, true);
	cr_assert(sockets_say(client, "hello"));
	int server = sockets_accept(listener);
	cr_expect(sockets_hear(server, "hello"));
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_TIMEOUT), 1);
	close(client);
	close(server);
	close(filler);
	close(full);
	close(listener);
	finish();
}
