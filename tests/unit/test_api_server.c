// SPDX-License-Identifier: Apache-2.0
// The HTTP server of the API under good and bad clients.
#include "culvert/control/api.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/api_rig.h"

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static void check_stats(const char *answer)
{
	json_t *root = json_loads(api_rig_body(answer), 0, NULL);
	cr_expect_eq(json_integer_value(json_object_get(root, "total_connections")), 1000, "%s",
		     answer);
	json_decref(root);
}

Test(api_server, get_answers_with_the_json, .timeout = 120)
{
	struct api_rig rig;
	api_rig_open(&rig);
	const char *answer = api_rig_ask(&rig, "GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n");
	cr_expect(starts_with(answer, "HTTP/1.1 200 OK\r\n"), "%s", answer);
	cr_expect_not_null(strstr(answer, "Content-Type: application/json\r\n"), "%s", answer);
	check_stats(answer);
	answer = api_rig_ask(&rig, "GET /stats?pretty=1 HTTP/1.0\r\n\r\n");
	check_stats(answer);
	api_rig_close(&rig);
}

Test(api_server, head_answers_without_a_body, .timeout = 120)
{
	struct api_rig rig;
	api_rig_open(&rig);
	const char *answer = api_rig_ask(&rig, "HEAD /stats HTTP/1.1\r\nHost: localhost\r\n\r\n");
	cr_expect(starts_with(answer, "HTTP/1.1 200 OK\r\n"), "%s", answer);
	cr_expect_str_eq(api_rig_body(answer), "");
	cr_expect_not_null(strstr(answer, "Content-Length: "), "%s", answer);
	answer = api_rig_ask(&rig, "HEAD /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
	cr_expect(starts_with(answer, "HTTP/1.1 404 "), "%s", answer);
	cr_expect_str_eq(api_rig_body(answer), "");
	api_rig_close(&rig);
}

Test(api_server, other_paths_methods_and_sizes_are_refused, .timeout = 120)
{
	static const struct {
		const char *request;
		const char *start;
		const char *contains;
	} cases[] = {
		{"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 404 ", ""},
		{"GET /statsx HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 404 ", ""},
		{"GET /stats/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 404 ", ""},
		{"GET /../stats HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 404 ", ""},
		{"POST /stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
		 "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n"},
		{"DELETE /stats HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 405 ",
		 "Allow: GET, HEAD\r\n"},
		{"OPTIONS /stats HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 405 ",
		 "Allow: GET, HEAD\r\n"},
		{"PATCH /stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
		 "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n"},
		{"POST /stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
		 "HTTP/1.1 413 ", ""},
		{"nonsense\r\n\r\n", "HTTP/1.1 400 ", ""},
	};
	struct api_rig rig;
	api_rig_open(&rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *answer = api_rig_ask(&rig, cases[i].request);
		cr_expect(starts_with(answer, cases[i].start), "%s -> %s", cases[i].request,
			  answer);
		cr_expect_not_null(strstr(answer, cases[i].contains), "%s -> %s", cases[i].request,
				   answer);
	}
	api_rig_close(&rig);
}

Test(api_server, says_so_when_nothing_can_be_gathered, .timeout = 120)
{
	struct api_rig rig;
	api_rig_open(&rig);
	rig.gather_code = -ENOMEM;
	const char *answer = api_rig_ask(&rig, "GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n");
	cr_expect(starts_with(answer, "HTTP/1.1 503 "), "%s", answer);
	api_rig_close(&rig);
}

Test(api_server, a_taken_port_is_an_error_with_its_address)
{
	struct api_rig rig;
	struct api_rig other;
	struct err err = {0};
	api_rig_open(&rig);
	api_rig_init(&other);
	other.config.stats_listen_addr = rig.config.stats_listen_addr;
	other.config.stats_port = rig.config.stats_port;
	cr_expect_eq(api_start(&other.api, other.base, &other.source, &err), -EADDRINUSE);
	cr_expect_not_null(strstr(err.message, "127.0.0.1:"), "%s", err.message);
	cr_expect_null(other.api);
	api_stop(NULL);
	api_rig_fini(&other);
	api_rig_close(&rig);
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

enum { N_IDLE = 200, MAX_CONNS = 64 };

static void dial_many(const struct api_rig *rig, int *fds, const char *first_bytes)
{
	for (int i = 0; i < N_IDLE; i++) {
		fds[i] = api_rig_dial(rig, false);
		// Some connect only once others have gone; what cannot be sent yet is not needed.
		if (*first_bytes)
			(void)send(fds[i], first_bytes, strlen(first_bytes), MSG_NOSIGNAL);
	}
}

static void hang_up(const int *fds)
{
	for (int i = 0; i < N_IDLE; i++)
		close(fds[i]);
}

// More clients than places, none of which ever asks for anything: the server holds no more than
// its limit, and still answers the next one.
static void check_idle_clients(const char *first_bytes)
{
	struct api_rig rig;
	int fds[N_IDLE];
	api_rig_open(&rig);
	unsigned n_before = count_fds();
	dial_many(&rig, fds, first_bytes);
	check_stats(api_rig_ask(&rig, "GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n"));
	// One that has just made room may still be closing.
	unsigned n_more = count_fds() - n_before;
	cr_expect_leq(n_more, N_IDLE + MAX_CONNS + 2, "%u descriptors", n_more);
	hang_up(fds);
	api_rig_close(&rig);
}

Test(api_server, answers_among_silent_clients, .timeout = 120)
{
	check_idle_clients("");
}

Test(api_server, answers_among_clients_that_stop_in_mid_request, .timeout = 120)
{
	check_idle_clients("GET /stats HT");
}

Test(api_server, serves_many_clients_one_after_another, .timeout = 120)
{
	struct api_rig rig;
	api_rig_open(&rig);
	for (int i = 0; i < 3 * MAX_CONNS; i++)
		cr_assert(starts_with(api_rig_ask(&rig,
						  "GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n"),
				      "HTTP/1.1 200 "),
			  "request %d", i);
	api_rig_close(&rig);
}

// One byte now and then keeps a connection from ever being idle; its life ends nevertheless.
Test(api_server, ends_connections_that_trickle, .timeout = 120)
{
	struct api_rig rig;
	api_rig_open(&rig);
	int fd = api_rig_dial(&rig, false);
	api_rig_await(fd, POLLOUT);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	int n_bytes = 0;
	while (send(fd, "x", 1, MSG_NOSIGNAL) == 1 && poll(&poll_fd, 1, 500) == 0)
		n_bytes++;
	cr_expect_gt(n_bytes, 10, "ended by the idle timeout");
	cr_expect_lt(n_bytes, 60);
	close(fd);
	api_rig_close(&rig);
}

Test(api_server, waits_out_a_lack_of_descriptors, .timeout = 120)
{
	struct api_rig rig;
	struct rlimit before;
	api_rig_open(&rig);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(rig.config.stats_port)};
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	struct rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	static const char request[] = "GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n";
	cr_assert_eq(send(client, request, strlen(request), MSG_NOSIGNAL),
		     (ssize_t)strlen(request));
	struct pollfd poll_fd = {.fd = client, .events = POLLIN};
	cr_expect_eq(poll(&poll_fd, 1, 3000), 0, "accepted without a descriptor");
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	api_rig_await(client, POLLIN);
	close(client);
	api_rig_close(&rig);
	// Not speed: a loop that spins on the failing accept would have used all three seconds.
	cr_expect_lt(rig.cpu_ns, 1000000000, "%ju ns of processor time", rig.cpu_ns);
}

// Half a connection is enough to be answered on.
Test(api_server, answers_who_has_said_his_end, .timeout = 120)
{
	static const char request[] = "GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n";
	char start[16] = "";
	struct api_rig rig;
	api_rig_open(&rig);
	int fd = api_rig_dial(&rig, false);
	api_rig_await(fd, POLLOUT);
	cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	api_rig_await(fd, POLLIN);
	cr_assert_gt(read(fd, start, sizeof(start) - 1), 12);
	cr_expect(starts_with(start, "HTTP/1.1 200 "), "%s", start);
	close(fd);
	api_rig_close(&rig);
}

static unsigned count_answers(const char *text)
{
	unsigned n = 0;
	for (; (text = strstr(text, "HTTP/1.1 ")); text++)
		n++;
	return n;
}

Test(api_server, one_request_per_connection_however_many_are_sent, .timeout = 120)
{
	static const char requests[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
				       "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
				       "POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct api_rig rig;
	api_rig_open(&rig);
	cr_expect_eq(count_answers(api_rig_ask(&rig, requests)), 1);
	api_rig_close(&rig);
}

Test(api_server, refuses_what_is_no_request_and_goes_on, .timeout = 120)
{
	static char long_headers[20000] = "GET /stats HTTP/1.1\r\nX: ";
	static char long_path[10000] = "GET /";
	static const char *const bad[] = {
		"\r\n\r\n",
		"GET\r\n\r\n",
		"GET /stats\r\n\r\n",
		"GET stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /stats HTTP/9.9\r\nHost: localhost\r\n\r\n",
		"GET /stats HTTP/1.1\r\nno colon\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"BREW /stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
		"POST /stats HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST /stats HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x16\x03\x01\x02\r\n\r\n",
		long_headers,
		long_path,
	};
	struct api_rig rig;
	memset(long_headers + strlen(long_headers), 'x', 19000);
	strcat(long_headers, "\r\n\r\n");
	memset(long_path + strlen(long_path), 'x', 9000);
	strcat(long_path, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
	api_rig_open(&rig);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *answer = api_rig_ask(&rig, bad[i]);
		cr_expect(!strstr(answer, " 200 "), "%.60s -> %s", bad[i], answer);
		check_stats(api_rig_ask(&rig, "GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n"));
	}
	api_rig_close(&rig);
}
