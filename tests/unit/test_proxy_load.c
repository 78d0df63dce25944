// SPDX-License-Identifier: Apache-2.0
// Several threads, many clients, backends that come and go, all at once: every sum must be right in
// the end. With ThreadSanitizer this is where a race would show.
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"

#define FRONTEND "127.0.0.1:8000"
#define REFUSES  "127.0.0.1:7000" // nobody listens

enum { THREADS = 3, SERVERS = 2, CLIENTS = 4, SESSIONS = 150, MESSAGE = 5000 };

static const char *const backends[SERVERS] = {"127.0.0.1:7001", "127.0.0.1:7002"};

TestSuite(proxy_load, .timeout = 120);

struct client {
	pthread_t thread;
	unsigned seed;
	unsigned n_served;
	unsigned n_broken_off; // by the client itself
	unsigned n_reset;      // by the proxy
	unsigned n_spoilt;
};

static struct proxy_bench bench;
static atomic_bool is_over;

// Everything comes back. Sessions one after another.
static void *serve(void *arg)
{
	int listener = *(const int *)arg;
	uint8_t bytes[MESSAGE];
	int fd;
	while (!atomic_load(&is_over) && (fd = sockets_accept(listener)) >= 0) {
		size_t n = sockets_recv(fd, bytes, sizeof(bytes));
		(void)sockets_send(fd, bytes, n);
		close(fd);
	}
	return NULL;
}

static void converse(struct client *client, int fd)
{
	uint8_t bytes[MESSAGE];
	sockets_fill(bytes, sizeof(bytes), 0);
	if (sockets_send(fd, bytes, sizeof(bytes)) ||
	    sockets_recv(fd, bytes, sizeof(bytes)) != sizeof(bytes))
		client->n_reset++;
	else if (!sockets_is_filled(bytes, sizeof(bytes), 0))
		client->n_spoilt++;
	else
		client->n_served++;
}

static void *call(void *arg)
{
	struct client *client = arg;
	for (int i = 0; i < SESSIONS; i++) {
		int fd = sockets_connect(FRONTEND);
		if (fd < 0) {
			client->n_reset++;
			continue;
		}
		if (rand_r(&client->seed) % 8 == 0) {
			sockets_close_by_reset(fd);
			client->n_broken_off++;
			continue;
		}
		converse(client, fd);
		close(fd);
	}
	return NULL;
}

static void start_all(struct client *clients, pthread_t *servers, int *listeners)
{
	for (int i = 0; i < SERVERS; i++) {
		listeners[i] = proxy_bench_serve(&bench, backends[i]);
		cr_assert_eq(pthread_create(&servers[i], NULL, serve, &listeners[i]), 0);
	}
	proxy_bench_add_backend(&bench, REFUSES);
	proxy_bench_start(&bench);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){.seed = (unsigned)i + 1};
		cr_assert_eq(pthread_create(&clients[i].thread, NULL, call, &clients[i]), 0);
	}
}

// Take backends out and in again, and look at the numbers, until so many clients have come.
static void disturb(uint64_t n_clients)
{
	struct proxy_stats stats;
	uint64_t n_accepted = 0;
	for (unsigned round = 0; n_accepted < n_clients; round++) {
		proxy_bench_set_up(&bench, 1, round % 2);
		(void)proxy_take_suspect(bench.proxy);
		cr_assert_eq(proxy_stats(bench.proxy, &stats), 0);
		n_accepted = stats.accepted;
		proxy_stats_fini(&stats);
	}
	proxy_bench_set_up(&bench, 1, true);
}

static void stop_servers(const pthread_t *servers, const int *listeners)
{
	atomic_store(&is_over, true);
	for (int i = 0; i < SERVERS; i++) {
		shutdown(listeners[i], SHUT_RDWR); // wakes who waits in accept()
		pthread_join(servers[i], NULL);
		close(listeners[i]);
	}
}

static void run(enum scheduler_kind scheduler)
{
	struct client clients[CLIENTS];
	pthread_t servers[SERVERS];
	int listeners[SERVERS];
	unsigned n_served = 0;
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	proxy_bench_add_frontend(&bench, FRONTEND)->scheduler = scheduler;
	bench.config.proxy.threads = THREADS;
	bench.pools[0].on_backend_down = ON_DOWN_RESET;
	atomic_store(&is_over, false);
	start_all(clients, servers, listeners);
	disturb((uint64_t)CLIENTS * SESSIONS);
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(clients[i].thread, NULL);
		n_served += clients[i].n_served;
		cr_expect_eq(clients[i].n_spoilt, 0);
		cr_expect_eq(clients[i].n_served + clients[i].n_broken_off + clients[i].n_reset,
			     SESSIONS);
	}
	cr_expect_gt(n_served, (uint64_t)CLIENTS * SESSIONS / 4);
	cr_expect(proxy_bench_await_sessions(&bench, 0));
	cr_expect_eq(proxy_bench_total(&bench).total_connections, (uint64_t)CLIENTS * SESSIONS);
	stop_servers(servers, listeners);
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

Test(proxy_load, sums_are_right_after_a_storm)
{
	run(SCHEDULER_MAGLEV);
}

Test(proxy_load, sums_are_right_when_threads_look_at_each_others_counters)
{
	run(SCHEDULER_LEAST_CONNECTIONS);
}
