// SPDX-License-Identifier: Apache-2.0
// From a client to a backend that takes it: who is tried, how often, for how long, and from where.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"

#define FRONTEND "127.0.0.1:8000"
#define REFUSES  "127.0.0.1:7000" // nobody listens

TestSuite(proxy_connect, .timeout = 120);

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

// A session from end to end, by way of that listener.
static void pass_one(int listener)
{
	int client = sockets_connect(FRONTEND);
	cr_assert(sockets_say(client, "hello"));
	int server = sockets_accept(listener);
	cr_assert(sockets_hear(server, "hello"));
	cr_assert(sockets_say(server, "welcome"));
	cr_assert(sockets_hear(client, "welcome"));
	close(client);
	close(server);
}

Test(proxy_connect, a_refusal_leads_to_another_backend_and_the_client_sees_nothing)
{
	init();
	proxy_bench_add_backend(&bench, REFUSES);
	int listener = proxy_bench_serve(&bench, "127.0.0.1:7001");
	proxy_bench_start(&bench);
	for (int i = 0; i < 6; i++)
		pass_one(listener);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 6));
	cr_expect_eq(proxy_bench_n_connects(&bench, 1, CONNECT_CONNECTED), 6);
	// Every other client by turns, but a session's second try takes a turn too.
	cr_expect_geq(proxy_bench_n_connects(&bench, 0, CONNECT_REFUSED), 3);
	close(listener);
	finish();
}

static uint64_t n_refused(uint32_t n_backends)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < n_backends; i++)
		sum += proxy_bench_n_connects(&bench, i, CONNECT_REFUSED);
	return sum;
}

Test(proxy_connect, retries_bound_the_tries_and_then_the_client_is_reset)
{
	enum { BACKENDS = 5, RETRIES = 3 };
	static const char *const addrs[BACKENDS] = {"127.0.0.1:7000", "127.0.0.2:7000",
						    "127.0.0.3:7000", "127.0.0.4:7000",
						    "127.0.0.5:7000"};
	init();
	for (int i = 0; i < BACKENDS; i++)
		proxy_bench_add_backend(&bench, addrs[i]);
	bench.config.proxy.retries = RETRIES;
	proxy_bench_start(&bench);
	cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CONNECT_FAILED, 1));
	cr_expect_eq(n_refused(BACKENDS), RETRIES + 1);
	for (uint32_t i = 0; i < BACKENDS; i++)
		cr_expect_leq(proxy_bench_n_connects(&bench, i, CONNECT_REFUSED), 1, "twice");
	finish();
}

Test(proxy_connect, without_retries_there_is_one_try)
{
	init();
	proxy_bench_add_backend(&bench, REFUSES);
	proxy_bench_add_backend(&bench, "127.0.0.2:7000");
	bench.config.proxy.retries = 0;
	proxy_bench_start(&bench);
	cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
	cr_expect_eq(n_refused(2), 1);
	finish();
}

Test(proxy_connect, fewer_backends_than_tries_are_tried_once_each)
{
	init();
	proxy_bench_add_backend(&bench, REFUSES);
	proxy_bench_add_backend(&bench, "127.0.0.2:7000");
	bench.config.proxy.retries = 16;
	proxy_bench_start(&bench);
	cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
	cr_expect_eq(n_refused(2), 2);
	finish();
}

Test(proxy_connect, with_no_backend_up_the_client_is_reset)
{
	init();
	int listener = proxy_bench_serve(&bench, "127.0.0.1:7001");
	proxy_bench_start(&bench);
	proxy_bench_set_up(&bench, 0, false);
	cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_NO_BACKEND, 1));
	cr_expect_not(sockets_has_caller(listener));
	proxy_bench_set_up(&bench, 0, true);
	pass_one(listener);
	close(listener);
	finish();
}

// The queue of a listener with backlog 0 takes one; then it drops every SYN.
Test(proxy_connect, silence_leads_to_another_backend_after_connect_timeout)
{
	init();
	proxy_bench_add_backend(&bench, "127.0.0.1:7001");
	int silent = sockets_listen("127.0.0.1:7001", 0);
	int filler = sockets_connect("127.0.0.1:7001");
	int listener = proxy_bench_serve(&bench, "127.0.0.1:7002");
	bench.config.proxy.connect_timeout_ms = 50;
	proxy_bench_start(&bench);
	for (int i = 0; i < 3; i++)
		pass_one(listener);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 3));
	cr_expect_geq(proxy_bench_n_connects(&bench, 0, CONNECT_TIMEOUT), 1);
	close(silent);
	close(filler);
	close(listener);
	finish();
}

