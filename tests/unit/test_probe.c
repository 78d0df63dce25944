// SPDX-License-Identifier: Apache-2.0
// Health checks that ask, against servers that answer well, badly, slowly, without end, or not at
// all: what they find, what they say about it, and what they leave behind.
#include "control/probe.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/http_answer.h"
#include "culvert/net/sockaddr.h"

enum { GIVE_UP_S = 30, SHORT_MS = 150, LONG_MS = 20000 };

// ---- the probe ---------------------------------------------------------------------------------

struct bench {
	struct event_base *base;
	struct config_pool pool;
	struct config_backend backend;
	struct probe probe;
	struct probe_result result;
	unsigned n_results;
	pid_t server; // 0: none
};

static void on_done(void *arg, const struct probe_result *result)
{
	struct bench *bench = arg;
	bench->result = *result;
	bench->n_results++;
}

static void bench_init(struct bench *bench, enum health_kind kind)
{
	static char name[] = "b1";
	static char path[] = "/health";
	*bench = (struct bench){.base = event_base_new()};
	cr_assert_not_null(bench->base);
	bench->pool = (struct config_pool){.health_check = kind,
					   .health_check_timeout_ms = LONG_MS,
					   .check.path = path};
	bench->backend = (struct config_backend){.name = name};
	bench->backend.endpoint.proto = IPPROTO_TCP;
	cr_assert(ip_addr_parse("127.0.0.1", &bench->backend.endpoint.addr));
	probe_init(&bench->probe, bench->base, on_done, bench);
}

static void bench_fini(struct bench *bench)
{
	probe_cancel(&bench->probe);
	event_base_free(bench->base);
	if (bench->server) {
		kill(bench->server, SIGKILL);
		waitpid(bench->server, NULL, 0);
	}
}

static void give_up(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

// Ask once, and wait for the result.
static const struct probe_result *ask(struct bench *bench)
{
	bool is_late = false;
	struct event *limit = evtimer_new(bench->base, give_up, &is_late);
	struct timeval patience = {.tv_sec = GIVE_UP_S};
	evtimer_add(limit, &patience);
	bench->n_results = 0;
	probe_start(&bench->probe, &bench->pool, &bench->backend);
	while (!bench->n_results && !is_late)
		event_base_loop(bench->base, EVLOOP_ONCE);
	event_free(limit);
	cr_assert_not(is_late, "no result");
	cr_expect_eq(bench->n_results, 1);
	cr_expect_eq(bench->probe.fd, -1, "a socket is left open");
	return &bench->result;
}

static void expect_pass(struct bench *bench, const char *text)
{
	const struct probe_result *result = ask(bench);
	cr_expect_eq(result->outcome, PROBE_PASSED, "%s", result->text);
	cr_expect_not_null(strstr(result->text, text), "%s", result->text);
}

static void expect_failure(struct bench *bench, const char *text)
{
	const struct probe_result *result = ask(bench);
	cr_expect_eq(result->outcome, PROBE_FAILED, "%s", result->text);
	cr_expect_not_null(strstr(result->text, text), "\"%s\", expected \"%s\"", result->text,
			   text);
}

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

static int listen_at(struct bench *bench)
{
	struct sockaddr_storage addr;
	struct config_backend *backend = &bench->backend;
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
static void serve(struct bench *bench, manner_fn manner, const char *answer)
{
	int listener = listen_at(bench);
	bench->server = fork();
	cr_assert_geq(bench->server, 0);
	if (bench->server == 0)
		run_server(listener, manner, answer);
	close(listener);
}

static void answer_at_once(int fd, const char *request, const char *answer)
{
	(void)request;
	say(fd, answer);
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

// ---- HTTP --------------------------------------------------------------------------------------

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
		struct bench bench;
		bench_init(&bench, HEALTH_HTTP);
		serve(&bench, answer_at_once, cases[i].answer);
		if (cases[i].failure)
			expect_failure(&bench, cases[i].failure);
		else
			expect_pass(&bench, "HTTP status ");
		bench_fini(&bench);
	}
}

Test(probe_http, statuses_can_be_said)
{
	struct bench bench;
	struct config_status_range ranges[] = {{204, 204}, {500, 599}};
	bench_init(&bench, HEALTH_HTTP);
	bench.pool.check.status = ranges;
	bench.pool.check.n_status = 2;
	serve(&bench, answer_at_once, "HTTP/1.1 200 OK\r\n\r\n");
	expect_failure(&bench, "HTTP status 200, expected 204, 500-599");
	bench_fini(&bench);
	bench_init(&bench, HEALTH_HTTP);
	bench.pool.check.status = ranges;
	bench.pool.check.n_status = 2;
	serve(&bench, answer_at_once, "HTTP/1.1 500 No\r\n\r\n");
	expect_pass(&bench, "HTTP status 500 in ");
	bench_fini(&bench);
}

static void expect_asked(enum http_method method, char *host, char *wanted)
{
	struct bench bench;
	bench_init(&bench, HEALTH_HTTP);
	bench.pool.check.method = method;
	bench.pool.check.host = host;
	bench.pool.check.body = wanted;
	serve(&bench, echo, NULL);
	if (method == HTTP_GET)
		expect_pass(&bench, "HTTP status 200");
	else
		expect_failure(&bench, "the body does not contain");
	bench_fini(&bench);
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
		struct bench bench;
		bench_init(&bench, HEALTH_HTTP);
		bench.pool.check.body = ok_text;
		serve(&bench, cases[i].manner, cases[i].answer);
		if (cases[i].failure)
			expect_failure(&bench, cases[i].failure);
		else
			expect_pass(&bench, "HTTP status 200 in ");
		bench_fini(&bench);
	}
}

