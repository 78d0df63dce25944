// SPDX-License-Identifier: Apache-2.0
// The statistics as JSON, and the HTTP server around it under good and bad clients.
#include "culvert/balance/registry.h"
#include "culvert/control/stats.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// Two pools of two and one backends, two frontends. The first pool is up, the second one is not.
struct bench {
	struct config_backend backends[3];
	struct config_pool pools[2];
	struct config_frontend frontends[2];
	struct config config;
	struct event_base *base;
	struct registry *registry;
	struct stats_source source;
	struct stats_server *server;
	uint16_t port;
	int gather_code;
	enum mode mode; // what gather() gives; 0 is proxy mode
	pthread_t thread;
	atomic_bool is_over; // w: test, r: server thread
	uint64_t cpu_ns;     // w: server thread, r: test after the join
};

static int gather_sessions(struct stats *all)
{
	struct proxy_stats *stats = &all->sessions;
	all->mode = MODE_PROXY;
	stats->n_frontends = 2;
	stats->frontends = calloc(2, sizeof(*stats->frontends));
	stats->n_backends = 3;
	stats->backends = calloc(3, sizeof(*stats->backends));
	cr_assert(stats->frontends && stats->backends);
	stats->accepted = 12;
	stats->accept_pauses = 3;
	stats->total = (struct traffic){.total_connections = 12, .current_connections = 2};
	stats->ends[SESSION_END_COMPLETED] = 9;
	stats->ends[SESSION_END_IDLE] = 1;
	stats->frontends[0].traffic = stats->total;
	stats->frontends[0].ends[SESSION_END_COMPLETED] = 9;
	stats->frontends[0].session_time.buckets[0] = 4;
	stats->frontends[0].session_time.buckets[HISTOGRAM_BOUNDS] = 5;
	stats->frontends[0].session_time.sum_us = 1500;
	stats->backends[1].traffic.bytes_rx = 99;
	stats->backends[1].connects[CONNECT_REFUSED] = 7;
	stats->backends[1].connect_time.buckets[1] = 6;
	return 0;
}

static int gather(void *arg, struct stats *all)
{
	const struct bench *bench = arg;
	struct packet_stats *stats = &all->packets;
	if (bench->gather_code)
		return bench->gather_code;
	if (bench->mode == MODE_PROXY)
		return gather_sessions(all);
	all->mode = MODE_PASSTHROUGH;
	stats->n_frontends = 2;
	stats->frontends = calloc(2, sizeof(*stats->frontends));
	stats->n_backends = 3;
	stats->backends = calloc(3, sizeof(*stats->backends));
	cr_assert(stats->frontends && stats->backends);
	stats->total = (struct traffic){.total_connections = 1000,
					.current_connections = 10,
					.bytes_tx = 1ULL << 40,
					.bytes_rx = 77};
	stats->frontends[1] = (struct traffic){.total_connections = 5, .bytes_rx = 6};
	for (size_t i = 0; i < 3; i++)
		stats->backends[i] = (struct traffic){.total_connections = 1 + i,
						      .current_connections = 10 * (1 + i),
						      .bytes_tx = 100 * (1 + i),
						      .bytes_rx = 1000 * (1 + i)};
	stats->received = 60;
	stats->verdicts[VERDICT_FORWARDED] = 40;
	stats->verdicts[VERDICT_PASSED] = 5;
	stats->verdicts[VERDICT_DROP_NO_FLOW] = 11;
	stats->verdicts[VERDICT_DROP_TX_ERROR] = 4;
	stats->generated = 3;
	stats->kernel_dropped = 2;
	stats->suppressed = 4;
	stats->held = 6;
	stats->flows = 20;
	stats->flow_capacity = 4096;
	stats->flows_reclaimed = 1;
	return 0;
}

static void set_backend(struct config_backend *backend, const char *endpoint)
{
	cr_assert(endpoint_parse(endpoint, &backend->endpoint));
	backend->endpoint.proto = IPPROTO_TCP;
}