Test(proxy_connect, silence_everywhere_resets_the_client)
{
	init();
	proxy_bench_add_backend(&bench, "127.0.0.1:7001");
	int silent = sockets_listen("127.0.0.1:7001", 0);
	int filler = sockets_connect("127.0.0.1:7001");
	bench.config.proxy.connect_timeout_ms = 50;
	proxy_bench_start(&bench);
	cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CONNECT_FAILED, 1));
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_TIMEOUT), 1);
	close(silent);
	close(filler);
	finish();
}

// No route there; a route that says no; one that swallows without a word.
Test(proxy_connect, a_backend_without_a_way_to_it_is_unreachable)
{
	init();
	proxy_bench_add_backend(&bench, "192.0.2.1:80");
	proxy_bench_add_backend(&bench, "192.0.2.2:80");
	proxy_bench_add_backend(&bench, "192.0.2.3:80");
	proxy_bench_add_backend(&bench, "192.0.2.4:80");
	cr_assert(netns_run("ip route add unreachable 192.0.2.2 && "
			    "ip route add prohibit 192.0.2.3 && ip route add blackhole 192.0.2.4"));
	bench.config.proxy.retries = 3;
	proxy_bench_start(&bench);
	cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
	for (uint32_t i = 0; i < 4; i++)
		cr_expect_eq(proxy_bench_n_connects(&bench, i, CONNECT_UNREACHABLE), 1,
			     "backend %u", i);
	finish();
}

// The kernel has connected, and the backend has reset that, before anybody has looked.
Test(proxy_connect, a_backend_that_resets_at_once_counts_as_refusing)
{
	init();
	proxy_bench_add_backend(&bench, "127.0.0.1:7001");
	int hasty = sockets_listen("127.0.0.1:7001", 0);
	int filler = sockets_connect("127.0.0.1:7001");
	int listener = proxy_bench_serve(&bench, "127.0.0.1:7002");
	proxy_bench_start(&bench);
	proxy_bench_set_up(&bench, 1, false);
	int client = sockets_connect(FRONTEND);
	cr_assert(sockets_say(client, "hello"));
	while (!netns_run("ss -Htn state syn-sent | grep -q 127.0.0.1:7001"))
		;
	proxy_bench_set_up(&bench, 1, true);
	proxy_bench_freeze(&bench);
	close(sockets_accept(hasty));
	sockets_close_by_reset(sockets_accept(hasty));
	proxy_bench_thaw(&bench);
	int server = sockets_accept(listener);
	cr_assert(sockets_hear(server, "hello"));
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_REFUSED), 1);
	close(client);
	close(server);
	close(filler);
	close(hasty);
	close(listener);
	finish();
}

// A port of the host's own range where nobody listens: a connect there may choose that very port to
// come from, and then meets itself. With a range of two it soon does.
Test(proxy_connect, a_connect_that_meets_itself_is_refused)
{
	init();
	cr_assert(netns_run("echo 50000 50001 > /proc/sys/net/ipv4/ip_local_port_range"));
	proxy_bench_add_backend(&bench, "127.0.0.1:50000");
	proxy_bench_start(&bench);
	for (int i = 0; i < 20; i++) {
		int client = sockets_connect_from("127.0.0.1:40000", FRONTEND);
		cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
		if (client >= 0)
			close(client);
	}
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_CONNECTED), 0);
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_REFUSED), 20);
	finish();
}

static void check_local_socket(const char *endpoint)
{
	init();
	int listener = proxy_bench_serve(&bench, endpoint);
	proxy_bench_start(&bench);
	pass_one(listener);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 1));
	close(listener);
	cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_REFUSED), 1);
	finish();
}

Test(proxy_connect, a_backend_may_be_a_local_socket)
{
	char endpoint[64];
	const char *path = endpoint + strlen("unix:");
	check_local_socket("unix:@culvert-test");
	snprintf(endpoint, sizeof(endpoint), "unix:/tmp/culvert-test-%d.sock", (int)getpid());
	check_local_socket(endpoint);
	cr_assert_eq(unlink(path), 0);
	init();
	proxy_bench_add_backend(&bench, endpoint); // no such file any more
	proxy_bench_start(&bench);
	cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_REFUSED), 1);
	finish();
}
