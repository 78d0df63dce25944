// SPDX-License-Identifier: Apache-2.0
// Health checks by HTTP, against servers that answer well, badly, slowly, without end, or not at
// all: what they find, what they say about it, and what they leave behind.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/http_answer.h"
#include "culvert/net/sockaddr.h"
#include "lib/probe_lab.h"

// ---- servers -----------------------------------------------------------------------------------

// What a server does with a connection; it is closed afterwards.
typedef void (*manner_fn)(int fd, const char *request, const char *answer);

static void say(int fd, const char *text)
{
	(void)!write(fd, text, strlen(text));
}

static void read_request(int fd, char *request, size_t size)
{
	size_t used = 0;
	while (used < size - 1) {
		ssize_t n = read(fd, request + used, size - 1 - used);
		if (n <= 0)
			break;
		used += (size_t)n;
		request[used] = '\0';
		if (strstr(request, "\r\n\r\n"))
			return;
	}
}

static void run_server(int listener, manner_fn manner, const char *answer)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		char request[4096] = "";
		int fd = accept(listener, NULL, NULL);
		read_request(fd, request, sizeof(request));
		manner(fd, request, answer);
		close(fd);
	}
}

static int listen_at(struct probe_lab *lab)
{
	struct sockaddr_storage addr;
	struct config_backend *backend = &lab->backend;
	socklen_t size = backend->unix_path ? sockaddr_from_path(backend->unix_path, &addr)
					    : sockaddr_from_endpoint(&backend->endpoint, &addr);
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, size), 0, "%s", strerror(errno));
	cr_assert_eq(listen(fd, 16), 0);
	if (!backend->unix_path) {
		struct endpoint own;
		size = sizeof(addr);
		getsockname(fd, (struct sockaddr *)&addr, &size);
		endpoint_from_sockaddr((struct sockaddr *)&addr, &own);
		backend->endpoint.port_be = own.port_be;
	}
	return fd;
}

// A process of its own: it may be as slow as it likes.
static void serve(struct probe_lab *lab, manner_fn manner, const char *answer)
{
	int listener = listen_at(lab);
	lab->server = fork();
	cr_assert_geq(lab->server, 0);
	if (lab->server == 0)
		run_server(listener, manner, answer);
	close(listener);
}

static void answer_at_once(int fd, const char *request, const char *answer)
{
	(void)request;
	say(fd, answer);
}

static void answer_later(int fd, const char *request, const char *answer)
{
	usleep(300000);
	answer_at_once(fd, request, answer);
}

// The request, as the body: what was asked can be looked for.
static void echo(int fd, const char *request, const char *answer)
{
	(void)answer;
	say(fd, "HTTP/1.1 200 OK\r\n\r\n");
	say(fd, request);
}

static void say_and_wait(int fd, const char *request, const char *answer)
{
	(void)request;
	say(fd, answer);
	pause();
}

static void half_close_and_wait(int fd, const char *request, const char *answer)
{
	(void)request;
	say(fd, answer);
	shutdown(fd, SHUT_WR);
	pause();
}

static void drip(int fd, const char *request, const char *answer)
{
	(void)request;
	for (; *answer; answer++) {
		(void)!write(fd, answer, 1);
		usleep(20000);
	}
}

static void pour(int fd, const char *request, const char *answer)
{
	(void)request;
	ssize_t n;
	say(fd, "HTTP/1.1 200 OK\r\n");
	do
		n = write(fd, answer, strlen(answer));
	while (n > 0);
}

static void reset(int fd, const char *request, const char *answer)
{
	static const struct linger reset_on_close = {.l_onoff = 1, .l_linger = 0};
	(void)request;
	(void)answer;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset_on_close, sizeof(reset_on_close));
}

// ---- checks
// --------------------------------------------------------------------------------------

#define OK_HEADER "HTTP/1.1 200 OK\r\n"

static char ok_text[] = "well";