static void bench_init(struct bench *bench)
{
	static char web[] = "web";
	static char db[] = "db";
	static char names[3][3] = {"s1", "s2", "s3"};
	static char plain[] = "plain";
	static char secure[] = "secure";
	*bench = (struct bench){.mode = MODE_PASSTHROUGH};
	for (int i = 0; i < 3; i++)
		bench->backends[i].name = names[i];
	set_backend(&bench->backends[0], "10.0.0.1:80");
	set_backend(&bench->backends[1], "10.0.0.2:8080");
	set_backend(&bench->backends[2], "[::1]:1");
	bench->pools[0] =
		(struct config_pool){.name = web, .backends = bench->backends, .n_backends = 2};
	bench->pools[1] = (struct config_pool){.name = db,
					       .backends = bench->backends + 2,
					       .n_backends = 1,
					       .health_check = HEALTH_TCP,
					       .health_check_interval_ms = 3600000,
					       .health_check_timeout_ms = 1000,
					       .rise = 1,
					       .fall = 1};
	bench->frontends[0] = (struct config_frontend){.name = plain};
	bench->frontends[1] = (struct config_frontend){.name = secure, .pool = 1};
	bench->config = (struct config){.frontends = bench->frontends,
					.n_frontends = 2,
					.pools = bench->pools,
					.n_pools = 2};
	bench->config.passthrough.maglev_table_size = 251;
	bench->base = event_base_new();
	cr_assert(bench->base);
	cr_assert_eq(registry_create(&bench->registry, &bench->config, 1, 1, NULL), 0);
	registry_set_up(bench->registry, 0, true);
	registry_set_up(bench->registry, 1, true);
	bench->source =
		(struct stats_source){.registry = bench->registry, .gather = gather, .arg = bench};
}

static void bench_fini(struct bench *bench)
{
	registry_destroy(bench->registry);
	event_base_free(bench->base);
}

// ---- the JSON ----------------------------------------------------------------------------------

static const char expected_json[] =
	"{'total_connections': 1000, 'current_connections': 10,"
	" 'total_bytes_tx': 1099511627776, 'total_bytes_rx': 77,"
	" 'backends': {"
	"  'web': {'total_connections': 3, 'current_connections': 30,"
	"   'bytes_tx': 300, 'bytes_rx': 3000,"
	"   'servers': {'10.0.0.1:80': true, '10.0.0.2:8080': true},"
	"   'server_stats': {"
	"    's1': {'addr': '10.0.0.1:80', 'total_connections': 1, 'current_connections': 10,"
	"     'bytes_tx': 100, 'bytes_rx': 1000},"
	"    's2': {'addr': '10.0.0.2:8080', 'total_connections': 2, 'current_connections': 20,"
	"     'bytes_tx': 200, 'bytes_rx': 2000}}},"
	"  'db': {'total_connections': 3, 'current_connections': 30,"
	"   'bytes_tx': 300, 'bytes_rx': 3000, 'servers': {'[::1]:1': false},"
	"   'server_stats': {"
	"    's3': {'addr': '[::1]:1', 'total_connections': 3, 'current_connections': 30,"
	"     'bytes_tx': 300, 'bytes_rx': 3000}}}},"
	" 'frontends': {"
	"  'plain': {'total_connections': 0, 'current_connections': 0,"
	"   'bytes_tx': 0, 'bytes_rx': 0},"
	"  'secure': {'total_connections': 5, 'current_connections': 0,"
	"   'bytes_tx': 0, 'bytes_rx': 6}},"
	" 'packets': {'received': 60, 'forwarded': 40, 'passed': 5, 'dropped': 15,"
	"  'held': 6, 'generated': 3, 'suppressed': 4, 'kernel_dropped': 2},"
	" 'flows': {'current': 20, 'capacity': 4096, 'reclaimed': 1}}";

// What `text` holds apart from "drops", whose keys come from the list of verdicts.
static void check_json(const char *text)
{
	char quoted[sizeof(expected_json)];
	memcpy(quoted, expected_json, sizeof(quoted));
	for (char *c = strchr(quoted, '\''); c; c = strchr(c, '\''))
		*c = '"';
	json_error_t error;
	json_t *expected = json_loads(quoted, 0, &error);
	cr_assert(expected, "%s", error.text);
	json_t *actual = json_loads(text, 0, &error);
	cr_assert(actual, "%s: %s", error.text, text);
	json_t *drops = json_incref(json_object_get(actual, "drops"));
	json_object_del(actual, "drops");
	cr_expect(json_equal(expected, actual), "%s", text);

	size_t n_drops = 0;
	json_int_t sum = 0;
	for (unsigned v = VERDICT_PASSED + 1; v < N_VERDICTS; v++) {
		json_t *count = json_object_get(drops, verdict_name((enum verdict)v));
		cr_expect(json_is_integer(count), "%s", verdict_name((enum verdict)v));
		sum += json_integer_value(count);
		n_drops++;
	}
	cr_expect_eq(json_object_size(drops), n_drops);
	cr_expect_eq(sum, 15);
	json_decref(drops);
	json_decref(actual);
	json_decref(expected);
}

