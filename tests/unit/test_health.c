// SPDX-License-Identifier: Apache-2.0
// Health checks against listeners on 127.0.0.1: what counts, what does not, and what is left over.
#include "culvert/control/health.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/clock.h"

enum { MAX_BACKENDS = 64, GIVE_UP_S = 20 };

// One pool, its checks, and what on_change has told.
struct bench {
	struct config_backend backends[MAX_BACKENDS];
	struct config_pool pool;
	struct config config;
	struct event_base *base;
	struct health *health;
	struct err err;
	unsigned n_changes;
	size_t changed; // the backend of the last change
	bool is_up;
	char reason[256];
	bool is_stopping; // on_change stops health
};

static void on_change(void *arg, size_t backend, bool is_up, const char *reason)
{
	struct bench *bench = arg;
	bench->n_changes++;
	bench->changed = backend;
	bench->is_up = is_up;
	snprintf(bench->reason, sizeof(bench->reason), "%s", reason);
	if (bench->is_stopping) {
		health_stop(bench->health);
		bench->health = NULL;
	}
}

static void bench_init(struct bench *bench)
{
	static char name[] = "backend";
	*bench = (struct bench){0};
	for (size_t i = 0; i < MAX_BACKENDS; i++)
		bench->backends[i] = (struct config_backend){.name = name, .weight = 1};
	bench->pool = (struct config_pool){.name = name,
					   .backends = bench->backends,
					   .health_check_interval_ms = 10,
					   .health_check_timeout_ms = 5000,
					   .rise = 1,
					   .fall = 3};
	bench->config = (struct config){.pools = &bench->pool, .n_pools = 1};
	bench->base = event_base_new();
	cr_assert(bench->base);
}

static void bench_add(struct bench *bench, const char *addr, uint16_t port)
{
	struct endpoint *endpoint = &bench->backends[bench->pool.n_backends++].endpoint;
	endpoint->port_be = htons(port);
	endpoint->proto = IPPROTO_TCP;
	cr_assert(ip_addr_parse(addr, &endpoint->addr));
}

static void bench_start(struct bench *bench)
{
	cr_assert_eq(health_start(&bench->health, bench->base, &bench->config, on_change, bench,
				  &bench->err),
		     0, "%s", bench->err.message);
}

static void bench_fini(struct bench *bench)
{
	health_stop(bench->health);
	event_base_free(bench->base);
}

static void give_up(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

// Run the loop until `n` changes have been told in all.
static void await_changes(struct bench *bench, unsigned n)
{
	bool is_late = false;
	struct event *limit = evtimer_new(bench->base, give_up, &is_late);
	struct timeval patience = {.tv_sec = GIVE_UP_S};
	evtimer_add(limit, &patience);
	while (bench->n_changes < n && !is_late)
		event_base_loop(bench->base, EVLOOP_ONCE);
	event_free(limit);
	cr_assert_not(is_late, "%u changes of %u; the last: %s", bench->n_changes, n,
		      bench->reason);
}

// Run the loop for many intervals, to see that something does not happen.
static void run_for_ms(struct bench *bench, unsigned ms)
{
	bool is_over = false;
	struct event *limit = evtimer_new(bench->base, give_up, &is_over);
	struct timeval duration = {.tv_sec = 0, .tv_usec = (suseconds_t)ms * 1000};
	evtimer_add(limit, &duration);
	while (!is_over)
		event_base_loop(bench->base, EVLOOP_ONCE);
	event_free(limit);
}

static int open_listener(uint16_t *port, int backlog)
{
	int on = 1;
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(*port)};
	socklen_t size = sizeof(addr);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0, "%s", strerror(errno));
	cr_assert_eq(listen(fd, backlog), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &size), 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

// A port that refuses: bound, so that nobody else takes it, and not listening.
static int open_refusing_port(uint16_t *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t size = sizeof(addr);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &size), 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

// Fills the queue of a listener with backlog 0: from then on it drops every SYN.
static int connect_to(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0, "%s", strerror(errno));
	return fd;
}

