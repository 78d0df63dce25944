// SPDX-License-Identifier: Apache-2.0
// No room for another one: limits of a frontend and of all, and want of descriptors.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../support/lib/proxy_bench.h"
#include "../support/lib/sockets.h"
#include "culvert/base/clock.h"
#include "proxy/thread.h"

#define FRONTEND "127.0.0.1:8000"
#define OTHER    "127.0.0.1:8001"
#define BACKEND  "127.0.0.1:7001"

TestSuite(proxy_limits, .timeout = 120);

static struct proxy_bench bench;
static int listener;

static void init(void)
{
	if (!proxy_bench_init(&bench))
		cr_skip_test("needs root for a network namespace");
	proxy_bench_add_frontend(&bench, FRONTEND);
	listener = proxy_bench_serve(&bench, BACKEND);
}

static void finish(void)
{
	close(listener);
	const char *problem = proxy_bench_fini(&bench);
	cr_expect_null(problem, "%s", problem);
}

// A client that has been served a line.
static int open_session(const char *frontend, int *server)
{
	int client = sockets_connect(frontend);
	cr_assert_geq(client, 0, "%s", strerror(-client));
	*server = sockets_accept(listener);
	cr_assert_geq(*server, 0, "%s", strerror(-*server));
	cr_assert(sockets_say(*server, "served"));
	cr_assert(sockets_hear(client, "served"));
	return client;
}

static void close_session(int client, int server)
{
	close(client);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	close(server);
}

Test(proxy_limits, beyond_the_limit_clients_wait_and_are_served_in_turn)
{
	enum { LIMIT = 3, CLIENTS = 30 };
	int clients[CLIENTS];
	int servers[CLIENTS];
	init();
	bench.config.proxy.max_connections = LIMIT;
	proxy_bench_start(&bench);
	cr_expect_eq(proxy_max_sessions(bench.proxy), LIMIT);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = sockets_connect(FRONTEND);
	for (int i = 0; i < CLIENTS; i++) {
		servers[i] = sockets_accept(listener);
		cr_assert_geq(servers[i], 0, "client %d: %s", i, strerror(-servers[i]));
		cr_expect_leq(proxy_bench_total(&bench).current_connections, LIMIT);
		if (i + 1 < LIMIT)
			continue;
		// It is full. Who goes makes room for the next.
		cr_expect_not(sockets_has_caller(listener));
		close_session(clients[i + 1 - LIMIT], servers[i + 1 - LIMIT]);
	}
	for (int i = CLIENTS + 1 - LIMIT; i < CLIENTS; i++)
		close_session(clients[i], servers[i]);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_COMPLETED, CLIENTS));
	finish();
}

Test(proxy_limits, a_frontend_that_is_full_leaves_the_others_alone)
{
	int servers[3];
	int clients[3];
	init();
	bench.frontends[0].max_connections = 1;
	proxy_bench_add_frontend(&bench, OTHER);
	proxy_bench_start(&bench);
	clients[0] = open_session(FRONTEND, &servers[0]);
	int waiting = sockets_connect(FRONTEND);
	clients[1] = open_session(OTHER, &servers[1]);
	clients[2] = open_session(OTHER, &servers[2]);
	cr_expect_eq(proxy_bench_total(&bench).current_connections, 3);
	close_session(clients[0], servers[0]);
	servers[0] = sockets_accept(listener);
	cr_assert_geq(servers[0], 0, "%s", strerror(-servers[0]));
	close_session(waiting, servers[0]);
	close_session(clients[1], servers[1]);
	close_session(clients[2], servers[2]);
	finish();
}

Test(proxy_limits, beyond_the_limit_clients_are_refused_when_that_is_wanted)
{
	int server;
	init();
	bench.config.proxy.on_full = ON_FULL_REFUSE;
	bench.frontends[0].max_connections = 1;
	proxy_bench_start(&bench);
	for (int i = 0; i < 3; i++) {
		int client = open_session(FRONTEND, &server);
		cr_expect_eq(sockets_visit(FRONTEND), ECONNRESET);
		close_session(client, server);
		cr_expect(proxy_bench_await_sessions(&bench, 0));
	}
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_LIMIT, 3));
	cr_expect_eq(proxy_bench_total(&bench).total_connections, 3);
	finish();
}

Test(proxy_limits, threads_share_one_limit)
{
	enum { LIMIT = 4, CLIENTS = 24 };
	int clients[CLIENTS];
	init();
	bench.config.proxy.threads = 3;
	bench.config.proxy.max_connections = LIMIT;
	proxy_bench_start(&bench);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = sockets_connect(FRONTEND);
	for (int i = 0; i < CLIENTS; i++) {
		int server = sockets_accept(listener);
		cr_assert_geq(server, 0, "client %d: %s", i, strerror(-server));
		cr_expect_leq(proxy_n_sessions(bench.proxy), LIMIT);
		sockets_close_by_reset(server);
	}
	for (int i = 0; i < CLIENTS; i++) {
		cr_expect_eq(sockets_await_end(clients[i], NULL), ECONNRESET);
		close(clients[i]);
	}
	finish();
}