Test(stats, json_has_every_key_and_pools_are_sums)
{
	struct bench bench;
	struct stats stats = {0};
	bench_init(&bench);
	gather(&bench, &stats);
	char *text = stats_to_json(&bench.source, &stats);
	cr_assert(text);
	check_json(text);
	free(text);
	stats_fini(&stats);
	cr_expect_null(stats.packets.backends);
	bench_fini(&bench);
}

Test(stats, json_without_traffic_has_the_same_keys)
{
	struct bench bench;
	struct stats stats = {.mode = MODE_PASSTHROUGH};
	bench_init(&bench);
	char *text = stats_to_json(&bench.source, &stats);
	cr_assert(text);
	json_t *root = json_loads(text, 0, NULL);
	cr_assert(root);
	cr_expect_eq(json_object_size(json_object_get(root, "frontends")), 2);
	cr_expect_eq(json_object_size(json_object_get(root, "backends")), 2);
	cr_expect_gt(json_object_size(json_object_get(root, "drops")), 10);
	json_decref(root);
	free(text);
	bench_fini(&bench);
}

// The number at a path of keys, "a/b/c".
static json_int_t number_at(json_t *root, const char *path)
{
	char copy[128];
	char *rest = copy;
	snprintf(copy, sizeof(copy), "%s", path);
	for (char *key = strtok_r(copy, "/", &rest); key; key = strtok_r(NULL, "/", &rest))
		root = json_object_get(root, key);
	cr_assert(json_is_integer(root), "%s", path);
	return json_integer_value(root);
}

Test(stats, json_of_proxy_mode_tells_sessions_and_connects)
{
	struct bench bench;
	struct stats stats = {0};
	bench_init(&bench);
	bench.mode = MODE_PROXY;
	gather(&bench, &stats);
	char *text = stats_to_json(&bench.source, &stats);
	cr_assert(text);
	json_t *root = json_loads(text, 0, NULL);
	cr_assert(root);
	cr_expect_eq(number_at(root, "sessions/accepted"), 12);
	cr_expect_eq(number_at(root, "sessions/current"), 2);
	cr_expect_eq(number_at(root, "sessions/accept_pauses"), 3);
	cr_expect_eq(number_at(root, "sessions/ends/completed"), 9);
	cr_expect_eq(number_at(root, "sessions/ends/idle_timeout"), 1);
	cr_expect_eq(number_at(root, "frontends/plain/ends/completed"), 9);
	cr_expect_eq(number_at(root, "frontends/plain/session_time/count"), 9);
	cr_expect_eq(number_at(root, "frontends/plain/session_time/buckets_ms/0.1"), 4);
	cr_expect_eq(number_at(root, "frontends/plain/session_time/buckets_ms/inf"), 5);
	cr_expect_eq(number_at(root, "backends/web/server_stats/s2/bytes_rx"), 99);
	cr_expect_eq(number_at(root, "backends/web/server_stats/s2/connects/refused"), 7);
	cr_expect_eq(number_at(root, "backends/web/server_stats/s2/connect_time/buckets_ms/0.25"),
		     6);
	cr_expect_null(json_object_get(root, "packets"));
	json_decref(root);
	free(text);
	stats_fini(&stats);
	bench_fini(&bench);
}

Test(verdict, every_one_has_a_name_and_a_text)
{
	for (unsigned v = 0; v < N_VERDICTS; v++) {
		cr_expect(verdict_name((enum verdict)v)[0]);
		cr_expect(verdict_text((enum verdict)v)[0]);
		for (unsigned w = 0; w < v; w++)
			cr_expect_str_neq(verdict_name((enum verdict)v),
					  verdict_name((enum verdict)w));
	}
	cr_expect_str_eq(verdict_name(VERDICT_DROP_NO_FLOW), "no_flow");
}

