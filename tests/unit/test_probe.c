// SPDX-License-Identifier: Apache-2.0
// Health checks by TCP and UDP: what they find, and what they say about it. By HTTP:
// test_probe_http.c.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/net/sockaddr.h"
#include "lib/probe_lab.h"

Test(probe_tcp, a_unix_socket_whose_queue_is_full_fails)
{
	static char path[] = "@culvert-test-probe-full";
	struct probe_lab lab;
	struct sockaddr_storage addr;
	socklen_t size = sockaddr_from_path(path, &addr);
	probe_lab_init(&lab, HEALTH_TCP);
	lab.backend.unix_path = path;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&addr, size), 0);
	cr_assert_eq(listen(listener, 0), 0);
	cr_assert_eq(connect(filler, (struct sockaddr *)&addr, size), 0);
	probe_lab_expect_failure(&lab, "its listen queue is full");
	probe_lab_fini(&lab);
	close(filler);
	close(listener);
}

// A listener whose queue is full answers no SYN.
Test(probe_tcp, a_busy_round_of_the_loop_costs_the_backend_no_time)
{
	struct probe_lab lab;
	struct sockaddr_storage addr;
	struct endpoint own;
	probe_lab_init(&lab, HEALTH_TCP);
	socklen_t size = sockaddr_from_endpoint(&lab.backend.endpoint, &addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&addr, size), 0);
	cr_assert_eq(listen(listener, 0), 0);
	getsockname(listener, (struct sockaddr *)&addr, &size);
	cr_assert_eq(connect(filler, (struct sockaddr *)&addr, size), 0);
	endpoint_from_sockaddr((struct sockaddr *)&addr, &own);
	lab.backend.endpoint.port_be = own.port_be;
	lab.pool.health_check_timeout_ms = PROBE_LAB_SHORT_MS;
	lab.busy_before_ms = 2 * PROBE_LAB_SHORT_MS;
	probe_lab_expect_failure(&lab, "connect timed out");
	cr_expect_geq(lab.result.duration_ns, PROBE_LAB_SHORT_MS * NS_PER_MS);
	probe_lab_fini(&lab);
	close(filler);
	close(listener);
}

// ---- UDP ---------------------------------------------------------------------------------------

// Answers `answer` to what is `question`, and nothing to anything else.
static void serve_udp(struct probe_lab *lab, const char *question, const char *answer)
{
	struct sockaddr_storage addr;
	struct endpoint own;
	socklen_t size = sockaddr_from_endpoint(&lab->backend.endpoint, &addr);
	int fd = socket(addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, size), 0);
	getsockname(fd, (struct sockaddr *)&addr, &size);
	endpoint_from_sockaddr((struct sockaddr *)&addr, &own);
	lab->backend.endpoint.port_be = own.port_be;
	lab->server = fork();
	if (lab->server) {
		close(fd);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		char asked[2048];
		size = sizeof(addr);
		ssize_t n = recvfrom(fd, asked, sizeof(asked), 0, (struct sockaddr *)&addr, &size);
		if (n == (ssize_t)strlen(question) && memcmp(asked, question, (size_t)n) == 0)
			sendto(fd, answer, strlen(answer), 0, (struct sockaddr *)&addr, size);
	}
}

static struct config_octets octets(const char *text)
{
	struct config_octets octets = {.n = strlen(text)};
	memcpy(&octets.bytes, &text, sizeof(text)); // they are only read
	return octets;
}

static void expect_udp(const char *send_text, const char *expect, bool is_pass, const char *text)
{
	static const char *const addrs[] = {"127.0.0.1", "::1"};
	for (int i = 0; i < 2; i++) {
		struct probe_lab lab;
		probe_lab_init(&lab, HEALTH_UDP);
		cr_assert(ip_addr_parse(addrs[i], &lab.backend.endpoint.addr));
		lab.pool.check.send = octets(send_text);
		if (expect)
			lab.pool.check.expect = octets(expect);
		if (strstr(text, " in 0.15 s"))
			lab.pool.health_check_timeout_ms = PROBE_LAB_SHORT_MS;
		serve_udp(&lab, "ping", "pong!");
		if (is_pass)
			probe_lab_expect_pass(&lab, text);
		else
			probe_lab_expect_failure(&lab, text);
		probe_lab_fini(&lab);
	}
}

Test(probe_udp, judges_by_the_answer)
{
	expect_udp("ping", NULL, true, "answered in ");
	expect_udp("ping", "ong", true, "answered in ");
	expect_udp("ping", "pang", false,
		   "the answer of 5 bytes does not contain what is expected");
	expect_udp("ping", "", true, "answered in ");
}

Test(probe_udp, silence_fails_unless_it_is_expected)
{
	expect_udp("hello", NULL, false, "no answer in 0.15 s");
	expect_udp("hello", "pong", false, "no answer in 0.15 s");
	expect_udp("hello", "", true, "not refused in 0.15 s");
}

Test(probe_udp, a_port_where_nobody_is_fails_whatever_is_expected)
{
	struct probe_lab lab;
	probe_lab_init(&lab, HEALTH_UDP);
	lab.backend.endpoint.port_be = htons(9);
	probe_lab_expect_failure(&lab, "port unreachable");
	lab.pool.check.expect = octets("");
	probe_lab_expect_failure(&lab, "port unreachable");
	probe_lab_fini(&lab);
}
