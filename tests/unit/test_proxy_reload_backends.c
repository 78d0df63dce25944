// SPDX-License-Identifier: Apache-2.0
// Another configuration while sessions run: backends that come, go, come back and fail meanwhile,
// and settings that change.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "../support/lib/sockets.h"
#include "culvert/balance/grace.h"
#include "lib/reload_lab.h"
#include "proxy/loop.h"
#include "proxy/thread.h"

TestSuite(proxy_reload_backends, .timeout = 120);

static struct reload_lab lab;

// ---- backends ----------------------------------------------------------------------------------

Test(proxy_reload_backends, a_backend_that_is_removed_gets_nothing_new_and_keeps_what_it_has)
{
	enum { MORE = 10 };
	int server;
	reload_lab_start_with_two(&lab, 1);
	int client = reload_lab_open_at_first(&lab, &server);
	reload_lab_take(&lab, reload_lab_without_first(&lab, 0));
	for (int i = 0; i < MORE; i++)
		reload_lab_visit(AT_FRONTEND, lab.second);
	reload_lab_expect_alive(client, server);
	cr_expect_eq(proxy_backend_users(lab.bench.proxy, 0), 1);
	proxy_bench_end_drains(&lab.bench);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&lab.bench, SESSION_END_DRAIN_TIMEOUT, 1));
	cr_expect_eq(sockets_await_end(server, NULL), ECONNRESET);
	cr_expect(reload_lab_await_users(&lab, proxy_backend_users, 0, 0));
	close(client);
	close(server);
	reload_lab_fini(&lab);
}

// Its time is over all the same, though it was never told that the backend is down.
Test(proxy_reload_backends, a_backend_that_was_down_when_its_time_was_over_is_left_too)
{
	int server;
	reload_lab_init(&lab);
	lab.bench.pools[0].on_backend_down = ON_DOWN_KEEP;
	reload_lab_add_second(&lab);
	proxy_bench_start(&lab.bench);
	int client = reload_lab_open_at_first(&lab, &server);
	proxy_bench_set_up(&lab.bench, 0, false);
	reload_lab_take(&lab, reload_lab_without_first(&lab, 0));
	proxy_bench_set_up(&lab.bench, 0, false);
	reload_lab_expect_alive(client, server);
	proxy_bench_end_drains(&lab.bench);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&lab.bench, SESSION_END_DRAIN_TIMEOUT, 1));
	close(client);
	close(server);
	reload_lab_fini(&lab);
}

Test(proxy_reload_backends, a_slot_that_another_backend_gets_counts_from_0)
{
	int server;
	struct traffic counted;
	reload_lab_start_with_two(&lab, 1);
	int client = reload_lab_open_at_first(&lab, &server);
	reload_lab_take(&lab, reload_lab_without_first(&lab, 0));
	reload_lab_close(client, server);
	cr_assert(reload_lab_await_users(&lab, proxy_backend_users, 0, 0));
	proxy_forget_backend(lab.bench.proxy, 0, &counted);
	cr_expect_eq(counted.total_connections, 1);
	proxy_forget_backend(lab.bench.proxy, 0, &counted);
	cr_expect_eq(counted.total_connections, 0, "it has been told");
	registry_give_back_backend(lab.bench.registry, 0);
	lab.bench.has_forgotten = true;
	struct config *config = reload_lab_variant(&lab, 1);
	lab.variants[1].backends[0].endpoint.port_be = htons(7003);
	int third = sockets_listen("127.0.0.1:7003", 8);
	reload_lab_take(&lab, config);
	cr_expect_eq(proxy_bench_n_connects(&lab.bench, 0, CONNECT_CONNECTED), 0);
	proxy_bench_set_up(&lab.bench, 1, false);
	client = reload_lab_open(AT_FRONTEND, third, &server);
	cr_expect(proxy_bench_await_connects(&lab.bench, 0, CONNECT_CONNECTED, 1));
	reload_lab_close(client, server);
	close(third);
	reload_lab_fini(&lab);
}