Test(probe_http, a_header_that_pours_in_without_end_fails)
{
	struct bench bench;
	bench_init(&bench, HEALTH_HTTP);
	serve(&bench, pour, "A: bla bla bla bla bla bla\r\n");
	expect_failure(&bench, "the answer's header is longer than 16 KiB");
	bench_fini(&bench);
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
		struct bench bench;
		bench_init(&bench, HEALTH_HTTP);
		bench.pool.health_check_timeout_ms = SHORT_MS;
		bench.pool.check.body = ok_text;
		serve(&bench, cases[i].manner, cases[i].answer);
		expect_failure(&bench, cases[i].failure);
		cr_expect_eq(bench.result.error, ETIMEDOUT);
		bench_fini(&bench);
	}
}

Test(probe_http, a_reset_or_a_refusal_fails)
{
	struct bench bench;
	bench_init(&bench, HEALTH_HTTP);
	serve(&bench, reset, NULL);
	expect_failure(&bench, "reading the answer failed: Connection reset by peer");
	bench_fini(&bench);
	bench_init(&bench, HEALTH_HTTP);
	close(listen_at(&bench));
	expect_failure(&bench, "connect refused");
	bench_fini(&bench);
}

Test(probe_http, a_port_of_its_own_goes_before_the_backends)
{
	struct bench bench;
	bench_init(&bench, HEALTH_HTTP);
	serve(&bench, answer_at_once, "HTTP/1.1 200 OK\r\n\r\n");
	uint16_t port = ntohs(bench.backend.endpoint.port_be);
	bench.backend.endpoint.port_be = htons(1); // nobody is there
	expect_failure(&bench, "connect refused");
	bench.pool.check.port = port;
	expect_pass(&bench, "HTTP status 200");
	bench.pool.check.port = 1;
	bench.backend.check_port = port;
	expect_pass(&bench, "HTTP status 200");
	bench_fini(&bench);
}

Test(probe_http, works_over_ipv6_and_unix_sockets)
{
	static char path[] = "@culvert-test-probe";
	struct bench bench;
	bench_init(&bench, HEALTH_HTTP);
	cr_assert(ip_addr_parse("::1", &bench.backend.endpoint.addr));
	static char host_v6[] = "\r\nHost: [::1]:";
	bench.pool.check.body = host_v6;
	serve(&bench, echo, NULL);
	expect_pass(&bench, "HTTP status 200");
	bench_fini(&bench);

	static char host_unix[] = "\r\nHost: localhost\r\n";
	bench_init(&bench, HEALTH_HTTP);
	bench.backend.unix_path = path;
	bench.pool.check.body = host_unix;
	serve(&bench, echo, NULL);
	expect_pass(&bench, "HTTP status 200");
	bench_fini(&bench);
}

