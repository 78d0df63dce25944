// SPDX-License-Identifier: Apache-2.0
// Sessions of proxy mode from end to end: bytes, ends, and the counters of both.
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"

#define FRONTEND "127.0.0.1:8000"
#define BACKEND  "127.0.0.1:7001"

TestSuite(proxy_relay, .timeout = 120);

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

static void open_session(void)
{
	client = sockets_connect(FRONTEND);
	cr_assert_geq(client, 0, "%s", strerror(-client));
	server = sockets_accept(listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
}

static void start(void)
{
	init();
	proxy_bench_start(&bench);
	open_session();
}

static void finish(void)
{
	close(listener);
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

Test(proxy_relay, question_and_answer_and_both_ends)
{
	start();
	cr_assert(sockets_say(client, "question"));
	cr_assert(sockets_hear(server, "question"));
	cr_assert(sockets_say(server, "the answer"));
	cr_assert(sockets_hear(client, "the answer"));
	shutdown(client, SHUT_WR);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	close(server);
	cr_expect_eq(sockets_await_end(client, NULL), 0);
	close(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 1));

	struct traffic total = proxy_bench_total(&bench);
	cr_expect_eq(total.bytes_tx, strlen("question"));
	cr_expect_eq(total.bytes_rx, strlen("the answer"));
	cr_expect_eq(total.total_connections, 1);
	cr_expect_eq(total.current_connections, 0);
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_CONNECTED), 1);
	finish();
}

Test(proxy_relay, a_server_may_speak_first)
{
	start();
	cr_assert(sockets_say(server, "220 ready"));
	cr_assert(sockets_hear(client, "220 ready"));
	close(client);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	close(server);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 1));
	finish();
}

// All that a client has to say may be there before anybody has been asked to serve it.
Test(proxy_relay, a_client_that_has_said_its_end_is_still_served)
{
	init();
	cr_assert_eq(proxy_bench_create(&bench), 0, "%s", bench.err.message);
	client = sockets_connect(FRONTEND);
	cr_assert(sockets_say(client, "all at once"));
	shutdown(client, SHUT_WR);
	proxy_bench_start(&bench);
	server = sockets_accept(listener);
	cr_assert(sockets_hear(server, "all at once"));
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	cr_assert(sockets_say(server, "late"));
	close(server);
	cr_assert(sockets_hear(client, "late"));
	cr_expect_eq(sockets_await_end(client, NULL), 0);
	close(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 1));
	finish();
}

Test(proxy_relay, the_end_of_a_server_leaves_the_way_there_open)
{
	start();
	cr_assert(sockets_say(server, "that is all"));
	shutdown(server, SHUT_WR);
	cr_assert(sockets_hear(client, "that is all"));
	cr_expect_eq(sockets_await_end(client, NULL), 0);
	cr_assert(sockets_say(client, "not for me"));
	cr_assert(sockets_hear(server, "not for me"));
	close(client);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	close(server);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, 1));
	finish();
}

Test(proxy_relay, large_transfers_are_exact)
{
	enum { BULK = 20 * 1000 * 1000 + 7 };
	for (int splice = 0; splice < 2; splice++) {
		init();
		bench.config.proxy.splice = splice;
		proxy_bench_start(&bench);
		open_session();
		cr_expect(sockets_pass(client, server, BULK), "splice %d", splice);
		cr_expect(sockets_pass(server, client, BULK), "splice %d", splice);
		close(client);
		close(server);
		cr_expect(proxy_bench_await_sessions(&bench, 0));
		struct traffic total = proxy_bench_total(&bench);
		cr_expect_eq(total.bytes_tx, BULK);
		cr_expect_eq(total.bytes_rx, BULK);
		finish();
	}
}

Test(proxy_relay, a_backends_reset_reaches_the_client_after_the_bytes)
{
	start();
	cr_assert(sockets_say(client, "go"));
	cr_assert(sockets_hear(server, "go"));
	cr_assert(sockets_say(server, "half of it"));
	cr_assert(sockets_hear(client, "half of it"));
	sockets_close_by_reset(server);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	close(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_BACKEND_RESET, 1));
	finish();
}

Test(proxy_relay, a_clients_reset_reaches_the_backend_after_the_bytes)
{
	uint64_t n_bytes;
	start();
	cr_assert(proxy_bench_await_connects(&bench, 0, CONNECT_CONNECTED, 1));
	cr_assert(sockets_say(client, "half of it"));
	sockets_close_by_reset(client);
	cr_expect_eq(sockets_await_end(server, &n_bytes), ECONNRESET);
	cr_expect_eq(n_bytes, strlen("half of it"));
	close(server);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_CLIENT_RESET, 1));
	finish();
}

// The server answers before it has read all, and closes: by reset, for there is more to read.
Test(proxy_relay, an_early_answer_reaches_the_client)
{
	uint64_t n_bytes;
	uint8_t request[100000];
	start();
	sockets_fill(request, sizeof(request), 0);
	cr_assert_eq(sockets_send(client, request, sizeof(request)), 0);
	cr_assert_eq(sockets_recv(server, request, 10), 10);
	cr_assert(sockets_say(server, "413 too large"));
	close(server);
	cr_expect_eq(sockets_await_end(client, &n_bytes), ECONNRESET);
	cr_expect_eq(n_bytes, strlen("413 too large"));
	close(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_BACKEND_RESET, 1));
	finish();
}

// The same while the client goes on sending, until nothing more is taken from it.
Test(proxy_relay, an_early_answer_is_not_lost_behind_a_large_request)
{
	uint64_t n_bytes;
	uint8_t piece[4096];
	start();
	sockets_fill(piece, sizeof(piece), 0);
	while (send(client, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	cr_assert(sockets_say(server, "413 too large"));
	close(server);
	cr_expect_eq(sockets_await_end(client, &n_bytes), ECONNRESET);
	cr_expect_eq(n_bytes, strlen("413 too large"));
	close(client);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_BACKEND_RESET, 1));
	finish();
}

// Urgent data is part of the stream (RFC 6093 section 2), and ends a read before its time.
Test(proxy_relay, urgent_data_keeps_its_place_and_holds_up_nothing)
{
	init();
	cr_assert_eq(proxy_bench_create(&bench), 0, "%s", bench.err.message);
	client = sockets_connect(FRONTEND);
	cr_assert(sockets_say(client, "ab"));
	cr_assert_eq(send(client, "c", 1, MSG_OOB), 1);
	cr_assert(sockets_say(client, "def"));
	proxy_bench_start(&bench);
	server = sockets_accept(listener);
	cr_assert(sockets_hear(server, "abcdef"));
	cr_assert(sockets_say(server, "uv"));
	cr_assert_eq(send(server, "w", 1, MSG_OOB), 1);
	cr_assert(sockets_say(server, "xyz"));
	cr_assert(sockets_hear(client, "uvwxyz"));
	close(client);
	close(server);
	finish();
}

Test(proxy_relay, urgent_data_does_not_hold_up_a_spliced_stream)
{
	enum { BULK = 16 * 1000 * 1000 };
	start();
	cr_assert(sockets_pass(server, client, BULK));
	cr_assert(sockets_say(server, "uv"));
	cr_assert_eq(send(server, "w", 1, MSG_OOB), 1);
	cr_assert(sockets_say(server, "xyz"));
	cr_assert(sockets_hear(client, "uvwxyz"));
	cr_assert(sockets_pass(server, client, BULK));
	close(client);
	close(server);
	finish();
}