static unsigned count_fds(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	cr_assert(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

Test(health, a_listening_backend_comes_up)
{
	struct bench bench;
	uint16_t port = 0;
	int listener = open_listener(&port, 64);
	bench_init(&bench);
	bench_add(&bench, "127.0.0.1", port);
	bench_start(&bench);
	cr_expect_not(health_is_up(bench.health, 0), "up before any check");
	cr_expect_str_eq(health_last_result(bench.health, 0), "");
	cr_expect_eq(bench.n_changes, 0);
	await_changes(&bench, 1);
	cr_expect(bench.is_up);
	cr_expect(health_is_up(bench.health, 0));
	cr_expect_not_null(strstr(health_last_result(bench.health, 0), "connected in "));
	cr_expect_not_null(strstr(bench.reason, "connected in "), "%s", bench.reason);
	cr_expect_not_null(strstr(bench.reason, " ms, 1 of 1 checks passed"), "%s", bench.reason);
	bench_fini(&bench);
	close(listener);
}

Test(health, rise_counts_passes)
{
	struct bench bench;
	uint16_t port = 0;
	int listener = open_listener(&port, 64);
	bench_init(&bench);
	bench.pool.rise = 4;
	bench_add(&bench, "127.0.0.1", port);
	bench_start(&bench);
	await_changes(&bench, 1);
	for (int i = 0; i < 4; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		cr_assert_geq(fd, 0, "up after %d passes", i);
		close(fd);
	}
	cr_expect_not_null(strstr(bench.reason, "4 of 4 checks passed"), "%s", bench.reason);
	bench_fini(&bench);
	close(listener);
}

Test(health, fall_counts_failures_and_the_way_back_is_open)
{
	struct bench bench;
	uint16_t port = 0;
	int listener = open_listener(&port, 64);
	bench_init(&bench);
	bench_add(&bench, "127.0.0.1", port);
	bench_start(&bench);
	await_changes(&bench, 1);
	close(listener);
	await_changes(&bench, 2);
	cr_expect_not(bench.is_up);
	cr_expect_not(health_is_up(bench.health, 0));
	cr_expect_str_eq(bench.reason, "connect refused, 3 of 3 checks failed");
	listener = open_listener(&port, 64);
	await_changes(&bench, 3);
	cr_expect(health_is_up(bench.health, 0));
	bench_fini(&bench);
	close(listener);
}

Test(health, a_refusing_backend_stays_down_without_a_change)
{
	struct bench bench;
	uint16_t port = 0;
	int holder = open_refusing_port(&port);
	bench_init(&bench);
	bench_add(&bench, "127.0.0.1", port);
	bench_start(&bench);
	cr_expect_not(health_is_known(bench.health, 0));
	run_for_ms(&bench, 200);
	cr_expect_eq(bench.n_changes, 0);
	cr_expect_not(health_is_up(bench.health, 0));
	cr_expect(health_is_known(bench.health, 0));
	cr_expect_str_eq(health_last_result(bench.health, 0), "connect refused");
	bench_fini(&bench);
	close(holder);
}

// The first probe fills the queue of one; the listener answers no other.
Test(health, silence_times_out)
{
	struct bench bench;
	uint16_t port = 0;
	int listener = open_listener(&port, 0);
	bench_init(&bench);
	bench.pool.health_check_timeout_ms = 30;
	bench.pool.fall = 2;
	bench_add(&bench, "127.0.0.1", port);
	bench_start(&bench);
	await_changes(&bench, 2);
	cr_expect_not(bench.is_up);
	cr_expect_eq(strncmp(bench.reason, "connect timed out after ", 24), 0, "%s", bench.reason);
	cr_expect_not_null(strstr(bench.reason, "2 of 2 checks failed"), "%s", bench.reason);
	bench_fini(&bench);
	close(listener);
}

Test(health, defect_16_silent_backends_do_not_hold_up_the_others)
{
	struct bench bench;
	uint16_t silent_port = 0;
	uint16_t port = 0;
	int silent = open_listener(&silent_port, 0);
	int filler = connect_to(silent_port);
	int listener = open_listener(&port, 64);
	unsigned n_fds = count_fds();
	bench_init(&bench);
	unsigned n_base_fds = count_fds() - n_fds;
	bench.pool.health_check_timeout_ms = 600000;
	for (int i = 0; i < MAX_BACKENDS - 1; i++)
		bench_add(&bench, "127.0.0.1", silent_port);
	bench_add(&bench, "127.0.0.1", port);
	bench_start(&bench);
	await_changes(&bench, 1);
	cr_expect_eq(bench.changed, MAX_BACKENDS - 1);
	// Long after the interval: still one probe for each silent backend.
	run_for_ms(&bench, 100);
	unsigned n_probes = count_fds() - n_fds - n_base_fds;
	cr_expect_geq(n_probes, MAX_BACKENDS - 1);
	cr_expect_leq(n_probes, MAX_BACKENDS);
	bench_fini(&bench);
	cr_expect_eq(count_fds(), n_fds, "stop leaves descriptors behind");
	close(listener);
	close(filler);
	close(silent);
}

Test(health, a_probe_ends_with_a_reset)
{
	struct bench bench;
	uint16_t port = 0;
	int listener = open_listener(&port, 64);
	bench_init(&bench);
	bench_add(&bench, "127.0.0.1", port);
	bench_start(&bench);
	await_changes(&bench, 1);
	char byte;
	int fd = accept(listener, NULL, NULL);
	cr_assert_geq(fd, 0);
	cr_expect_eq(read(fd, &byte, 1), -1);
	cr_expect_eq(errno, ECONNRESET);
	close(fd);
	bench_fini(&bench);
	close(listener);
}

Test(health, stop_is_legal_from_a_change_and_for_null)
{
	struct bench bench;
	uint16_t port = 0;
	int listener = open_listener(&port, 64);
	bench_init(&bench);
	bench.is_stopping = true;
	bench_add(&bench, "127.0.0.1", port);
	bench_add(&bench, "127.0.0.1", port);
	bench_start(&bench);
	await_changes(&bench, 1);
	cr_expect_null(bench.health);
	run_for_ms(&bench, 50);
	cr_expect_eq(bench.n_changes, 1);
	health_stop(NULL);
	bench_fini(&bench);
	close(listener);
}

Test(health, unchecked_pools_are_up_from_the_start)
{
	struct bench bench;
	bench_init(&bench);
	bench.pool.health_check = HEALTH_NONE;
	bench_add(&bench, "192.0.2.1", 9);
	bench_add(&bench, "192.0.2.2", 9);
	bench_start(&bench);
	cr_expect_eq(bench.n_changes, 2);
	cr_expect(bench.is_up);
	cr_expect(health_is_up(bench.health, 0));
	cr_expect(health_is_up(bench.health, 1));
	bench_fini(&bench);
}

Test(health, ipv6_backends_are_checked_too)
{
	struct bench bench;
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t size = sizeof(addr);
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)))
		cr_skip_test("no IPv6 loopback here");
	cr_assert_eq(listen(listener, 64), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&addr, &size), 0);
	bench_init(&bench);
	bench_add(&bench, "::1", ntohs(addr.sin6_port));
	bench_start(&bench);
	await_changes(&bench, 1);
	cr_expect(bench.is_up);
	bench_fini(&bench);
	close(listener);
}

