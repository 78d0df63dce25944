// SPDX-License-Identifier: Apache-2.0
// Health checks against listeners on 127.0.0.1: what counts, what does not, and what is left over.
// What this host lacks: test_health_wants.c.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/health_lab.h"

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
	struct health_lab lab;
	uint16_t port = 0;
	int listener = health_lab_listen(&port, 64);
	health_lab_init(&lab);
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_start(&lab);
	cr_expect_not(health_is_up(lab.health, 0), "up before any check");
	cr_expect_str_eq(health_last_result(lab.health, 0), "");
	cr_expect_eq(lab.n_changes, 0);
	health_lab_await(&lab, 1);
	cr_expect(lab.is_up);
	cr_expect(health_is_up(lab.health, 0));
	cr_expect_not_null(strstr(health_last_result(lab.health, 0), "connected in "));
	cr_expect_not_null(strstr(lab.reason, "connected in "), "%s", lab.reason);
	cr_expect_not_null(strstr(lab.reason, " ms, 1 of 1 checks passed"), "%s", lab.reason);
	health_lab_fini(&lab);
	close(listener);
}

Test(health, rise_counts_passes)
{
	struct health_lab lab;
	uint16_t port = 0;
	int listener = health_lab_listen(&port, 64);
	health_lab_init(&lab);
	lab.pool.rise = 4;
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_start(&lab);
	health_lab_await(&lab, 1);
	for (int i = 0; i < 4; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		cr_assert_geq(fd, 0, "up after %d passes", i);
		close(fd);
	}
	cr_expect_not_null(strstr(lab.reason, "4 of 4 checks passed"), "%s", lab.reason);
	health_lab_fini(&lab);
	close(listener);
}

Test(health, fall_counts_failures_and_the_way_back_is_open)
{
	struct health_lab lab;
	uint16_t port = 0;
	int listener = health_lab_listen(&port, 64);
	health_lab_init(&lab);
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_start(&lab);
	health_lab_await(&lab, 1);
	close(listener);
	health_lab_await(&lab, 2);
	cr_expect_not(lab.is_up);
	cr_expect_not(health_is_up(lab.health, 0));
	cr_expect_str_eq(lab.reason, "connect refused, 3 of 3 checks failed");
	listener = health_lab_listen(&port, 64);
	health_lab_await(&lab, 3);
	cr_expect(health_is_up(lab.health, 0));
	health_lab_fini(&lab);
	close(listener);
}

Test(health, a_refusing_backend_stays_down_without_a_change)
{
	struct health_lab lab;
	uint16_t port = 0;
	int holder = open_refusing_port(&port);
	health_lab_init(&lab);
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_start(&lab);
	cr_expect_not(health_is_known(lab.health, 0));
	health_lab_run_for_ms(&lab, 200);
	cr_expect_eq(lab.n_changes, 0);
	cr_expect_not(health_is_up(lab.health, 0));
	cr_expect(health_is_known(lab.health, 0));
	cr_expect_str_eq(health_last_result(lab.health, 0), "connect refused");
	health_lab_fini(&lab);
	close(holder);
}

// The first probe fills the queue of one; the listener answers no other.
Test(health, silence_times_out)
{
	struct health_lab lab;
	uint16_t port = 0;
	int listener = health_lab_listen(&port, 0);
	health_lab_init(&lab);
	lab.pool.health_check_timeout_ms = 30;
	lab.pool.fall = 2;
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_start(&lab);
	health_lab_await(&lab, 2);
	cr_expect_not(lab.is_up);
	cr_expect_eq(strncmp(lab.reason, "connect timed out after ", 24), 0, "%s", lab.reason);
	cr_expect_not_null(strstr(lab.reason, "2 of 2 checks failed"), "%s", lab.reason);
	health_lab_fini(&lab);
	close(listener);
}

Test(health, defect_16_silent_backends_do_not_hold_up_the_others)
{
	struct health_lab lab;
	uint16_t silent_port = 0;
	uint16_t port = 0;
	int silent = health_lab_listen(&silent_port, 0);
	int filler = health_lab_connect(silent_port);
	int listener = health_lab_listen(&port, 64);
	unsigned n_fds = count_fds();
	health_lab_init(&lab);
	unsigned n_base_fds = count_fds() - n_fds;
	lab.pool.health_check_timeout_ms = 600000;
	for (int i = 0; i < HEALTH_LAB_BACKENDS - 1; i++)
		health_lab_add(&lab, "127.0.0.1", silent_port);
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_start(&lab);
	health_lab_await(&lab, 1);
	cr_expect_eq(lab.changed, HEALTH_LAB_BACKENDS - 1);
	// Long after the interval: still one probe for each silent backend.
	health_lab_run_for_ms(&lab, 100);
	unsigned n_probes = count_fds() - n_fds - n_base_fds;
	cr_expect_geq(n_probes, HEALTH_LAB_BACKENDS - 1);
	cr_expect_leq(n_probes, HEALTH_LAB_BACKENDS);
	health_lab_fini(&lab);
	cr_expect_eq(count_fds(), n_fds, "stop leaves descriptors behind");
	close(listener);
	close(filler);
	close(silent);
}