// ---- descriptors -------------------------------------------------------------------------------

static uint64_t cpu_ns(void)
{
	clockid_t id;
	struct timespec used;
	cr_assert_eq(pthread_getcpuclockid(bench.proxy->threads[0].pthread, &id), 0);
	cr_assert_eq(clock_gettime(id, &used), 0);
	return (uint64_t)used.tv_sec * NS_PER_SEC + (uint64_t)used.tv_nsec;
}

// Leave the process room for `n` descriptors more; the limit before is returned.
static struct rlimit leave_descriptors(unsigned n)
{
	struct rlimit before;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
	cr_assert_geq(lowest, 0);
	close(lowest);
	struct rlimit limit = {(rlim_t)lowest + n, before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

static bool await_pause(void)
{
	struct proxy_stats stats;
	for (int i = 0; i < 10000; i++) {
		const struct timespec step = {.tv_nsec = 1000000};
		cr_assert_eq(proxy_stats(bench.proxy, &stats), 0);
		uint64_t n = stats.accept_pauses;
		proxy_stats_fini(&stats);
		if (n > 0)
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}

Test(proxy_limits, without_descriptors_accepting_rests_and_goes_on_later)
{
	static const struct timespec a_while = {.tv_nsec = 500000000};
	int server;
	init();
	proxy_bench_start(&bench);
	int client = sockets_connect(FRONTEND);
	server = sockets_accept(listener);
	close(client);
	close(server);
	cr_expect(proxy_bench_await_sessions(&bench, 0));

	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct rlimit before = leave_descriptors(0);
	cr_assert_eq(sockets_join(client, FRONTEND), 0);
	cr_expect(await_pause());
	uint64_t used_ns = cpu_ns();
	nanosleep(&a_while, NULL); // many rounds, if there were nothing to keep it from them
	cr_expect_lt(cpu_ns() - used_ns, 100 * NS_PER_MS, "it spins");
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	server = sockets_accept(listener);
	cr_assert_geq(server, 0, "%s", strerror(-server));
	cr_assert(sockets_say(server, "served"));
	cr_expect(sockets_hear(client, "served"));
	close_session(client, server);
	finish();
}

// As security modules do it: the call is refused whatever waits in the queue.
static void *start_without_accept4(void *arg)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_accept4, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	bool *is_filtered = arg;
	*is_filtered = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
	proxy_bench_start(&bench);
	return NULL;
}

Test(proxy_limits, when_accepting_is_not_allowed_it_rests)
{
	static const struct timespec a_while = {.tv_nsec = 500000000};
	bool is_filtered;
	pthread_t starter;
	init();
	cr_assert_eq(proxy_bench_create(&bench), 0, "%s", bench.err.message);
	cr_assert_eq(pthread_create(&starter, NULL, start_without_accept4, &is_filtered), 0);
	pthread_join(starter, NULL);
	if (!is_filtered)
		cr_skip_test("needs system call filters");
	int client = sockets_connect(FRONTEND);
	cr_expect(await_pause());
	uint64_t used_ns = cpu_ns();
	nanosleep(&a_while, NULL);
	cr_expect_lt(cpu_ns() - used_ns, 100 * NS_PER_MS, "it spins");
	close(client);
	finish();
}

// One for the client, and none for the backend.
Test(proxy_limits, without_a_descriptor_for_the_backend_the_client_is_reset)
{
	init();
	proxy_bench_start(&bench);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct rlimit before = leave_descriptors(1);
	int error = sockets_join(client, FRONTEND);
	cr_expect_eq(error ? error : sockets_await_end(client, NULL), ECONNRESET);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_expect(proxy_bench_await_ends(&bench, SESSION_END_RESOURCES, 1));
	cr_expect_eq(proxy_bench_n_connects(&bench, 0, CONNECT_LACK), 1);
	cr_expect_eq(proxy_take_suspect(bench.proxy), -1);
	close(client);
	finish();
}

Test(proxy_limits, limits_beyond_the_descriptors_are_refused_with_advice)
{
	init();
	bench.config.proxy.max_connections = 10000000;
	cr_expect_eq(proxy_bench_create(&bench), -EMFILE);
	cr_expect_not_null(strstr(bench.err.message, "max_connections = 10000000"));
	cr_expect_not_null(strstr(bench.err.message, "ulimit -n"), "%s", bench.err.message);
	finish();
}

Test(proxy_limits, without_descriptors_to_speak_of_it_does_not_begin)
{
	init();
	struct rlimit before = leave_descriptors(60);
	cr_expect_eq(proxy_bench_create(&bench), -EMFILE);
	cr_expect_not_null(strstr(bench.err.message, "leaves room for"), "%s", bench.err.message);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	finish();
}

Test(proxy_limits, without_a_limit_descriptors_are_the_limit)
{
	init();
	struct rlimit before;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	struct rlimit limit = {1000, before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_eq(proxy_bench_create(&bench), 0, "%s", bench.err.message);
	uint32_t max = proxy_max_sessions(bench.proxy);
	cr_expect_gt(max, 300);
	cr_expect_lt(max, 500);
	finish();
}