Test(proxy_reload_backends, draining_keeps_sessions_and_maintenance_resets_them)
{
	int server;
	reload_lab_start_with_two(&lab, 1);
	int client = reload_lab_open_at_first(&lab, &server);
	cr_assert_eq(registry_set_admin(lab.bench.registry, 0, ADMIN_DRAIN), 0);
	proxy_bench_publish(&lab.bench);
	for (int i = 0; i < 4; i++)
		reload_lab_visit(AT_FRONTEND, lab.second);
	reload_lab_expect_alive(client, server);
	cr_assert_eq(registry_set_admin(lab.bench.registry, 0, ADMIN_MAINT), 0);
	proxy_bench_publish(&lab.bench);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&lab.bench, SESSION_END_BACKEND_DOWN, 1));
	close(client);
	close(server);
	cr_assert_eq(registry_set_admin(lab.bench.registry, 0, ADMIN_READY), 0);
	cr_assert_eq(registry_set_weight(lab.bench.registry, 1, 0), 0);
	proxy_bench_publish(&lab.bench);
	reload_lab_visit(AT_FRONTEND, lab.listener);
	reload_lab_fini(&lab);
}

// Its queue is full: the connect is under way for as long as that is so.
Test(proxy_reload_backends, a_connect_to_a_backend_in_maintenance_is_tried_elsewhere)
{
	reload_lab_init(&lab);
	close(lab.listener);
	lab.listener = sockets_listen(AT_BACKEND, 0);
	reload_lab_add_second(&lab);
	proxy_bench_start(&lab.bench);
	int filler = sockets_connect(AT_BACKEND);
	proxy_bench_set_up(&lab.bench, 1, false);
	int client = sockets_connect(AT_FRONTEND);
	cr_assert(reload_lab_await_users(&lab, proxy_backend_users, 0, 1));
	proxy_bench_set_up(&lab.bench, 1, true);
	cr_assert_eq(registry_set_admin(lab.bench.registry, 0, ADMIN_MAINT), 0);
	proxy_bench_publish(&lab.bench);
	int server = sockets_accept(lab.second);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	reload_lab_expect_alive(client, server);
	cr_expect_eq(proxy_bench_n_connects(&lab.bench, 0, CONNECT_ABANDONED), 1);
	reload_lab_close(client, server);
	close(filler);
	reload_lab_fini(&lab);
}

// ---- backends that fail meanwhile --------------------------------------------------------------

Test(proxy_reload_backends, a_lower_fall_counts_the_failures_of_before)
{
	enum { N_BEFORE = 3 };
	reload_lab_init(&lab);
	close(lab.listener); // whoever connects is refused
	lab.listener = -1;
	lab.bench.pools[0].fall = N_BEFORE + 2;
	proxy_bench_start(&lab.bench);
	for (int i = 0; i < N_BEFORE; i++)
		cr_expect_eq(sockets_visit(AT_FRONTEND), ECONNRESET);
	struct config *config = reload_lab_variant(&lab, 0);
	lab.variants[0].pool.fall = N_BEFORE - 1;
	reload_lab_take(&lab, config);
	struct pollfd bell = {.fd = proxy_alarm_fd(lab.bench.proxy), .events = POLLIN};
	cr_expect_eq(poll(&bell, 1, 0), 0);
	cr_expect_eq(sockets_visit(AT_FRONTEND), ECONNRESET);
	cr_expect_eq(poll(&bell, 1, 0), 1);
	cr_expect_eq(proxy_take_suspect(lab.bench.proxy), 0);
	reload_lab_fini(&lab);
}

static bool has_event(const struct proxy_thread *thread, int patience_ms)
{
	struct pollfd events = {.fd = thread->epoll_fd, .events = POLLIN};
	return poll(&events, 1, patience_ms) == 1;
}

