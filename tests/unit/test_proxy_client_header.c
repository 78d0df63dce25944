// SPDX-License-Identifier: Apache-2.0
// PROXY headers at the two ends of a session: from clients that are to send one, and to backends
// that want one.
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
#include "culvert/net/proxy_header.h"

#define FRONTEND "127.0.0.1:8000"
#define BACKEND  "127.0.0.1:7001"
#define V1       "PROXY TCP4 192.0.2.1 198.51.100.1 1000 80\r\n"

enum { TEXT_MAX = PROXY_HEADER_V1_MAX + 1 };

TestSuite(proxy_client_header, .timeout = 120);

static struct proxy_bench bench;
static struct ip_network trusted; // clients at 127.0.0.1 are to send a header
static int listener;

static void init(bool is_accepting, enum send_proxy send)
{
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	struct config_frontend *frontend = proxy_bench_add_frontend(&bench, FRONTEND);
	cr_assert(ip_network_parse("127.0.0.1", &trusted));
	frontend->accept_proxy = &trusted;
	frontend->n_accept_proxy = is_accepting ? 1 : 0;
	bench.pools[0].send_proxy = send;
	listener = proxy_bench_serve(&bench, BACKEND);
}

static void finish(void)
{
	close(listener);
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

// The text of a connection's own endpoints, in the words of version 1.
static void describe(int client, char *text)
{
	struct sockaddr_in own;
	socklen_t size = sizeof(own);
	cr_assert_eq(getsockname(client, (struct sockaddr *)&own, &size), 0);
	snprintf(text, TEXT_MAX, "PROXY TCP4 %s 127.0.0.1 %u 8000\r\n", inet_ntoa(own.sin_addr),
		 ntohs(own.sin_port));
}

static size_t write_v2(const char *src, const char *dst, uint8_t *out)
{
	struct endpoint from;
	struct endpoint to;
	cr_assert(endpoint_parse(src, &from) && endpoint_parse(dst, &to));
	return proxy_header_write_v2(&from, &to, out);
}

static void close_both(int client, int server)
{
	close(client);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	close(server);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 1));
}

// ---- sent to backends --------------------------------------------------------------------------

Test(proxy_client_header, version_1_goes_to_the_backend_once_and_first)
{
	char header[TEXT_MAX];
	init(false, SEND_PROXY_V1);
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	describe(client, header);
	cr_assert(sockets_say(client, "request"));
	int server = sockets_accept(listener);
	cr_expect(sockets_hear(server, header));
	cr_expect(sockets_hear(server, "request"));
	cr_assert(sockets_say(client, "more"));
	cr_expect(sockets_hear(server, "more"));
	cr_assert(sockets_say(server, "answer"));
	cr_expect(sockets_hear(client, "answer"));
	close_both(client, server);
	finish();
}

Test(proxy_client_header, version_2_goes_to_the_backend_once_and_first)
{
	uint8_t bytes[28];
	struct proxy_header header = {0};
	size_t length = 0;
	const char *problem = NULL;
	init(false, SEND_PROXY_V2);
	proxy_bench_start(&bench);
	int client = sockets_connect_from("127.0.0.9:4321", FRONTEND);
	cr_assert(sockets_say(client, "request"));
	int server = sockets_accept(listener);
	cr_assert_eq(sockets_recv(server, bytes, sizeof(bytes)), sizeof(bytes));
	cr_assert_eq(proxy_header_parse(bytes, sizeof(bytes), &header, &length, &problem),
		     PROXY_HEADER_DONE, "%s", problem);
	cr_expect_eq(length, sizeof(bytes));
	char text[ENDPOINT_TEXT_MAX];
	cr_expect_str_eq(endpoint_format(&header.src, text), "127.0.0.9:4321");
	cr_expect_str_eq(endpoint_format(&header.dst, text), FRONTEND);
	cr_expect(sockets_hear(server, "request"));
	close_both(client, server);
	finish();
}

// Nor does it wait for the client to say something.
Test(proxy_client_header, a_header_does_not_keep_the_server_from_speaking_first)
{
	char header[TEXT_MAX];
	init(false, SEND_PROXY_V1);
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	describe(client, header);
	int server = sockets_accept(listener);
	cr_expect(sockets_hear(server, header));
	cr_assert(sockets_say(server, "220 ready"));
	cr_expect(sockets_hear(client, "220 ready"));
	close_both(client, server);
	finish();
}