Test(probe_http, judges_by_the_status)
{
	static const struct {
		const char *answer;
		const char *failure; // NULL: it passes
	} cases[] = {
		{"HTTP/1.1 200 OK\r\n\r\n", NULL},
		{"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", NULL},
		{"HTTP/1.0 404 Not Found\r\n\r\n", "HTTP status 404, expected 200-399"},
		{"HTTP/1.1 503 Unavailable\r\n\r\n", "HTTP status 503, expected 200-399"},
		{"220 mail.example ESMTP\r\n", "the answer is not HTTP/1"},
		{"", "the connection ended without an answer"},
		{"HTTP/1.1 200 OK\r\nA:", "the connection ended within the answer's header"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct probe_lab lab;
		probe_lab_init(&lab, HEALTH_HTTP);
		serve(&lab, answer_at_once, cases[i].answer);
		if (cases[i].failure)
			probe_lab_expect_failure(&lab, cases[i].failure);
		else
			probe_lab_expect_pass(&lab, "HTTP status ");
		probe_lab_fini(&lab);
	}
}

Test(probe_http, statuses_can_be_said)
{
	struct probe_lab lab;
	struct config_status_range ranges[] = {{204, 204}, {500, 599}};
	probe_lab_init(&lab, HEALTH_HTTP);
	lab.pool.check.status = ranges;
	lab.pool.check.n_status = 2;
	serve(&lab, answer_at_once, "HTTP/1.1 200 OK\r\n\r\n");
	probe_lab_expect_failure(&lab, "HTTP status 200, expected 204, 500-599");
	probe_lab_fini(&lab);
	probe_lab_init(&lab, HEALTH_HTTP);
	lab.pool.check.status = ranges;
	lab.pool.check.n_status = 2;
	serve(&lab, answer_at_once, "HTTP/1.1 500 No\r\n\r\n");
	probe_lab_expect_pass(&lab, "HTTP status 500 in ");
	probe_lab_fini(&lab);
}

static void expect_asked(enum http_method method, char *host, char *wanted)
{
	struct probe_lab lab;
	probe_lab_init(&lab, HEALTH_HTTP);
	lab.pool.check.method = method;
	lab.pool.check.host = host;
	lab.pool.check.body = wanted;
	serve(&lab, echo, NULL);
	if (method == HTTP_GET)
		probe_lab_expect_pass(&lab, "HTTP status 200");
	else
		probe_lab_expect_failure(&lab, "the body does not contain");
	probe_lab_fini(&lab);
}

Test(probe_http, asks_what_the_configuration_says)
{
	static char by_default[] = "GET /health HTTP/1.1\r\nHost: 127.0.0.1:";
	static char by_name[] = "GET /health HTTP/1.1\r\nHost: www.example\r\nUser-Agent: culvert/";
	static char name[] = "www.example";
	expect_asked(HTTP_GET, NULL, by_default);
	expect_asked(HTTP_GET, name, by_name);
	expect_asked(HTTP_HEAD, NULL, by_default); // whose answer has no body
}

Test(probe_http, looks_for_a_text_in_the_body)
{
	static const struct {
		manner_fn manner;
		const char *answer;
		const char *failure;
	} cases[] = {
		{answer_at_once, OK_HEADER "\r\nall is well here", NULL},
		{say_and_wait, OK_HEADER "\r\nall is well here", NULL},
		{half_close_and_wait, OK_HEADER "\r\nall is well here", NULL},
		{drip, OK_HEADER "\r\nall is well", NULL},
		{answer_at_once, OK_HEADER "\r\nall is we", "the body does not contain \"well\""},
		{half_close_and_wait, OK_HEADER "\r\nno", "the body does not contain \"well\""},
		{say_and_wait, OK_HEADER "Content-Length: 2\r\n\r\nno",
		 "the body does not contain \"well\""},
		{say_and_wait, "HTTP/1.1 500 No\r\n\r\nwell", "HTTP status 500, expected 200-399"},
		{pour, "\r\nbla bla bla ", "the body's first 64 KiB do not contain \"well\""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct probe_lab lab;
		probe_lab_init(&lab, HEALTH_HTTP);
		lab.pool.check.body = ok_text;
		serve(&lab, cases[i].manner, cases[i].answer);
		if (cases[i].failure)
			probe_lab_expect_failure(&lab, cases[i].failure);
		else
			probe_lab_expect_pass(&lab, "HTTP status 200 in ");
		probe_lab_fini(&lab);
	}
}

Test(probe_http, a_header_that_pours_in_without_end_fails)
{
	struct probe_lab lab;
	probe_lab_init(&lab, HEALTH_HTTP);
	serve(&lab, pour, "A: bla bla bla bla bla bla\r\n");
	probe_lab_expect_failure(&lab, "the answer's header is longer than 16 KiB");
	probe_lab_fini(&lab);
}

// Every byte is in time; all of them together are not.
Test(probe_http, patience_is_for_the_whole_answer)
{
	static const struct {
		manner_fn manner;
		const char *answer;
		const char *failure;
	} cases[] = {
		{drip, "HTTP/1.1 200 OK and nothing else to say for a long time\r\n\r\n",
		 "the answer's header was not whole in 0.15 s"},
		{say_and_wait, "HTTP/1.1 200", "the answer's header was not whole in 0.15 s"},
		{say_and_wait, "", "no answer in 0.15 s"},
		{say_and_wait, OK_HEADER "\r\nno",
		 "the answer's body was not whole in 0.15 s, nor had it \"well\""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct probe_lab lab;
		probe_lab_init(&lab, HEALTH_HTTP);
		lab.pool.health_check_timeout_ms = PROBE_LAB_SHORT_MS;
		lab.pool.check.body = ok_text;
		serve(&lab, cases[i].manner, cases[i].answer);
		probe_lab_expect_failure(&lab, cases[i].failure);
		cr_expect_eq(lab.result.error, ETIMEDOUT);
		probe_lab_fini(&lab);
	}
}

Test(probe_http, a_reset_or_a_refusal_fails)
{
	struct probe_lab lab;
	probe_lab_init(&lab, HEALTH_HTTP);
	serve(&lab, reset, NULL);
	probe_lab_expect_failure(&lab, "reading the answer failed: Connection reset by peer");
	probe_lab_fini(&lab);
	probe_lab_init(&lab, HEALTH_HTTP);
	close(listen_at(&lab));
	probe_lab_expect_failure(&lab, "connect refused");
	probe_lab_fini(&lab);
}

Test(probe_http, a_port_of_its_own_goes_before_the_backends)
{
	struct probe_lab lab;
	probe_lab_init(&lab, HEALTH_HTTP);
	serve(&lab, answer_at_once, "HTTP/1.1 200 OK\r\n\r\n");
	uint16_t port = ntohs(lab.backend.endpoint.port_be);
	lab.backend.endpoint.port_be = htons(1); // nobody is there
	probe_lab_expect_failure(&lab, "connect refused");
	lab.pool.check.port = port;
	probe_lab_expect_pass(&lab, "HTTP status 200");
	lab.pool.check.port = 1;
	lab.backend.check_port = port;
	probe_lab_expect_pass(&lab, "HTTP status 200");
	probe_lab_fini(&lab);
}

Test(probe_http, works_over_ipv6_and_unix_sockets)
{
	static char path[] = "@culvert-test-probe";
	struct probe_lab lab;
	probe_lab_init(&lab, HEALTH_HTTP);
	cr_assert(ip_addr_parse("::1", &lab.backend.endpoint.addr));
	static char host_v6[] = "\r\nHost: [::1]:";
	lab.pool.check.body = host_v6;
	serve(&lab, echo, NULL);
	probe_lab_expect_pass(&lab, "HTTP status 200");
	probe_lab_fini(&lab);

	static char host_unix[] = "\r\nHost: localhost\r\n";
	probe_lab_init(&lab, HEALTH_HTTP);
	lab.backend.unix_path = path;
	lab.pool.check.body = host_unix;
	serve(&lab, echo, NULL);
	probe_lab_expect_pass(&lab, "HTTP status 200");
	probe_lab_fini(&lab);
}

// And none where the check goes to a port of its own.
Test(probe_http, a_backend_that_expects_a_proxy_header_gets_one)
{
	static char v1[] = "PROXY UNKNOWN\r\nGET /health";
	struct probe_lab lab;
	probe_lab_init(&lab, HEALTH_HTTP);
	lab.pool.send_proxy = SEND_PROXY_V1;
	lab.pool.check.body = v1;
	serve(&lab, echo, NULL);
	probe_lab_expect_pass(&lab, "HTTP status 200");
	lab.pool.check.port = ntohs(lab.backend.endpoint.port_be);
	lab.backend.endpoint.port_be = htons(1);
	probe_lab_expect_failure(&lab, "the body does not contain \"PROXY UNKNOWN");
	probe_lab_fini(&lab);
}

Test(probe_http, can_be_dropped_in_the_middle)
{
	struct probe_lab lab;
	probe_lab_init(&lab, HEALTH_HTTP);
	lab.pool.check.body = ok_text;
	serve(&lab, say_and_wait, OK_HEADER "\r\nno");
	probe_start(&lab.probe, &lab.pool, &lab.backend);
	while (!lab.probe.answer || !lab.probe.answer->has_header)
		event_base_loop(lab.base, EVLOOP_ONCE);
	probe_cancel(&lab.probe);
	cr_expect_null(lab.probe.answer);
	event_base_loop(lab.base, EVLOOP_NONBLOCK);
	cr_expect_eq(lab.n_results, 0);
	probe_lab_fini(&lab);
}

Test(probe_http, who_hears_late_of_the_connect_gives_time_to_answer_all_the_same)
{
	struct probe_lab lab;
	probe_lab_init(&lab, HEALTH_HTTP);
	serve(&lab, answer_later, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	lab.pool.health_check_timeout_ms = 2000;
	lab.busy_after_ms = 2100;
	probe_lab_expect_pass(&lab, "HTTP status 200");
	probe_lab_fini(&lab);
}