Test(health, a_probe_ends_with_a_reset)
{
	struct health_lab lab;
	uint16_t port = 0;
	int listener = health_lab_listen(&port, 64);
	health_lab_init(&lab);
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_start(&lab);
	health_lab_await(&lab, 1);
	char byte;
	int fd = accept(listener, NULL, NULL);
	cr_assert_geq(fd, 0);
	cr_expect_eq(read(fd, &byte, 1), -1);
	cr_expect_eq(errno, ECONNRESET);
	close(fd);
	health_lab_fini(&lab);
	close(listener);
}

Test(health, stop_is_legal_from_a_change_and_for_null)
{
	struct health_lab lab;
	uint16_t port = 0;
	int listener = health_lab_listen(&port, 64);
	health_lab_init(&lab);
	lab.is_stopping = true;
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_start(&lab);
	health_lab_await(&lab, 1);
	cr_expect_null(lab.health);
	health_lab_run_for_ms(&lab, 50);
	cr_expect_eq(lab.n_changes, 1);
	health_stop(NULL);
	health_lab_fini(&lab);
	close(listener);
}

Test(health, unchecked_pools_are_up_from_the_start)
{
	struct health_lab lab;
	health_lab_init(&lab);
	lab.pool.health_check = HEALTH_NONE;
	health_lab_add(&lab, "192.0.2.1", 9);
	health_lab_add(&lab, "192.0.2.2", 9);
	health_lab_start(&lab);
	cr_expect_eq(lab.n_changes, 2);
	cr_expect(lab.is_up);
	cr_expect(health_is_up(lab.health, 0));
	cr_expect(health_is_up(lab.health, 1));
	health_lab_fini(&lab);
}

// As a reload may say it.
Test(health, a_pool_that_begins_to_be_checked_is_as_it_was_until_checks_say_otherwise)
{
	struct health_lab lab;
	struct health_report report;
	uint16_t port = 0;
	int listener = health_lab_listen(&port, 64);
	health_lab_init(&lab);
	health_lab_add(&lab, "127.0.0.1", port);
	struct config_pool unchecked = lab.pool;
	unchecked.health_check = HEALTH_NONE;
	struct config_pool checked = lab.pool;
	lab.pool.health_check = HEALTH_NONE;
	health_lab_start(&lab);
	cr_assert_eq(lab.n_changes, 1);
	cr_assert_eq(health_change(lab.health, 0, &checked, &lab.backends[0], &lab.err), 0);
	health_lab_run_for_ms(&lab, 200);
	cr_expect_eq(lab.n_changes, 1, "%s", lab.reason);
	health_describe(lab.health, 0, &report);
	cr_expect_str_eq(report.reason, "checks begin");
	close(listener);
	health_lab_await(&lab, 2);
	cr_expect_not(lab.is_up);
	cr_assert_eq(health_change(lab.health, 0, &unchecked, &lab.backends[0], &lab.err), 0);
	cr_expect_eq(lab.n_changes, 3);
	cr_expect(health_is_up(lab.health, 0), "nobody looks");
	health_lab_run_for_ms(&lab, 200);
	cr_expect_eq(lab.n_changes, 3, "%s", lab.reason);
	cr_expect(health_has(lab.health, 0));
	health_remove(lab.health, 0);
	cr_expect_not(health_has(lab.health, 0));
	health_lab_fini(&lab);
}

Test(health, checks_of_another_kind_have_to_fail_as_often)
{
	static char path[] = "/";
	struct health_lab lab;
	uint16_t port = 0;
	int listener = health_lab_listen(&port, 64); // which answers nothing
	health_lab_init(&lab);
	health_lab_add(&lab, "127.0.0.1", port);
	struct config_pool by_http = lab.pool;
	by_http.health_check = HEALTH_HTTP;
	by_http.health_check_timeout_ms = 50;
	by_http.check.path = path;
	health_lab_start(&lab);
	health_lab_await(&lab, 1);
	cr_assert(lab.is_up);
	cr_assert_eq(health_change(lab.health, 0, &by_http, &lab.backends[0], &lab.err), 0);
	cr_expect_eq(lab.n_changes, 1);
	health_lab_await(&lab, 2);
	cr_expect_not(lab.is_up);
	cr_expect(strstr(lab.reason, "3 of 3 checks failed"), "%s", lab.reason);
	health_lab_fini(&lab);
	close(listener);
}

Test(health, ipv6_backends_are_checked_too)
{
	struct health_lab lab;
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t size = sizeof(addr);
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)))
		cr_skip_test("no IPv6 loopback here");
	cr_assert_eq(listen(listener, 64), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&addr, &size), 0);
	health_lab_init(&lab);
	health_lab_add(&lab, "::1", ntohs(addr.sin6_port));
	health_lab_start(&lab);
	health_lab_await(&lab, 1);
	cr_expect(lab.is_up);
	health_lab_fini(&lab);
	close(listener);
}
