// SPDX-License-Identifier: Apache-2.0
// The addresses and ports that connections to backends come from, and what travels early.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"
#include "culvert/net/sockaddr.h"

#define FRONTEND "127.0.0.1:8000"
#define BACKEND  "127.0.0.1:7001"

TestSuite(proxy_sources, .timeout = 120);

static struct proxy_bench bench;
static struct ip_addr sources[8];

static void init(void)
{
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	proxy_bench_add_frontend(&bench, FRONTEND);
	bench.config.proxy.source_addrs = sources;
}

static void finish(void)
{
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

static void add_source(const char *text)
{
	cr_assert(ip_addr_parse(text, &sources[bench.config.proxy.n_source_addrs++]));
}

// The kernel takes a moment until it may be used.
static void add_v6_address(void)
{
	cr_assert(netns_run("ip addr add fd00::11 dev lo"));
	while (!netns_run("ip -o addr show dev lo to fd00::11 -tentative | grep -q fd00"))
		;
}

static void expect_peer(int fd, const char *expected)
{
	struct sockaddr_storage addr;
	socklen_t size = sizeof(addr);
	struct endpoint peer;
	char text[IP_ADDR_TEXT_MAX];
	cr_assert_eq(getpeername(fd, (struct sockaddr *)&addr, &size), 0, "%s", strerror(errno));
	endpoint_from_sockaddr((struct sockaddr *)&addr, &peer);
	cr_expect_str_eq(ip_addr_format(&peer.addr, text), expected);
}

// A session from end to end, whose backend sees it come from there.
static void pass_one(int listener, const char *source)
{
	int client = sockets_connect(FRONTEND);
	int server = sockets_accept(listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	expect_peer(server, source);
	cr_assert(sockets_say(client, "x"));
	cr_assert(sockets_hear(server, "x"));
	close(client);
	close(server);
}

Test(proxy_sources, source_addresses_take_turns)
{
	init();
	add_source("127.0.0.11");
	add_source("127.0.0.12");
	add_source("127.0.0.13");
	int listener = proxy_bench_serve(&bench, BACKEND);
	proxy_bench_start(&bench);
	for (int i = 0; i < 3; i++) {
		pass_one(listener, "127.0.0.11");
		pass_one(listener, "127.0.0.12");
		pass_one(listener, "127.0.0.13");
	}
	close(listener);
	finish();
}

Test(proxy_sources, a_backend_is_reached_from_its_own_family)
{
	init();
	add_v6_address();
	add_source("127.0.0.11");
	add_source("fd00::11");
	int v4 = proxy_bench_serve(&bench, "127.0.0.1:7001");
	int v6 = proxy_bench_serve(&bench, "[::1]:7001");
	proxy_bench_start(&bench);
	for (uint32_t i = 0; i < 4; i++) {
		proxy_bench_set_up(&bench, i % 2, true);
		proxy_bench_set_up(&bench, 1 - i % 2, false);
		pass_one(i % 2 ? v6 : v4, i % 2 ? "fd00::11" : "127.0.0.11");
	}
	close(v4);
	close(v6);
	finish();
}

Test(proxy_sources, without_one_of_its_family_the_route_decides)
{
	init();
	add_v6_address();
	add_source("fd00::11");
	int listener = proxy_bench_serve(&bench, BACKEND);
	proxy_bench_start(&bench);
	pass_one(listener, "127.0.0.1");
	close(listener);
	finish();
}

// Two ports for each address, of which the first has none left after two sessions.
Test(proxy_sources, an_address_whose_ports_are_used_up_is_passed_over)
{
	enum { SESSIONS = 4 }; // two ports for each of two sources
	int clients[SESSIONS + 1];
	int servers[SESSIONS];
	init();
	cr_assert(netns_run("echo 50000 50001 > /proc/sys/net/ipv4/ip_local_port_range"));
	add_source("127.0.0.11");
	add_source("127.0.0.12");
	int listener = proxy_bench_serve(&bench, BACKEND);
	proxy_bench_start(&bench);
	for (int i = 0; i < SESSIONS; i++) {
		char from[32];
		snprintf(from, sizeof(from), "127.0.1.%d:40000", i + 1);
		clients[i] = sockets_connect_from(from, FRONTEND);
		servers[i] = sockets_accept(listener);
		cr_assert_geq(servers[i], 0, "session %d: %s", i, strerror(-servers[i]));
	}
	// And now there is none left at all.
	clients[SESSIONS] = sockets_connect_from("127.0.2.1:40000", FRONTEND);
	cr_expect_eq(sockets_await_end(clients[SESSIONS], NULL), ECONNRESET);
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_NO_PORT), 1);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CONNECT_FAILED, 1));
	cr_expect_eq(proxy_take_suspect(bench.proxy), -1, "want of ports is no backend's fault");
	for (int i = 0; i < SESSIONS; i++) {
		close(clients[i]);
		close(servers[i]);
	}
	if (clients[SESSIONS] >= 0)
		close(clients[SESSIONS]);
	close(listener);
	finish();
}