// ---- the server, in a thread of its own --------------------------------------------------------

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct bench *bench = arg;
	if (atomic_load(&bench->is_over))
		event_base_loopbreak(bench->base);
}

static void *run_loop(void *arg)
{
	struct bench *bench = arg;
	struct timeval period = {.tv_usec = 20000};
	struct timespec used;
	struct event *tick = event_new(bench->base, -1, EV_PERSIST, on_tick, bench);
	event_add(tick, &period);
	event_base_dispatch(bench->base);
	event_free(tick);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	bench->cpu_ns = (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
	return NULL;
}

static uint16_t find_free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t size = sizeof(addr);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &size), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static void server_open(struct bench *bench)
{
	struct ip_addr addr;
	struct err err = {0};
	bench_init(bench);
	ip_addr_parse("127.0.0.1", &addr);
	bench->port = find_free_port();
	cr_assert_eq(stats_server_start(&bench->server, bench->base, &addr, bench->port,
					&bench->source, &err),
		     0, "%s", err.message);
	cr_assert_eq(pthread_create(&bench->thread, NULL, run_loop, bench), 0);
}

static void server_close(struct bench *bench)
{
	atomic_store(&bench->is_over, true);
	pthread_join(bench->thread, NULL);
	stats_server_stop(bench->server);
	bench_fini(bench);
}

static int dial(const struct bench *bench)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(bench->port)};
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_geq(fd, 0);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		cr_assert_eq(errno, EINPROGRESS);
	return fd;
}

static void await_fd(int fd, short events)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};
	cr_assert_eq(poll(&poll_fd, 1, 60000), 1, "no answer");
}

// Send `request` and read until the server closes. Returns a static buffer.
static const char *ask(const struct bench *bench, const char *request)
{
	static char answer[65536];
	size_t size = 0;
	int fd = dial(bench);
	await_fd(fd, POLLOUT);
	cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	for (;;) {
		await_fd(fd, POLLIN);
		ssize_t n = read(fd, answer + size, sizeof(answer) - 1 - size);
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	close(fd);
	answer[size] = '\0';
	return answer;
}

static const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");
	return end ? end + 4 : "";
}

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

Test(stats_server, get_answers_with_the_json, .timeout = 120)
{
	struct bench bench;
	server_open(&bench);
	const char *answer = ask(&bench, "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n");
	cr_expect(starts_with(answer, "HTTP/1.1 200 OK\r\n"), "%s", answer);
	cr_expect_not_null(strstr(answer, "Content-Type: application/json\r\n"), "%s", answer);
	check_json(body_of(answer));
	answer = ask(&bench, "GET /stats?pretty=1 HTTP/1.0\r\n\r\n");
	check_json(body_of(answer));
	server_close(&bench);
}

Test(stats_server, head_answers_without_a_body, .timeout = 120)
{
	struct bench bench;
	server_open(&bench);
	const char *answer = ask(&bench, "HEAD /stats HTTP/1.1\r\nHost: x\r\n\r\n");
	cr_expect(starts_with(answer, "HTTP/1.1 200 OK\r\n"), "%s", answer);
	cr_expect_str_eq(body_of(answer), "");
	cr_expect_not_null(strstr(answer, "Content-Length: "), "%s", answer);
	answer = ask(&bench, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
	cr_expect(starts_with(answer, "HTTP/1.1 404 "), "%s", answer);
	cr_expect_str_eq(body_of(answer), "");
	server_close(&bench);
}

Test(stats_server, other_paths_methods_and_sizes_are_refused, .timeout = 120)
{
	static const struct {
		const char *request;
		const char *start;
		const char *contains;
	} cases[] = {
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ", ""},
		{"GET /statsx HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ", ""},
		{"GET /stats/ HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ", ""},
		{"GET /../stats HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ", ""},
		{"POST /stats HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 405 ",
		 "Allow: GET, HEAD\r\n"},
		{"DELETE /stats HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 ",
		 "Allow: GET, HEAD\r\n"},
		{"OPTIONS /stats HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 ",
		 "Allow: GET, HEAD\r\n"},
		{"PATCH /stats HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 ",
		 "Allow: GET, HEAD\r\n"},
		{"POST /stats HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
		 "HTTP/1.1 413 ", ""},
		{"nonsense\r\n\r\n", "HTTP/1.1 400 ", ""},
	};
	struct bench bench;
	server_open(&bench);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *answer = ask(&bench, cases[i].request);
		cr_expect(starts_with(answer, cases[i].start), "%s -> %s", cases[i].request,
			  answer);
		cr_expect_not_null(strstr(answer, cases[i].contains), "%s -> %s", cases[i].request,
				   answer);
	}
	server_close(&bench);
}