Test(proxy_client_header, another_backend_gets_the_header_too)
{
	char header[TEXT_MAX];
	init(false, SEND_PROXY_V1);
	proxy_bench_add_backend(&bench, "127.0.0.2:7001"); // refuses
	proxy_bench_start(&bench);
	for (int i = 0; i < 2; i++) {
		int client = sockets_connect(FRONTEND);
		describe(client, header);
		cr_assert(sockets_say(client, "request"));
		int server = sockets_accept(listener);
		cr_expect(sockets_hear(server, header));
		cr_expect(sockets_hear(server, "request"));
		close(client);
		cr_expect_eq(sockets_await_end(server, NULL), 0);
		close(server);
	}
	cr_expect_geq(proxy_bench_n_connects(&bench, 1, CONNECT_REFUSED), 1);
	finish();
}

// A frontend on every address says which one the client has asked for.
Test(proxy_client_header, a_wildcard_frontend_names_the_address_that_was_asked_for)
{
	init(false, SEND_PROXY_V1);
	bench.frontends[0].endpoint.addr = ip_addr_from_v4(0);
	proxy_bench_start(&bench);
	int client = sockets_connect_from("127.0.0.9:4321", "127.0.0.77:8000");
	cr_assert_geq(client, 0, "%s", strerror(-client));
	int server = sockets_accept(listener);
	cr_expect(sockets_hear(server, "PROXY TCP4 127.0.0.9 127.0.0.77 4321 8000\r\n"));
	close_both(client, server);
	finish();
}

// The addresses of an IPv4 client are IPv4 on a socket for both families too.
Test(proxy_client_header, the_wildcard_of_ipv6_names_ipv4_clients_as_what_they_are)
{
	init(true, SEND_PROXY_V1);
	cr_assert(endpoint_parse("[::]:8000", &bench.frontends[0].endpoint));
	bench.frontends[0].endpoint.proto = IPPROTO_TCP;
	proxy_bench_start(&bench);
	int client = sockets_connect_from("127.0.0.9:4321", "127.0.0.77:8000");
	int server = sockets_accept(listener);
	cr_expect(sockets_hear(server, "PROXY TCP4 127.0.0.9 127.0.0.77 4321 8000\r\n"));
	close(client);
	close(server);
	client = sockets_connect(FRONTEND); // one of those who are to send a header
	cr_assert(sockets_say(client, V1));
	server = sockets_accept(listener);
	cr_expect(sockets_hear(server, V1));
	close(client);
	close(server);
	finish();
}

// ---- taken from clients ------------------------------------------------------------------------

Test(proxy_client_header, a_header_is_taken_off_and_passed_on)
{
	init(true, SEND_PROXY_V1);
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	cr_assert(sockets_say(client, V1 "request"));
	int server = sockets_accept(listener);
	cr_expect(sockets_hear(server, V1 "request"));
	close_both(client, server);
	finish();
}

Test(proxy_client_header, version_2_is_taken_off)
{
	uint8_t header[PROXY_HEADER_V2_MAX];
	init(true, SEND_PROXY_V1);
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	size_t length = write_v2("[2001:db8::1]:1000", "[2001:db8::2]:80", header);
	cr_assert_eq(sockets_send(client, header, length), 0);
	cr_assert(sockets_say(client, "request"));
	int server = sockets_accept(listener);
	cr_expect(sockets_hear(server, "PROXY TCP6 2001:db8::1 2001:db8::2 1000 80\r\nrequest"));
	close_both(client, server);
	finish();
}

// What a health check sends: it speaks for itself.
Test(proxy_client_header, a_header_without_addresses_leaves_those_of_the_connection)
{
	char header[TEXT_MAX];
	init(true, SEND_PROXY_V1);
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	describe(client, header);
	cr_assert(sockets_say(client, "PROXY UNKNOWN\r\nrequest"));
	int server = sockets_accept(listener);
	cr_expect(sockets_hear(server, header));
	cr_expect(sockets_hear(server, "request"));
	close_both(client, server);
	finish();
}

Test(proxy_client_header, bytes_one_at_a_time_make_a_header)
{
	uint8_t v2[PROXY_HEADER_V2_MAX];
	size_t length = write_v2("192.0.2.1:1000", "198.51.100.1:80", v2);
	init(true, SEND_PROXY_V1);
	proxy_bench_start(&bench);
	for (int i = 0; i < 2; i++) {
		const uint8_t *header = i ? v2 : (const uint8_t *)V1;
		size_t n = i ? length : strlen(V1);
		int client = sockets_connect(FRONTEND);
		for (size_t k = 0; k < n; k++)
			cr_assert_eq(sockets_send(client, &header[k], 1), 0);
		int server = sockets_accept(listener);
		cr_expect(sockets_hear(server, V1));
		cr_assert(sockets_say(client, "request"));
		cr_expect(sockets_hear(server, "request"));
		close(client);
		cr_expect_eq(sockets_await_end(server, NULL), 0);
		close(server);
	}
	finish();
}

