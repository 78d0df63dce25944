// SPDX-License-Identifier: Apache-2.0
// Health checks of a host that lacks descriptors, ports or routes, or has hardly any: what is its
// own want is no fault of a backend.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/health_lab.h"

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

Test(health_wants, defect_16_want_of_descriptors_is_neither_pass_nor_failure)
{
	struct health_lab lab;
	struct rlimit before;
	uint16_t port = 0;
	int listener = health_lab_listen(&port, 64);
	int log = capture_log();
	health_lab_init(&lab);
	health_lab_add(&lab, "127.0.0.1", port);
	lab.pool.fall = 1;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);

	limit_fds(3);
	health_lab_start(&lab);
	health_lab_run_for_ms(&lab, 200);
	cr_expect_eq(lab.n_changes, 0);
	cr_expect_not(health_is_up(lab.health, 0), "exhaustion brought a backend up");
	cr_expect_eq(count_log_lines(log, "Too many open files"), 1, "want one line in the log");

	limit_fds(before.rlim_cur);
	health_lab_await(&lab, 1);
	cr_expect(lab.is_up);

	limit_fds(3);
	close(listener);
	health_lab_run_for_ms(&lab, 200);
	cr_expect_eq(lab.n_changes, 1, "exhaustion took a backend down: %s", lab.reason);
	cr_expect_eq(count_log_lines(log, "Too many open files"), 1);

	limit_fds(before.rlim_cur);
	health_lab_await(&lab, 2);
	cr_expect_not(lab.is_up);
	health_lab_fini(&lab);
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

Test(health_wants, defect_16_want_of_local_ports_is_neither_pass_nor_failure)
{
	enter_private_network();
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "50000 50000\n");
	struct health_lab lab;
	uint16_t port = 7000;
	int log = capture_log();
	int listener = health_lab_listen(&port, 64);
	int holder = health_lab_connect(port); // from the only port
	health_lab_init(&lab);
	lab.pool.fall = 1;
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_start(&lab);
	health_lab_run_for_ms(&lab, 200);
	cr_expect_eq(lab.n_changes, 0, "%s", lab.reason);
	cr_expect_not(health_is_up(lab.health, 0));
	cr_expect_eq(count_log_lines(log, "Cannot assign requested address"), 1);

	write_file("/proc/sys/net/ipv4/ip_local_port_range", "50000 50010\n");
	health_lab_await(&lab, 1);
	cr_expect(lab.is_up);
	health_lab_fini(&lab);
	close(holder);
	close(listener);
}

Test(health_wants, an_unreachable_backend_fails)
{
	enter_private_network();
	struct health_lab lab;
	int log = capture_log();
	health_lab_init(&lab);
	health_lab_add(&lab, "192.0.2.1", 80);
	health_lab_start(&lab);
	health_lab_run_for_ms(&lab, 200);
	cr_expect_eq(lab.n_changes, 0);
	cr_expect_eq(count_log_lines(log, "Network is unreachable, 3 of 3 checks failed"), 1);
	health_lab_fini(&lab);
}

// The only source port there is equals the probed one, and nobody listens: the connect would meet
// itself.
Test(health_wants, a_probe_that_meets_itself_fails)
{
	enter_private_network();
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "50000 50000\n");
	struct health_lab lab;
	health_lab_init(&lab);
	health_lab_add(&lab, "127.0.0.1", 50000);
	health_lab_start(&lab);
	health_lab_run_for_ms(&lab, 200);
	cr_expect_eq(lab.n_changes, 0, "%s", lab.reason);
	health_lab_fini(&lab);
}

Test(health_wants, passes_leave_nothing_in_time_wait)
{
	enter_private_network();
	struct health_lab lab;
	uint16_t port = 7000;
	int listener = health_lab_listen(&port, 64);
	health_lab_init(&lab);
	lab.pool.rise = 20;
	health_lab_add(&lab, "127.0.0.1", port);
	health_lab_start(&lab);
	health_lab_await(&lab, 1);
	char line[256];
	FILE *table = fopen("/proc/net/tcp", "re");
	cr_assert(table);
	while (fgets(line, sizeof(line), table))
		cr_expect_null(strstr(line, " 06 0000"), "in TIME_WAIT: %s", line);
	fclose(table);
	health_lab_fini(&lab);
	close(listener);
}
