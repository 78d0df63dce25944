// SPDX-License-Identifier: Apache-2.0
// How long a session may stand still. Limits are short here and patience is long: that a session
// ends is awaited, that it does not end is seen by what still passes through it.
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"
#include "culvert/base/clock.h"

#define FRONTEND "127.0.0.1:8000"
#define BACKEND  "127.0.0.1:7001"

TestSuite(proxy_timeouts, .timeout = 120);

static struct proxy_bench bench;
static int listener;
static int client;
static int server;

static void init(void)
{
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	proxy_bench_add_frontend(&bench, FRONTEND);
	listener = proxy_bench_serve(&bench, BACKEND);
}

static void start(void)
{
	proxy_bench_start(&bench);
	client = sockets_connect(FRONTEND);
	server = sockets_accept(listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
}

static void finish(void)
{
	close(client);
	close(server);
	close(listener);
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

// Write until nothing more is taken for a while.
static void stuff(int fd)
{
	static uint8_t piece[64 * 1024];
	struct pollfd look = {.fd = fd, .events = POLLOUT};
	ssize_t n = 1;
	while ((n > 0 || errno == EAGAIN) && poll(&look, 1, 100) == 1)
		n = send(fd, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL);
}

Test(proxy_timeouts, a_session_in_which_nothing_moves_ends_by_reset)
{
	init();
	bench.config.proxy.idle_timeout_ms = 100;
	start();
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_IDLE, 1));
	finish();
}

// Many times the idle timeout, either side speaking now and then.
Test(proxy_timeouts, what_moves_keeps_a_session_alive)
{
	enum { IDLE_MS = 1000, ROUND_MS = 250, ROUNDS = 14 };
	init();
	bench.config.proxy.idle_timeout_ms = IDLE_MS;
	start();
	for (int i = 0; i < ROUNDS; i++) {
		int from = i % 2 ? client : server;
		int to = i % 2 ? server : client;
		struct pollfd quiet = {.fd = from, .events = POLLIN};
		cr_assert_eq(poll(&quiet, 1, ROUND_MS), 0, "ended in round %d", i);
		cr_assert(sockets_say(from, "x"));
		cr_assert(sockets_hear(to, "x"), "round %d", i);
	}
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_IDLE, 1));
	finish();
}

Test(proxy_timeouts, a_client_that_does_not_read_ends_after_its_own_timeout)
{
	init();
	bench.config.proxy.client_timeout_ms = 1500; // longer than filling takes
	start();
	stuff(server);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_TIMEOUT, 1));
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	finish();
}

Test(proxy_timeouts, a_client_that_never_closes_ends_after_its_own_timeout)
{
	init();
	bench.config.proxy.client_timeout_ms = 200;
	start();
	cr_assert(sockets_say(server, "that is all"));
	close(server);
	server = -1;
	cr_assert(sockets_hear(client, "that is all"));
	cr_expect_eq(sockets_await_end(client, NULL), 0);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_TIMEOUT, 1));
	cr_expect_neq(sockets_send(client, "x", 1), 0);
	server = sockets_connect(BACKEND);
	finish();
}

// It owes nothing: the backend does.
Test(proxy_timeouts, a_backend_that_does_not_answer_has_the_idle_timeout)
{
	init();
	bench.config.proxy.client_timeout_ms = 100;
	bench.config.proxy.idle_timeout_ms = 700;
	start();
	cr_assert(sockets_say(client, "question"));
	shutdown(client, SHUT_WR);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_IDLE, 1));
	cr_expect_eq(proxy_bench_n_ends(&bench, SESSION_END_CLIENT_TIMEOUT), 0);
	finish();
}

Test(proxy_timeouts, a_client_that_reads_again_owes_nothing_any_more)
{
	uint8_t bytes[64 * 1024];
	init();
	bench.config.proxy.client_timeout_ms = 3000;
	start();
	stuff(server);
	struct pollfd look = {.fd = client, .events = POLLIN};
	while (poll(&look, 1, 200) == 1)
		cr_assert_gt(recv(client, bytes, sizeof(bytes), 0), 0);
	// Longer than the client's timeout, shorter than that of silence.
	cr_expect_eq(poll(&look, 1, 4000), 0, "ended");
	cr_assert(sockets_say(server, "still there"));
	cr_expect(sockets_hear(client, "still there"));
	finish();
}

static bool await_taken(uint64_t n_bytes)
{
	enum { STEPS = 100 };
	struct pollfd step = {.fd = -1};
	for (int i = 0; i < STEPS; i++) {
		if (proxy_bench_total(&bench).bytes_rx >= n_bytes)
			return true;
		(void)poll(&step, 1, 1);
	}
	return false;
}

// Send lines until one is not taken whole: the client, who does not read, owes something then.
// Those from `n_fast` on come seldom. Returns how many were taken.
static unsigned send_lines(unsigned n_fast, int pause_ms)
{
	enum { LINE = 256 };
	static const uint8_t line[LINE];
	struct pollfd quiet = {.fd = -1};
	uint64_t before = proxy_bench_total(&bench).bytes_rx;
	for (unsigned n = 0;; n++) {
		if (n >= n_fast)
			(void)poll(&quiet, 1, pause_ms);
		cr_assert_eq(sockets_send(server, line, LINE), 0);
		if (!await_taken(before + (uint64_t)(n + 1) * LINE))
			return n;
	}
}

// However long ago the last line was taken that still fitted.
Test(proxy_timeouts, a_client_has_its_whole_time_from_when_it_owes_something)
{
	uint8_t bytes[256];
	init();
	cr_assert(netns_run("cd /proc/sys/net/ipv4 && echo 4096 4096 4096 > tcp_wmem && "
			    "echo 4096 4096 4096 > tcp_rmem"));
	bench.config.proxy.client_timeout_ms = 1000;
	start();
	unsigned n = send_lines(1000, 0);
	close(client);
	close(server);
	cr_assert(proxy_bench_await_sessions(&bench, 0));
	client = sockets_connect(FRONTEND);
	server = sockets_accept(listener);
	// Not always as many fit.
	unsigned n_taken = send_lines(n - 1, 1500);
	cr_expect_geq(n_taken, n - 1);
	for (unsigned i = 0; i < n_taken; i++)
		cr_assert_eq(sockets_recv(client, bytes, sizeof(bytes)), sizeof(bytes),
			     "ended after %u lines of %u", i, n_taken);
	finish();
}