static void limit_fds(rlim_t n)
{
	struct rlimit limit;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = n;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

// Standard error into memory from here on.
static int capture_log(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	return fd;
}

static unsigned count_log_lines(int fd, const char *needle)
{
	static char text[65536];
	unsigned n = 0;
	ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
	cr_assert_geq(size, 0);
	text[size] = '\0';
	for (const char *at = text; (at = strstr(at, needle)); at++)
		n++;
	return n;
}

Test(health, defect_16_want_of_descriptors_is_neither_pass_nor_failure)
{
	struct bench bench;
	struct rlimit before;
	uint16_t port = 0;
	int listener = open_listener(&port, 64);
	int log = capture_log();
	bench_init(&bench);
	bench_add(&bench, "127.0.0.1", port);
	bench.pool.fall = 1;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);

	limit_fds(3);
	bench_start(&bench);
	run_for_ms(&bench, 200);
	cr_expect_eq(bench.n_changes, 0);
	cr_expect_not(health_is_up(bench.health, 0), "exhaustion brought a backend up");
	cr_expect_eq(count_log_lines(log, "Too many open files"), 1, "want one line in the log");

	limit_fds(before.rlim_cur);
	await_changes(&bench, 1);
	cr_expect(bench.is_up);

	limit_fds(3);
	close(listener);
	run_for_ms(&bench, 200);
	cr_expect_eq(bench.n_changes, 1, "exhaustion took a backend down: %s", bench.reason);
	cr_expect_eq(count_log_lines(log, "Too many open files"), 1);

	limit_fds(before.rlim_cur);
	await_changes(&bench, 2);
	cr_expect_not(bench.is_up);
	bench_fini(&bench);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

// A network of this process alone: loopback, and a route to nowhere else.
static void enter_private_network(void)
{
	if (geteuid() != 0)
		cr_skip_test("needs root for a network namespace");
	cr_assert_eq(unshare(CLONE_NEWNET), 0, "%s", strerror(errno));
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

Test(health, defect_16_want_of_local_ports_is_neither_pass_nor_failure)
{
	enter_private_network();
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "50000 50000\n");
	struct bench bench;
	uint16_t port = 7000;
	int log = capture_log();
	int listener = open_listener(&port, 64);
	int holder = connect_to(port); // from the only port
	bench_init(&bench);
	bench.pool.fall = 1;
	bench_add(&bench, "127.0.0.1", port);
	bench_start(&bench);
	run_for_ms(&bench, 200);
	cr_expect_eq(bench.n_changes, 0, "%s", bench.reason);
	cr_expect_not(health_is_up(bench.health, 0));
	cr_expect_eq(count_log_lines(log, "Cannot assign requested address"), 1);

	write_file("/proc/sys/net/ipv4/ip_local_port_range", "50000 50010\n");
	await_changes(&bench, 1);
	cr_expect(bench.is_up);
	bench_fini(&bench);
	close(holder);
	close(listener);
}

Test(health, an_unreachable_backend_fails)
{
	enter_private_network();
	struct bench bench;
	int log = capture_log();
	bench_init(&bench);
	bench_add(&bench, "192.0.2.1", 80);
	bench_start(&bench);
	run_for_ms(&bench, 200);
	cr_expect_eq(bench.n_changes, 0);
	cr_expect_eq(count_log_lines(log, "Network is unreachable, 3 of 3 checks failed"), 1);
	bench_fini(&bench);
}

// The only source port there is equals the probed one, and nobody listens: the connect would meet
// itself.
Test(health, a_probe_that_meets_itself_fails)
{
	enter_private_network();
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "50000 50000\n");
	struct bench bench;
	bench_init(&bench);
	bench_add(&bench, "127.0.0.1", 50000);
	bench_start(&bench);
	run_for_ms(&bench, 200);
	cr_expect_eq(bench.n_changes, 0, "%s", bench.reason);
	bench_fini(&bench);
}

Test(health, passes_leave_nothing_in_time_wait)
{
	enter_private_network();
	struct bench bench;
	uint16_t port = 7000;
	int listener = open_listener(&port, 64);
	bench_init(&bench);
	bench.pool.rise = 20;
	bench_add(&bench, "127.0.0.1", port);
	bench_start(&bench);
	await_changes(&bench, 1);
	char line[256];
	FILE *table = fopen("/proc/net/tcp", "re");
	cr_assert(table);
	while (fgets(line, sizeof(line), table))
		cr_expect_null(strstr(line, " 06 0000"), "in TIME_WAIT: %s", line);
	fclose(table);
	bench_fini(&bench);
	close(listener);
}