// The test is the thread: both come in the same round, the answer and the word of the operator.
Test(proxy_reload_backends,
     an_answer_that_comes_with_a_withdrawal_is_not_taken_for_that_of_the_next_backend)
{
	enum { PATIENCE_MS = 60000 };
	reload_lab_init(&lab);
	close(lab.listener);
	lab.listener = sockets_listen(AT_BACKEND, 0);
	reload_lab_add_second(&lab);
	close(lab.second);
	lab.second = sockets_listen(AT_SECOND, 0);
	int fillers[] = {sockets_connect(AT_BACKEND), sockets_connect(AT_SECOND)};
	cr_assert_eq(proxy_bench_create(&lab.bench), 0, "%s", lab.bench.err.message);
	proxy_bench_set_up(&lab.bench, 1, false);
	struct proxy_thread *thread = &lab.bench.proxy->threads[0];
	grace_join();
	loop_round(thread);
	int client = sockets_connect(AT_FRONTEND);
	for (int i = 0; i < 2; i++) // neither backend answers
		loop_round(thread);
	cr_assert_eq(proxy_bench_n_at(&lab.bench, 0), 1);
	close(fillers[0]);
	close(lab.listener);
	lab.listener = -1;
	cr_assert(has_event(thread, PATIENCE_MS)); // the SYN has come again, and is refused
	registry_set_admin(lab.bench.registry, 0, ADMIN_MAINT);
	proxy_bench_set_up(&lab.bench, 1, true);
	loop_round(thread);
	cr_expect_eq(proxy_bench_n_at(&lab.bench, 1), 1);
	cr_expect_eq(proxy_bench_n_connects(&lab.bench, 1, CONNECT_CONNECTED), 0);
	sockets_close_by_reset(client);
	while (proxy_n_sessions(lab.bench.proxy))
		loop_round(thread);
	grace_leave();
	close(fillers[1]);
	reload_lab_fini(&lab);
}

// ---- settings ----------------------------------------------------------------------------------

Test(proxy_reload_backends, a_limit_that_is_raised_lets_in_who_waits)
{
	int servers[2];
	int clients[2];
	reload_lab_init(&lab);
	lab.bench.frontends[0].max_connections = 1;
	proxy_bench_start(&lab.bench);
	clients[0] = reload_lab_open(AT_FRONTEND, lab.listener, &servers[0]);
	clients[1] = sockets_connect(AT_FRONTEND);
	struct config *config = reload_lab_variant(&lab, 0);
	lab.variants[0].frontends[0].max_connections = 2;
	reload_lab_take(&lab, config);
	servers[1] = sockets_accept(lab.listener);
	cr_assert_geq(servers[1], 0, "%s", strerror(-servers[1]));
	for (int i = 0; i < 2; i++)
		reload_lab_close(clients[i], servers[i]);
	reload_lab_fini(&lab);
}

Test(proxy_reload_backends, more_connections_than_descriptors_allow_are_refused_with_the_rest)
{
	reload_lab_init(&lab);
	proxy_bench_start(&lab.bench);
	struct config *config = reload_lab_variant(&lab, 0);
	config->proxy.max_connections = proxy_max_sessions(lab.bench.proxy) + 1000;
	cr_expect_eq(proxy_bench_take(&lab.bench, config), -EMFILE);
	cr_expect_not_null(strstr(lab.bench.err.message, "max_connections"), "%s",
			   lab.bench.err.message);
	config->proxy.max_connections = 20;
	reload_lab_take(&lab, config);
	cr_expect_eq(proxy_max_sessions(lab.bench.proxy), 20);
	reload_lab_fini(&lab);
}

Test(proxy_reload_backends, a_shorter_timeout_counts_for_the_sessions_that_there_are)
{
	int server;
	reload_lab_init(&lab);
	proxy_bench_start(&lab.bench);
	int client = reload_lab_open(AT_FRONTEND, lab.listener, &server);
	struct config *config = reload_lab_variant(&lab, 0);
	config->proxy.idle_timeout_ms = 200;
	reload_lab_take(&lab, config);
	cr_expect_eq(sockets_await_end(client, NULL), ECONNRESET);
	cr_expect(proxy_bench_await_ends(&lab.bench, SESSION_END_IDLE, 1));
	close(client);
	close(server);
	reload_lab_fini(&lab);
}

// Each pool decides for itself, whatever stands in the file before it.
Test(proxy_reload_backends, the_header_for_backends_is_that_of_the_frontends_pool)
{
	reload_lab_init(&lab);
	proxy_bench_add_pool(&lab.bench)->send_proxy = SEND_PROXY_V1;
	lab.second = proxy_bench_serve(&lab.bench, AT_SECOND);
	proxy_bench_add_frontend(&lab.bench, AT_OTHER);
	proxy_bench_start(&lab.bench);
	int client = sockets_connect(AT_OTHER);
	int server = sockets_accept(lab.second);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	cr_expect(sockets_hear(server, "PROXY TCP4 127.0.0.1 127.0.0.1 "));
	close(client);
	close(server);
	reload_lab_visit(AT_FRONTEND, lab.listener);
	reload_lab_fini(&lab);
}
