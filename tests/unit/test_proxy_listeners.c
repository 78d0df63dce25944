// SPDX-License-Identifier: Apache-2.0
// Where clients come in: addresses of both families, what keeps them from being listened on, and
// how listening ends.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"
#include "culvert/base/clock.h"

#define FRONTEND "127.0.0.1:8000"
#define BACKEND  "127.0.0.1:7001"

TestSuite(proxy_listeners, .timeout = 120);

static struct proxy_bench bench;
static int listener;

static void init(const char *frontend)
{
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	proxy_bench_add_frontend(&bench, frontend);
	listener = proxy_bench_serve(&bench, BACKEND);
}

static void finish(void)
{
	close(listener);
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

static void pass_one(const char *to, int at)
{
	int client = sockets_connect(to);
	cr_assert_geq(client, 0, "%s: %s", to, strerror(-client));
	cr_assert(sockets_say(client, "hello"));
	int server = sockets_accept(at);
	cr_assert_geq(server, 0, "%s: %s", to, strerror(-server));
	cr_assert(sockets_hear(server, "hello"));
	close(client);
	close(server);
}

Test(proxy_listeners, clients_of_ipv6_reach_backends_of_either_family)
{
	init("[::1]:8000");
	int v6 = proxy_bench_serve(&bench, "[::1]:7001");
	proxy_bench_start(&bench);
	proxy_bench_set_up(&bench, 0, false);
	pass_one("[::1]:8000", v6);
	proxy_bench_set_up(&bench, 0, true);
	proxy_bench_set_up(&bench, 1, false);
	pass_one("[::1]:8000", listener);
	cr_expect_eq(sockets_connect(FRONTEND), -ECONNREFUSED);
	close(v6);
	finish();
}

Test(proxy_listeners, the_wildcard_of_ipv6_takes_both)
{
	init("[::]:8000");
	proxy_bench_start(&bench);
	pass_one("[::1]:8000", listener);
	pass_one(FRONTEND, listener);
	pass_one("127.0.0.77:8000", listener);
	finish();
}

// Whatever their order in the file.
Test(proxy_listeners, the_wildcards_of_both_families_share_a_port)
{
	static const char *const orders[2][2] = {{"[::]:8000", "0.0.0.0:8000"},
						 {"0.0.0.0:8000", "[::]:8000"}};
	for (int order = 0; order < 2; order++) {
		init(orders[order][0]);
		proxy_bench_add_pool(&bench);
		int other = proxy_bench_serve(&bench, "127.0.0.1:7002");
		proxy_bench_add_frontend(&bench, orders[order][1]);
		proxy_bench_start(&bench);
		for (int i = 0; i < 3; i++) {
			pass_one("[::1]:8000", order == 0 ? listener : other);
			pass_one(FRONTEND, order == 0 ? other : listener);
		}
		close(other);
		finish();
	}
}

Test(proxy_listeners, an_address_goes_before_the_wildcard_and_takes_nothing_else_from_it)
{
	init("[::]:8000");
	proxy_bench_add_pool(&bench);
	int other = proxy_bench_serve(&bench, "127.0.0.1:7002");
	proxy_bench_add_frontend(&bench, "127.0.0.77:8000");
	proxy_bench_start(&bench);
	for (int i = 0; i < 3; i++) {
		pass_one("127.0.0.77:8000", other);
		pass_one("127.0.0.1:8000", listener);
		pass_one("[::1]:8000", listener);
	}
	close(other);
	finish();
}

Test(proxy_listeners, every_thread_accepts)
{
	enum { CLIENTS = 60 };
	int clients[CLIENTS];
	init(FRONTEND);
	bench.config.proxy.threads = 3;
	proxy_bench_start(&bench);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = sockets_connect(FRONTEND);
	for (int i = 0; i < CLIENTS; i++)
		close(sockets_accept(listener));
	for (int i = 0; i < CLIENTS; i++) {
		cr_expect_eq(sockets_await_end(clients[i], NULL), 0);
		close(clients[i]);
	}
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, CLIENTS));
	cr_expect_eq(proxy_n_threads(bench.proxy), 3);
	finish();
}

// ---- what keeps it from listening --------------------------------------------------------------

static void expect_refusal(int code, const char *text)
{
	cr_expect_eq(proxy_bench_create(&bench), code);
	cr_expect_not_null(strstr(bench.err.message, text), "%s", bench.err.message);
	cr_expect_not_null(strstr(bench.err.message, "frontend some"), "%s", bench.err.message);
	cr_expect_null(bench.proxy);
}

Test(proxy_listeners, an_address_in_use_is_refused)
{
	init(FRONTEND);
	int other = sockets_listen(FRONTEND, 1);
	expect_refusal(-EADDRINUSE, FRONTEND " is in use by another program");
	close(other);
	finish();
}

