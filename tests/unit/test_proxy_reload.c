// SPDX-License-Identifier: Apache-2.0
// Another configuration while sessions run: frontends that come, go, move and come back, alone and
// under load.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../support/lib/sockets.h"
#include "lib/reload_lab.h"

TestSuite(proxy_reload, .timeout = 120);

static struct reload_lab lab;

// ---- frontends ---------------------------------------------------------------------------------

Test(proxy_reload, a_frontend_that_is_added_is_served_and_the_others_go_on)
{
	int servers[2];
	int clients[2];
	reload_lab_init(&lab);
	lab.bench.config.proxy.threads = 2;
	proxy_bench_start(&lab.bench);
	clients[0] = reload_lab_open(AT_FRONTEND, lab.listener, &servers[0]);
	struct config *config = reload_lab_variant(&lab, 0);
	lab.variants[0].frontends[1] = lab.variants[0].frontends[0];
	lab.variants[0].frontends[1].endpoint.port_be = htons(8001);
	config->n_frontends = 2;
	cr_expect_eq(sockets_connect(AT_OTHER), -ECONNREFUSED);
	reload_lab_take(&lab, config);
	clients[1] = reload_lab_open(AT_OTHER, lab.listener, &servers[1]);
	reload_lab_expect_alive(clients[0], servers[0]);
	cr_expect_eq(sockets_n_listening(8001), 2);
	for (int i = 0; i < 2; i++)
		reload_lab_close(clients[i], servers[i]);
	reload_lab_fini(&lab);
}

Test(proxy_reload, a_frontend_that_moves_takes_its_sessions_to_their_end)
{
	int servers[2];
	int clients[2];
	reload_lab_init(&lab);
	proxy_bench_start(&lab.bench);
	clients[0] = reload_lab_open(AT_FRONTEND, lab.listener, &servers[0]);
	struct config *config = reload_lab_variant(&lab, 0);
	lab.variants[0].frontends[0].endpoint.port_be = htons(8001);
	reload_lab_take(&lab, config);
	clients[1] = reload_lab_open(AT_OTHER, lab.listener, &servers[1]);
	cr_expect(reload_lab_await_users(&lab, proxy_frontend_users, 0, 1), "its listener is open");
	cr_expect_eq(sockets_connect(AT_FRONTEND), -ECONNREFUSED);
	reload_lab_expect_alive(clients[0], servers[0]);
	for (int i = 0; i < 2; i++)
		reload_lab_close(clients[i], servers[i]);
	cr_expect(reload_lab_await_users(&lab, proxy_frontend_users, 0, 0));
	reload_lab_fini(&lab);
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
	reload_lab_init(&lab);
	proxy_bench_add_backend(&lab.bench, AT_BACKEND);
	proxy_bench_start(&lab.bench);
	struct config *config = reload_lab_variant(&lab, 0);
	lab.variants[0].frontends[0].endpoint.port_be = htons(8001);
	proxy_bench_freeze(&lab.bench);
	int client = sockets_connect(AT_FRONTEND);
	cr_assert_geq(client, 0);
	cr_assert(sockets_say(client, "hello"));
	await_acknowledged(client);
	reload_lab_take(&lab, config);
	proxy_bench_thaw(&lab.bench);
	int server = sockets_accept(lab.listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	cr_expect(sockets_hear(server, "hello"));
	reload_lab_expect_alive(client, server);
	reload_lab_close(client, server);
	reload_lab_fini(&lab);
}

Test(proxy_reload, a_frontend_whose_time_is_over_resets_what_is_left)
{
	int server;
	reload_lab_init(&lab);
	proxy_bench_start(&lab.bench);
	int client = reload_lab_open(AT_FRONTEND, lab.listener, &server);
	struct config *config = reload_lab_variant(&lab, 0);
	config->n_frontends = 0;
	reload_lab_take(&lab, config);
	reload_lab_expect_alive(client, server);
	proxy_bench_end_drains(&lab.bench);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&lab.bench, SESSION_END_DRAIN_TIMEOUT, 1));
	close(client);
	close(server);
	reload_lab_fini(&lab);
}

