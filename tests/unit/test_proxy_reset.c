// SPDX-License-Identifier: Apache-2.0
// One side of a session breaks off: the other learns of it at once, whatever is under way.
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"

#define FRONTEND "127.0.0.1:8000"
#define BACKEND  "127.0.0.1:7001"

TestSuite(proxy_reset, .timeout = 120);

static struct proxy_bench bench;
static int listener;
static int client;
static int server;

static void start_proxy(int backlog)
{
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	proxy_bench_add_frontend(&bench, FRONTEND);
	proxy_bench_add_backend(&bench, BACKEND);
	listener = sockets_listen(BACKEND, backlog);
	proxy_bench_start(&bench);
}

static void start(void)
{
	start_proxy(16);
	client = sockets_connect(FRONTEND);
	cr_assert_geq(client, 0, "%s", strerror(-client));
	server = sockets_accept(listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
}

static void finish(void)
{
	close(listener);
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

// Write until nothing more is taken for a while.
static void stuff(int fd)
{
	static uint8_t piece[64 * 1024];
	struct pollfd look = {.fd = fd, .events = POLLOUT};
	sockets_fill(piece, sizeof(piece), 0);
	ssize_t n = 1;
	while ((n > 0 || errno == EAGAIN) && poll(&look, 1, 200) == 1)
		n = send(fd, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL);
}

Test(proxy_reset, a_client_that_breaks_off_after_its_end_is_noticed)
{
	start();
	cr_assert_eq(sockets_send(client, "x", 1), 0);
	shutdown(client, SHUT_WR);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	sockets_close_by_reset(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_RESET, 1));
	cr_expect_neq(sockets_send(server, "y", 1), 0);
	close(server);
	finish();
}

// Neither side reads what the other says.
Test(proxy_reset, a_client_that_breaks_off_while_both_ways_are_full_is_noticed)
{
	start();
	stuff(client);
	stuff(server);
	stuff(client);
	sockets_close_by_reset(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_RESET, 1));
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	close(server);
	finish();
}

Test(proxy_reset, a_backend_that_breaks_off_while_both_ways_are_full_is_noticed)
{
	uint64_t n_bytes;
	start();
	stuff(client);
	stuff(server);
	sockets_close_by_reset(server);
	cr_expect_eq(sockets_await_end(client, &n_bytes), ECONNRESET);
	cr_expect_gt(n_bytes, 0);
	close(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_BACKEND_RESET, 1));
	finish();
}

Test(proxy_reset, a_client_that_goes_without_reading_resets_the_backend)
{
	start();
	stuff(server);
	close(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_RESET, 1));
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	close(server);
	finish();
}

// What was said before goes to the backend all the same.
Test(proxy_reset, a_client_that_goes_without_reading_is_heard_out)
{
	uint64_t n_bytes;
	start();
	cr_assert_eq(sockets_send(server, "unwanted", 8), 0);
	while (proxy_bench_total(&bench).bytes_rx < 8)
		;
	cr_assert_eq(sockets_send(client, "message", 7), 0);
	close(client);
	cr_expect_eq(sockets_await_end(server, &n_bytes), ECONNRESET);
	cr_expect_eq(n_bytes, 7);
	close(server);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_RESET, 1));
	finish();
}

// It has said its end, and so has been told; then it is gone when the client goes on.
Test(proxy_reset, a_backend_that_is_gone_after_its_end_shows_when_it_is_sent_to)
{
	start();
	close(server);
	cr_expect_eq(sockets_await_end(client, NULL), 0);
	while (send(client, "x", 1, MSG_NOSIGNAL) == 1)
		;
	close(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_BACKEND_RESET, 1));
	finish();
}

Test(proxy_reset, stopping_resets_both_sides)
{
	start();
	cr_assert(proxy_bench_await_connects(&bench, 0, CONNECT_CONNECTED, 1));
	proxy_stop(bench.proxy);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	close(client);
	close(server);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_SHUTDOWN, 1));
	finish();
}

// As port scanners do, and health checks of other balancers: there is nobody to serve.
Test(proxy_reset, a_client_that_is_gone_when_it_is_accepted_costs_no_connect)
{
	start_proxy(16);
	proxy_bench_freeze(&bench);
	sockets_close_by_reset(sockets_connect(FRONTEND));
	proxy_bench_thaw(&bench);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_RESET, 1));
	cr_expect_not(sockets_has_caller(listener));
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_ABANDONED), 0);
	finish();
}

// The kernel has finished the handshake with the backend, and nobody has looked at that yet.
Test(proxy_reset, a_client_that_breaks_off_during_the_connect_resets_the_backend)
{
	start_proxy(0);
	int filler = sockets_connect(BACKEND); // the queue is full now
	client = sockets_connect(FRONTEND);
	while (!netns_run("ss -Htn state syn-sent | grep -q %s", BACKEND))
		;
	proxy_bench_freeze(&bench);
	sockets_close_by_reset(client);
	close(sockets_accept(listener));
	server = sockets_accept(listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	proxy_bench_thaw(&bench);
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	close(server);
	close(filler);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_RESET, 1));
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_ABANDONED), 1);
	finish();
}