// Header, request and end in one packet.
Test(proxy_client_header, a_client_that_has_said_all_with_its_header_is_served)
{
	init(true, SEND_PROXY_NONE);
	proxy_bench_start(&bench);
	proxy_bench_freeze(&bench);
	int client = sockets_connect(FRONTEND);
	cr_assert(sockets_say(client, V1 "request"));
	shutdown(client, SHUT_WR);
	proxy_bench_thaw(&bench);
	int server = sockets_accept(listener);
	cr_expect(sockets_hear(server, "request"));
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	cr_assert(sockets_say(server, "answer"));
	cr_expect(sockets_hear(client, "answer"));
	close(server);
	close(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 1));
	cr_expect_eq(proxy_bench_total(&bench).bytes_tx, strlen("request"));
	finish();
}

// Broken off behind the header: the backend must not take that for an end.
Test(proxy_client_header, a_reset_behind_the_header_is_no_end)
{
	init(true, SEND_PROXY_NONE);
	proxy_bench_start(&bench);
	proxy_bench_freeze(&bench);
	int client = sockets_connect(FRONTEND);
	cr_assert(sockets_say(client, V1));
	sockets_close_by_reset(client);
	proxy_bench_thaw(&bench);
	cr_expect(proxy_bench_await_sessions(&bench, 0));
	if (sockets_has_caller(listener)) {
		int server = sockets_accept(listener);
		cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
		close(server);
	}
	cr_expect_eq(proxy_bench_n_ends(&bench, SESSION_END_COMPLETED), 0);
	finish();
}

Test(proxy_client_header, what_is_no_header_ends_the_connection)
{
	static const char *const wrong[] = {"GET / HTTP/1.1\r\n\r\n", "PROXY TCP5 1\r\n",
					    "\r\n\r\n\0"};
	init(true, SEND_PROXY_NONE);
	proxy_bench_start(&bench);
	for (unsigned i = 0; i < 3; i++) {
		int client = sockets_connect(FRONTEND);
		cr_assert(sockets_say(client, wrong[i]));
		if (i < 2)
			cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET, "%s", wrong[i]);
		close(client);
	}
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_HEADER_INVALID, 2));
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_HEADER_ABORTED, 1));
	cr_expect_not(sockets_has_caller(listener));
	finish();
}

Test(proxy_client_header, silence_ends_the_connection_after_header_timeout)
{
	init(true, SEND_PROXY_NONE);
	bench.config.proxy.header_timeout_ms = 100;
	proxy_bench_start(&bench);
	int silent = sockets_connect(FRONTEND);
	int slow = sockets_connect(FRONTEND);
	cr_assert(sockets_say(slow, "PROXY TCP4"));
	cr_expect_eq(sockets_await_end(silent, NULL), ECONNRESET);
	cr_expect_eq(sockets_await_end(slow, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_HEADER_TIMEOUT, 2));
	close(silent);
	close(slow);
	finish();
}

Test(proxy_client_header, a_client_that_leaves_in_the_middle_of_it_has_aborted)
{
	init(true, SEND_PROXY_NONE);
	proxy_bench_start(&bench);
	int silent = sockets_connect(FRONTEND);
	int partial = sockets_connect(FRONTEND);
	int broken = sockets_connect(FRONTEND);
	cr_assert(sockets_say(partial, "PROXY TCP4"));
	cr_assert(sockets_say(broken, "PROXY TCP4"));
	close(silent);
	close(partial);
	sockets_close_by_reset(broken);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_HEADER_ABORTED, 3));
	finish();
}

Test(proxy_client_header, bytes_of_other_clients_go_through_untouched)
{
	init(true, SEND_PROXY_NONE);
	proxy_bench_start(&bench);
	int client = sockets_connect_from("127.0.0.2:4321", FRONTEND);
	cr_assert(sockets_say(client, V1 "request"));
	int server = sockets_accept(listener);
	cr_expect(sockets_hear(server, V1 "request"));
	close_both(client, server);
	finish();
}