Test(proxy_reload, an_address_that_is_taken_changes_nothing)
{
	int server;
	reload_lab_init(&lab);
	proxy_bench_start(&lab.bench);
	int taken = sockets_listen(AT_OTHER, 1);
	struct config *config = reload_lab_variant(&lab, 0);
	lab.variants[0].frontends[0].endpoint.port_be = htons(8002);
	lab.variants[0].frontends[1] = lab.variants[0].frontends[0];
	lab.variants[0].frontends[1].endpoint.port_be = htons(8001);
	config->n_frontends = 2;
	cr_expect_eq(proxy_bench_take(&lab.bench, config), -EADDRINUSE);
	cr_expect_not_null(strstr(lab.bench.err.message, AT_OTHER " is in use by another program"),
			   "%s", lab.bench.err.message);
	cr_expect_eq(sockets_n_listening(8002), 0);
	int client = reload_lab_open(AT_FRONTEND, lab.listener, &server);
	reload_lab_close(client, server);
	close(taken);
	reload_lab_fini(&lab);
}

// Listening begins before it is known whether all can be had.
Test(proxy_reload, what_is_not_taken_over_in_the_end_is_not_listened_on)
{
	int server;
	reload_lab_init(&lab);
	lab.bench.config.proxy.threads = 2;
	proxy_bench_start(&lab.bench);
	struct config *config = reload_lab_variant(&lab, 0);
	lab.variants[0].frontends[1] = lab.variants[0].frontends[0];
	lab.variants[0].frontends[1].endpoint.port_be = htons(8001);
	config->n_frontends = 2;
	for (int is_committed = 0; is_committed < 2; is_committed++) {
		cr_assert_eq(proxy_prepare(lab.bench.proxy, config, &lab.bench.err), 0, "%s",
			     lab.bench.err.message);
		cr_expect_eq(sockets_n_listening(8001), 2);
		if (is_committed)
			proxy_commit(lab.bench.proxy); // and the next snapshot is without it
		else
			proxy_abandon(lab.bench.proxy);
		proxy_bench_publish(&lab.bench);
		cr_expect_eq(sockets_n_listening(8001), 0);
		cr_expect_eq(sockets_n_listening(8000), 2);
	}
	int client = reload_lab_open(AT_FRONTEND, lab.listener, &server);
	reload_lab_close(client, server);
	reload_lab_fini(&lab);
}

// Of the kernel's view, the wildcard has the port already: it is ours.
Test(proxy_reload, a_frontend_moves_between_the_wildcard_and_an_address)
{
	int server;
	reload_lab_init(&lab);
	lab.bench.config.proxy.threads = 2;
	proxy_bench_start(&lab.bench);
	struct config *wide = reload_lab_variant(&lab, 0);
	memset(&lab.variants[0].frontends[0].endpoint.addr, 0, 16);
	cr_assert(endpoint_parse("0.0.0.0:8000", &lab.variants[0].frontends[0].endpoint));
	lab.variants[0].frontends[0].endpoint.proto = IPPROTO_TCP;
	reload_lab_take(&lab, wide);
	int client = reload_lab_open("127.0.0.2:8000", lab.listener, &server);
	reload_lab_close(client, server);
	reload_lab_take(&lab, reload_lab_variant(&lab, 1));
	cr_expect(reload_lab_await_users(&lab, proxy_frontend_users, 1, 0));
	client = reload_lab_open(AT_FRONTEND, lab.listener, &server);
	reload_lab_close(client, server);
	cr_expect_eq(sockets_connect("127.0.0.2:8000"), -ECONNREFUSED);
	reload_lab_fini(&lab);
}

Test(proxy_reload, a_wildcard_that_leaves_ipv4_to_another_takes_it_only_after_a_restart)
{
	if (!proxy_bench_init(&lab.bench))
		cr_skip_test("needs root for a network namespace");
	lab.second = -1;
	proxy_bench_add_frontend(&lab.bench, "[::]:8000");
	proxy_bench_add_frontend(&lab.bench, "0.0.0.0:8000");
	lab.listener = proxy_bench_serve(&lab.bench, AT_BACKEND);
	proxy_bench_start(&lab.bench);
	struct config *config = reload_lab_variant(&lab, 0);
	config->n_frontends = 1;
	cr_expect_eq(proxy_bench_take(&lab.bench, config), -EBUSY);
	cr_expect_not_null(strstr(lab.bench.err.message, "restart"), "%s", lab.bench.err.message);
	reload_lab_fini(&lab);
}