Test(stats_server, says_so_when_nothing_can_be_gathered, .timeout = 120)
{
	struct bench bench;
	server_open(&bench);
	bench.gather_code = -ENOMEM;
	const char *answer = ask(&bench, "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n");
	cr_expect(starts_with(answer, "HTTP/1.1 503 "), "%s", answer);
	server_close(&bench);
}

Test(stats_server, a_taken_port_is_an_error_with_its_address)
{
	struct bench bench;
	struct bench other;
	struct ip_addr addr;
	struct err err = {0};
	server_open(&bench);
	bench_init(&other);
	ip_addr_parse("127.0.0.1", &addr);
	cr_expect_eq(stats_server_start(&other.server, other.base, &addr, bench.port, &other.source,
					&err),
		     -EADDRINUSE);
	cr_expect_not_null(strstr(err.message, "127.0.0.1:"), "%s", err.message);
	cr_expect_null(other.server);
	stats_server_stop(NULL);
	bench_fini(&other);
	server_close(&bench);
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

static void dial_many(const struct bench *bench, int *fds, const char *first_bytes)
{
	for (int i = 0; i < N_IDLE; i++) {
		fds[i] = dial(bench);
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
	struct bench bench;
	int fds[N_IDLE];
	server_open(&bench);
	unsigned n_before = count_fds();
	dial_many(&bench, fds, first_bytes);
	check_json(body_of(ask(&bench, "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n")));
	// One that has just made room may still be closing.
	unsigned n_more = count_fds() - n_before;
	cr_expect_leq(n_more, N_IDLE + MAX_CONNS + 2, "%u descriptors", n_more);
	hang_up(fds);
	server_close(&bench);
}

Test(stats_server, answers_among_silent_clients, .timeout = 120)
{
	check_idle_clients("");
}

Test(stats_server, answers_among_clients_that_stop_in_mid_request, .timeout = 120)
{
	check_idle_clients("GET /stats HT");
}

Test(stats_server, serves_many_clients_one_after_another, .timeout = 120)
{
	struct bench bench;
	server_open(&bench);
	for (int i = 0; i < 3 * MAX_CONNS; i++)
		cr_assert(starts_with(ask(&bench, "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n"),
				      "HTTP/1.1 200 "),
			  "request %d", i);
	server_close(&bench);
}

// One byte now and then keeps a connection from ever being idle; its life ends nevertheless.
Test(stats_server, ends_connections_that_trickle, .timeout = 120)
{
	struct bench bench;
	server_open(&bench);
	int fd = dial(&bench);
	await_fd(fd, POLLOUT);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	int n_bytes = 0;
	while (send(fd, "x", 1, MSG_NOSIGNAL) == 1 && poll(&poll_fd, 1, 500) == 0)
		n_bytes++;
	cr_expect_gt(n_bytes, 10, "ended by the idle timeout");
	cr_expect_lt(n_bytes, 60);
	close(fd);
	server_close(&bench);
}

Test(stats_server, waits_out_a_lack_of_descriptors, .timeout = 120)
{
	struct bench bench;
	struct rlimit before;
	server_open(&bench);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(bench.port)};
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	struct rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	static const char request[] = "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n";
	cr_assert_eq(send(client, request, strlen(request), MSG_NOSIGNAL),
		     (ssize_t)strlen(request));
	struct pollfd poll_fd = {.fd = client, .events = POLLIN};
	cr_expect_eq(poll(&poll_fd, 1, 3000), 0, "accepted without a descriptor");
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	await_fd(client, POLLIN);
	close(client);
	server_close(&bench);
	// Not speed: a loop that spins on the failing accept would have used all three seconds.
	cr_expect_lt(bench.cpu_ns, 1000000000, "%ju ns of processor time", bench.cpu_ns);
}