Test(proxy_sources, an_address_that_this_host_has_lost_is_passed_over)
{
	init();
	cr_assert(netns_run("ip addr add 192.0.2.77 dev lo"));
	add_source("192.0.2.77");
	add_source("127.0.0.12");
	int listener = proxy_bench_serve(&bench, BACKEND);
	proxy_bench_start(&bench);
	cr_assert(netns_run("ip addr del 192.0.2.77/32 dev lo"));
	for (int i = 0; i < 3; i++)
		pass_one(listener, "127.0.0.12");
	close(listener);
	finish();
}

Test(proxy_sources, an_address_that_this_host_has_never_had_is_refused)
{
	init();
	add_source("192.0.2.77");
	proxy_bench_add_backend(&bench, BACKEND);
	cr_expect_eq(proxy_bench_create(&bench), -EADDRNOTAVAIL);
	cr_expect_not_null(strstr(bench.err.message, "192.0.2.77"), "%s", bench.err.message);
	finish();
}

// The first connect fetches a cookie, with which the second carries data in its SYN (RFC 7413).
Test(proxy_sources, data_in_the_syn_arrives_once_and_is_counted)
{
	int queue = 16;
	init();
	cr_assert(netns_run("echo 3 > /proc/sys/net/ipv4/tcp_fastopen"));
	bench.config.proxy.tcp_fast_open = true;
	int listener = proxy_bench_serve(&bench, BACKEND);
	cr_assert_eq(setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)), 0);
	proxy_bench_start(&bench);
	for (int i = 0; i < 4; i++) {
		proxy_bench_freeze(&bench);
		int client = sockets_connect(FRONTEND);
		cr_assert(sockets_say(client, "question"));
		proxy_bench_thaw(&bench);
		int server = sockets_accept(listener);
		cr_assert(sockets_hear(server, "question"));
		cr_assert(sockets_say(server, "answer"));
		cr_assert(sockets_hear(client, "answer"));
		close(client);
		cr_expect_eq(sockets_await_end(server, NULL), 0, "nothing comes twice");
		close(server);
	}
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 4));
	cr_expect_eq(proxy_bench_total(&bench).bytes_tx, 4 * strlen("question"));
	cr_expect_eq(proxy_bench_total(&bench).bytes_rx, 4 * strlen("answer"));
	cr_expect(netns_run("nstat -asz TcpExtTCPFastOpenPassive | grep -q 'Passive  *[1-9]'"),
		  "no SYN has carried data");
	close(listener);
	finish();
}

// The backend with the cookie refuses the next SYN, and what went with it goes to the other.
Test(proxy_sources, data_in_a_syn_that_is_refused_goes_to_another_backend)
{
	int queue = 16;
	init();
	cr_assert(netns_run("echo 3 > /proc/sys/net/ipv4/tcp_fastopen"));
	bench.config.proxy.tcp_fast_open = true;
	int known = proxy_bench_serve(&bench, "127.0.0.2:7001");
	cr_assert_eq(setsockopt(known, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)), 0);
	int listener = proxy_bench_serve(&bench, BACKEND);
	proxy_bench_start(&bench);
	proxy_bench_set_up(&bench, 1, false);
	for (int i = 0; i < 4; i++) {
		proxy_bench_freeze(&bench);
		int client = sockets_connect(FRONTEND);
		cr_assert(sockets_say(client, "question"));
		proxy_bench_thaw(&bench);
		int server = sockets_accept(i < 2 ? known : listener);
		cr_assert(sockets_hear(server, "question"), "session %d", i);
		close(client);
		cr_expect_eq(sockets_await_end(server, NULL), 0, "session %d", i);
		close(server);
		if (i == 1) {
			close(known);
			proxy_bench_set_up(&bench, 1, true);
		}
	}
	cr_expect_geq(proxy_bench_n_connects(&bench, 0, CONNECT_REFUSED), 1);
	cr_expect(proxy_bench_await_sessions(&bench, 0));
	cr_expect_eq(proxy_bench_total(&bench).bytes_tx, 4 * strlen("question"));
	close(listener);
	finish();
}

Test(proxy_sources, what_was_said_early_reaches_the_backend_that_takes_the_session)
{
	init();
	bench.config.proxy.tcp_fast_open = true;
	proxy_bench_add_backend(&bench, "127.0.0.2:7001"); // refuses
	int listener = proxy_bench_serve(&bench, BACKEND);
	cr_assert_eq(proxy_bench_create(&bench), 0, "%s", bench.err.message);
	int client = sockets_connect(FRONTEND);
	int other = sockets_connect(FRONTEND);
	cr_assert(sockets_say(client, "early"));
	cr_assert(sockets_say(other, "early"));
	proxy_bench_start(&bench);
	for (int i = 0; i < 2; i++) {
		int server = sockets_accept(listener);
		cr_assert(sockets_hear(server, "early"));
		close(server);
	}
	cr_expect_geq(proxy_bench_n_connects(&bench, 0, CONNECT_REFUSED), 1);
	close(client);
	close(other);
	close(listener);
	finish();
}