// And none where the check goes to a port of its own.
Test(probe_http, a_backend_that_expects_a_proxy_header_gets_one)
{
	static char v1[] = "PROXY UNKNOWN\r\nGET /health";
	struct bench bench;
	bench_init(&bench, HEALTH_HTTP);
	bench.pool.send_proxy = SEND_PROXY_V1;
	bench.pool.check.body = v1;
	serve(&bench, echo, NULL);
	expect_pass(&bench, "HTTP status 200");
	bench.pool.check.port = ntohs(bench.backend.endpoint.port_be);
	bench.backend.endpoint.port_be = htons(1);
	expect_failure(&bench, "the body does not contain \"PROXY UNKNOWN");
	bench_fini(&bench);
}

Test(probe_http, can_be_dropped_in_the_middle)
{
	struct bench bench;
	bench_init(&bench, HEALTH_HTTP);
	bench.pool.check.body = ok_text;
	serve(&bench, say_and_wait, OK_HEADER "\r\nno");
	probe_start(&bench.probe, &bench.pool, &bench.backend);
	while (!bench.probe.answer || !bench.probe.answer->has_header)
		event_base_loop(bench.base, EVLOOP_ONCE);
	probe_cancel(&bench.probe);
	cr_expect_null(bench.probe.answer);
	event_base_loop(bench.base, EVLOOP_NONBLOCK);
	cr_expect_eq(bench.n_results, 0);
	bench_fini(&bench);
}

Test(probe_tcp, a_unix_socket_whose_queue_is_full_fails)
{
	static char path[] = "@culvert-test-probe-full";
	struct bench bench;
	struct sockaddr_storage addr;
	socklen_t size = sockaddr_from_path(path, &addr);
	bench_init(&bench, HEALTH_TCP);
	bench.backend.unix_path = path;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&addr, size), 0);
	cr_assert_eq(listen(listener, 0), 0);
	cr_assert_eq(connect(filler, (struct sockaddr *)&addr, size), 0);
	expect_failure(&bench, "its listen queue is full");
	bench_fini(&bench);
	close(filler);
	close(listener);
}

// ---- UDP ---------------------------------------------------------------------------------------

// Answers `answer` to what is `question`, and nothing to anything else.
static void serve_udp(struct bench *bench, const char *question, const char *answer)
{
	struct sockaddr_storage addr;
	struct endpoint own;
	socklen_t size = sockaddr_from_endpoint(&bench->backend.endpoint, &addr);
	int fd = socket(addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, size), 0);
	getsockname(fd, (struct sockaddr *)&addr, &size);
	endpoint_from_sockaddr((struct sockaddr *)&addr, &own);
	bench->backend.endpoint.port_be = own.port_be;
	bench->server = fork();
	if (bench->server) {
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
		struct bench bench;
		bench_init(&bench, HEALTH_UDP);
		cr_assert(ip_addr_parse(addrs[i], &bench.backend.endpoint.addr));
		bench.pool.check.send = octets(send_text);
		if (expect)
			bench.pool.check.expect = octets(expect);
		if (strstr(text, " in 0.15 s"))
			bench.pool.health_check_timeout_ms = SHORT_MS;
		serve_udp(&bench, "ping", "pong!");
		if (is_pass)
			expect_pass(&bench, text);
		else
			expect_failure(&bench, text);
		bench_fini(&bench);
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
	struct bench bench;
	bench_init(&bench, HEALTH_UDP);
	bench.backend.endpoint.port_be = htons(9);
	expect_failure(&bench, "port unreachable");
	bench.pool.check.expect = octets("");
	expect_failure(&bench, "port unreachable");
	bench_fini(&bench);
}