// Two programs that share a port would each get half of the connections.
Test(proxy_listeners, an_address_that_another_program_would_share_is_refused)
{
	static const int on = 1;
	init(FRONTEND);
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(8000)};
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	cr_assert_eq(setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	cr_assert_eq(bind(other, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(other, 1), 0);
	expect_refusal(-EADDRINUSE, "is in use by another program");
	close(other);
	finish();
}

Test(proxy_listeners, an_address_of_another_host_is_refused)
{
	init("192.0.2.10:8000");
	expect_refusal(-EADDRNOTAVAIL, "does not have the address of 192.0.2.10:8000");
	finish();
}

Test(proxy_listeners, a_low_port_without_the_privilege_is_refused)
{
	init("127.0.0.1:80");
	cr_assert_eq(seteuid(65534), 0);
	expect_refusal(-EACCES, "need a privilege");
	cr_assert_eq(seteuid(0), 0);
	finish();
}

// One that has just been stopped has left connections in TIME_WAIT.
Test(proxy_listeners, a_restart_finds_its_address_free)
{
	init(FRONTEND);
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	int server = sockets_accept(listener);
	close(server);
	cr_expect_eq(sockets_await_end(client, NULL), 0);
	close(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 1));
	cr_expect(netns_run("ss -Htn state time-wait | grep -q :8000"));
	proxy_destroy(bench.proxy);
	registry_destroy(bench.registry);
	bench.proxy = NULL;
	bench.registry = NULL;
	cr_assert_eq(proxy_bench_create(&bench), 0, "%s", bench.err.message);
	proxy_bench_start(&bench);
	pass_one(FRONTEND, listener);
	finish();
}

// ---- how it ends -------------------------------------------------------------------------------

Test(proxy_listeners, a_drain_serves_who_waits_and_refuses_who_comes)
{
	enum { WAITING = 100 };
	int clients[WAITING];
	int servers[WAITING];
	init(FRONTEND);
	proxy_bench_start(&bench);
	proxy_bench_freeze(&bench);
	for (int i = 0; i < WAITING; i++)
		clients[i] = sockets_connect(FRONTEND);
	proxy_drain(bench.proxy);
	cr_expect_not(proxy_is_drained(bench.proxy), "nobody has looked at the queue yet");
	proxy_bench_thaw(&bench);
	for (int i = 0; i < WAITING; i++)
		servers[i] = sockets_accept(listener);
	while (sockets_n_listening(8000) > 0)
		;
	cr_expect_eq(sockets_connect(FRONTEND), -ECONNREFUSED);
	cr_expect_not(proxy_is_drained(bench.proxy));
	for (int i = 0; i < WAITING; i++) {
		cr_assert(sockets_say(servers[i], "served"));
		close(servers[i]);
		cr_expect(sockets_hear(clients[i], "served"), "client %d", i);
		cr_expect_eq(sockets_await_end(clients[i], NULL), 0);
		close(clients[i]);
	}
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, WAITING));
	cr_expect(proxy_is_drained(bench.proxy));
	finish();
}

static void *flood(void *arg)
{
	const atomic_bool *is_over = arg;
	while (!atomic_load(is_over))
		sockets_close_by_reset(sockets_connect_start(FRONTEND));
	return NULL;
}

// As fast as connections come, listening must come to its end.
Test(proxy_listeners, a_drain_ends_under_a_flood)
{
	enum { FLOODS = 3 };
	atomic_bool is_over = false;
	pthread_t floods[FLOODS];
	init(FRONTEND);
	proxy_bench_start(&bench);
	for (int i = 0; i < FLOODS; i++)
		cr_assert_eq(pthread_create(&floods[i], NULL, flood, &is_over), 0);
	while (proxy_bench_total(&bench).total_connections < 1000)
		;
	proxy_drain(bench.proxy);
	uint64_t deadline_ns = clock_now_ns() + 20 * NS_PER_SEC;
	while (sockets_n_listening(8000) > 0 && clock_now_ns() < deadline_ns)
		;
	cr_expect_eq(sockets_n_listening(8000), 0);
	atomic_store(&is_over, true);
	for (int i = 0; i < FLOODS; i++)
		pthread_join(floods[i], NULL);
	finish();
}

Test(proxy_listeners, a_proxy_that_was_never_started_is_destroyed)
{
	init(FRONTEND);
	cr_assert_eq(proxy_bench_create(&bench), 0, "%s", bench.err.message);
	int client = sockets_connect(FRONTEND);
	bench.n_open++; // the client's, who learns of the end
	proxy_stop(bench.proxy);
	finish();
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	close(client);
	proxy_destroy(NULL);
}