Test(proxy_reload, a_frontend_that_comes_back_at_once_is_listened_on_again)
{
	enum { ROUNDS = 40 };
	int server;
	reload_lab_init(&lab);
	lab.bench.config.proxy.threads = 3;
	proxy_bench_start(&lab.bench);
	struct config *without = reload_lab_variant(&lab, 0);
	without->n_frontends = 0;
	struct config *with = reload_lab_variant(&lab, 1);
	for (int i = 0; i < ROUNDS; i++) {
		reload_lab_take(&lab, without);
		reload_lab_take(&lab, with);
		int client = reload_lab_open(AT_FRONTEND, lab.listener, &server);
		reload_lab_close(client, server);
		cr_assert_eq(sockets_n_listening(8000), 3);
	}
	reload_lab_fini(&lab);
}

Test(proxy_reload, a_slot_that_another_frontend_gets_counts_from_0)
{
	int server;
	reload_lab_init(&lab);
	proxy_bench_start(&lab.bench);
	reload_lab_visit(AT_FRONTEND, lab.listener);
	cr_expect(proxy_bench_await_ends(&lab.bench, SESSION_END_COMPLETED, 1));
	struct config *none = reload_lab_variant(&lab, 0);
	none->n_frontends = 0;
	reload_lab_take(&lab, none);
	cr_assert(reload_lab_await_users(&lab, proxy_frontend_users, 0, 0));
	proxy_forget_frontend(lab.bench.proxy, 0);
	registry_give_back_frontend(lab.bench.registry, 0);
	lab.bench.has_forgotten = true;
	struct config *moved = reload_lab_variant(&lab, 1);
	lab.variants[1].frontends[0].endpoint.port_be = htons(8001);
	reload_lab_take(&lab, moved);
	int client = reload_lab_open(AT_OTHER, lab.listener, &server);
	struct proxy_stats stats;
	cr_assert_eq(proxy_stats(lab.bench.proxy, &stats), 0);
	cr_expect_eq(stats.frontends[0].traffic.total_connections, 1);
	cr_expect_eq(stats.frontends[0].ends[SESSION_END_COMPLETED], 0);
	cr_expect_eq(stats.accepted, 2);
	proxy_stats_fini(&stats);
	reload_lab_close(client, server);
	reload_lab_fini(&lab);
}

Test(proxy_reload, clients_of_a_held_frontend_wait)
{
	reload_lab_init(&lab);
	proxy_bench_start(&lab.bench);
	proxy_bench_set_up(&lab.bench, 0, false);
	proxy_hold_frontend(lab.bench.proxy, 0, true);
	int client = sockets_connect(AT_FRONTEND);
	cr_assert_geq(client, 0);
	cr_assert(sockets_say(client, "hello"));
	cr_expect_eq(proxy_bench_total(&lab.bench).total_connections, 0);
	proxy_bench_set_up(&lab.bench, 0, true);
	proxy_hold_frontend(lab.bench.proxy, 0, false);
	int server = sockets_accept(lab.listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	cr_expect(sockets_hear(server, "hello"));
	reload_lab_expect_alive(client, server);
	cr_expect_eq(proxy_bench_n_ends(&lab.bench, SESSION_END_NO_BACKEND), 0);
	close(server);
	close(client);
	reload_lab_fini(&lab);
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
	close(sockets_connect(AT_BACKEND));
	close(sockets_connect(AT_SECOND));
}

// Another frontend and one of two backends come and go; whoever visits the one that stays does not
// notice.
Test(proxy_reload, clients_of_what_stays_notice_nothing)
{
	enum { VISITORS = 4, ROUNDS = 60 };
	struct visitor visitors[VISITORS];
	pthread_t servers[2];
	reload_lab_start_with_two(&lab, 3);
	struct config *less = reload_lab_without_first(&lab, 0);
	struct config *more = reload_lab_variant(&lab, 1);
	lab.variants[1].frontends[1] = lab.variants[1].frontends[0];
	lab.variants[1].frontends[1].endpoint.port_be = htons(8001);
	more->n_frontends = 2;
	pthread_create(&servers[0], NULL, serve, &lab.listener);
	pthread_create(&servers[1], NULL, serve, &lab.second);
	for (int i = 0; i < VISITORS; i++) {
		visitors[i] = (struct visitor){.frontend = AT_FRONTEND};
		pthread_create(&visitors[i].pthread, NULL, visit, &visitors[i]);
	}
	for (int i = 0; i < ROUNDS; i++) {
		reload_lab_take(&lab, i % 2 ? less : more);
		if (i % 2 == 0)
			close(sockets_connect(AT_OTHER));
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
	reload_lab_fini(&lab);
}
