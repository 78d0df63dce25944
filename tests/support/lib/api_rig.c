// SPDX-License-Identifier: Apache-2.0
#include "api_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "culvert/balance/registry.h"

enum { MAX_BACKENDS = 8 }; // some may be added

// What a test rests on is there, or the test ends here.
static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "api_rig: %s: %s\n", what, strerror(errno));
	abort();
}

static void on_change(void *arg, size_t backend, bool is_up, const char *reason)
{
	(void)arg;
	(void)backend;
	(void)is_up;
	(void)reason;
}

static int gather_sessions(struct stats *all)
{
	struct proxy_stats *stats = &all->sessions;
	all->mode = MODE_PROXY;
	stats->n_frontends = 2;
	stats->frontends = calloc(2, sizeof(*stats->frontends));
	stats->n_backends = 3;
	stats->backends = calloc(3, sizeof(*stats->backends));
	must(stats->frontends && stats->backends, "memory");
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

int api_rig_gather(void *arg, struct stats *all)
{
	const struct api_rig *rig = arg;
	struct packet_stats *stats = &all->packets;
	if (rig->gather_code)
		return rig->gather_code;
	all->flow_log = rig->flow_log;
	if (rig->mode == MODE_PROXY)
		return gather_sessions(all);
	all->mode = MODE_PASSTHROUGH;
	stats->n_frontends = 2;
	stats->frontends = calloc(2, sizeof(*stats->frontends));
	stats->n_backends = 3;
	stats->backends = calloc(3, sizeof(*stats->backends));
	must(stats->frontends && stats->backends, "memory");
	stats->total = (struct traffic){.total_connections = 1000,
					.current_connections = 10,
					.bytes_tx = 1ULL << 40,
					.bytes_rx = 77};
	stats->frontends[1] = (struct traffic){.total_connections = 5, .bytes_rx = 6};
	for (size_t i = 0; i < 3; i++)
		stats->backends[i] = (struct traffic){.total_connections = 1 + i,
						      .current_connections = 10 * (1 + i),
						      .held_connections = 12 * (1 + i),
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
	stats->has_fast_path = true;
	stats->fast_flows = 9;
	stats->fast_packets = 30;
	stats->held = 6;
	stats->flows = 20;
	stats->flow_capacity = 4096;
	stats->flows_reclaimed = 1;
	return 0;
}

static void set_backend(struct config_backend *backend, const char *endpoint)
{
	must(endpoint_parse(endpoint, &backend->endpoint), "memory");
	backend->endpoint.proto = IPPROTO_TCP;
}

static void get_status(void *arg, struct api_status *status)
{
	const struct api_rig *rig = arg;
	*status = rig->status;
}

void api_rig_init(struct api_rig *rig)
{
	static char file[] = "culvert.toml";
	static char web[] = "web";
	static char db[] = "db";
	static char names[3][3] = {"s1", "s2", "s3"};
	static char plain[] = "plain";
	static char secure[] = "secure";
	*rig = (struct api_rig){.mode = MODE_PASSTHROUGH, .status = {.n_threads = 1}};
	for (int i = 0; i < 3; i++) {
		rig->backends[i].name = names[i];
		rig->backends[i].weight = i == 1 ? 3 : 1;
	}
	set_backend(&rig->backends[0], "10.0.0.1:80");
	set_backend(&rig->backends[1], "10.0.0.2:8080");
	set_backend(&rig->backends[2], "[::1]:1");
	rig->pools[0] = (struct config_pool){.name = web,
					     .backends = rig->backends,
					     .n_backends = 2,
					     .health_check = HEALTH_NONE};
	rig->pools[1] = (struct config_pool){.name = db,
					     .backends = rig->backends + 2,
					     .n_backends = 1,
					     .health_check = HEALTH_TCP,
					     .health_check_interval_ms = 3600000,
					     .health_check_timeout_ms = 1000,
					     .rise = 1,
					     .fall = 1};
	rig->frontends[0] = (struct config_frontend){.name = plain};
	rig->frontends[1] = (struct config_frontend){.name = secure, .pool = 1};
	must(endpoint_parse("10.1.0.1:80", &rig->frontends[0].endpoint), "memory");
	must(endpoint_parse("10.1.0.1:443", &rig->frontends[1].endpoint), "memory");
	rig->config = (struct config){.path = file,
				      .mode = MODE_PASSTHROUGH,
				      .passthrough.maglev_table_size = 11,
				      .frontends = rig->frontends,
				      .n_frontends = 2,
				      .pools = rig->pools,
				      .n_pools = 2};
	signal(SIGPIPE, SIG_IGN); // as main() has it
	rig->base = event_base_new();
	must(rig->base, "memory");
	must(health_create(&rig->health, rig->base, MAX_BACKENDS, on_change, NULL, NULL) == 0,
	     "health");
	for (size_t i = 0; i < 3; i++)
		must(health_add(rig->health, i, &rig->pools[i / 2], &rig->backends[i], NULL) == 0,
		     "health");
	must(registry_create(&rig->registry, &rig->config, 1, 1, NULL) == 0, "registry");
	registry_set_up(rig->registry, 0, true);
	registry_set_up(rig->registry, 1, true);
	rig->ops = (struct api_ops){.gather = api_rig_gather, .status = get_status};
	rig->source = (struct api_source){.registry = rig->registry,
					  .health = rig->health,
					  .ops = &rig->ops,
					  .arg = rig};
}

void api_rig_fini(struct api_rig *rig)
{
	health_stop(rig->health);
	registry_destroy(rig->registry);
	event_base_free(rig->base);
}

// ---- the server --------------------------------------------------------------------------------

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct api_rig *rig = arg;
	if (atomic_load(&rig->is_over))
		event_base_loopbreak(rig->base);
}

static void *run_loop(void *arg)
{
	struct api_rig *rig = arg;
	struct timeval period = {.tv_usec = 20000};
	struct timespec used;
	struct event *tick = event_new(rig->base, -1, EV_PERSIST, on_tick, rig);
	event_add(tick, &period);
	event_base_dispatch(rig->base);
	event_free(tick);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	rig->cpu_ns = (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
	return NULL;
}

uint16_t api_rig_free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t size = sizeof(addr);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "setting up");
	must(getsockname(fd, (struct sockaddr *)&addr, &size) == 0, "setting up");
	close(fd);
	return ntohs(addr.sin_port);
}

void api_rig_start(struct api_rig *rig)
{
	struct err err = {0};
	ip_addr_parse("127.0.0.1", &rig->config.stats_listen_addr);
	rig->config.stats_port = api_rig_free_port();
	atomic_store(&rig->is_over, false);
	must(api_start(&rig->api, rig->base, &rig->source, &err) == 0, err.message);
	must(pthread_create(&rig->thread, NULL, run_loop, rig) == 0, "thread");
}

void api_rig_stop(struct api_rig *rig)
{
	atomic_store(&rig->is_over, true);
	pthread_join(rig->thread, NULL);
	api_stop(rig->api);
	rig->api = NULL;
}

void api_rig_open(struct api_rig *rig)
{
	api_rig_init(rig);
	api_rig_start(rig);
}

void api_rig_close(struct api_rig *rig)
{
	api_rig_stop(rig);
	api_rig_fini(rig);
}

static int dial_path(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(fd >= 0, "socket");
	must(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "setting up");
	return fd;
}

int api_rig_dial(const struct api_rig *rig, bool is_local)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(rig->config.stats_port)};
	if (is_local)
		return dial_path(rig->config.api_socket);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(fd >= 0, "socket");
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		must(errno == EINPROGRESS, "connect");
	return fd;
}

void api_rig_await(int fd, short events)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};
	must(poll(&poll_fd, 1, 60000) == 1, "no answer");
}

static void send_all(int fd, const char *text)
{
	while (*text) {
		api_rig_await(fd, POLLOUT);
		ssize_t n = write(fd, text, strlen(text));
		must(n > 0, "write");
		text += n;
	}
}

static const char *ask(int fd, const char *request)
{
	static char answer[1 << 20];
	size_t size = 0;
	send_all(fd, request);
	for (;;) {
		api_rig_await(fd, POLLIN);
		ssize_t n = read(fd, answer + size, sizeof(answer) - 1 - size);
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	close(fd);
	answer[size] = '\0';
	return answer;
}

const char *api_rig_ask(const struct api_rig *rig, const char *request)
{
	return ask(api_rig_dial(rig, false), request);
}

const char *api_rig_ask_local(const struct api_rig *rig, const char *request)
{
	return ask(api_rig_dial(rig, true), request);
}

const char *api_rig_body(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");
	return end ? end + 4 : "";
}

static int split(const char *answer, json_t **body)
{
	*body = json_loads(api_rig_body(answer), 0, NULL);
	must(strncmp(answer, "HTTP/1.1 ", 9) == 0, "no answer of HTTP");
	return (int)strtol(answer + 9, NULL, 10);
}

static int get(const struct api_rig *rig, bool is_local, const char *path, json_t **body)
{
	char request[1024];
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
	return split(ask(api_rig_dial(rig, is_local), request), body);
}

int api_rig_get(const struct api_rig *rig, const char *path, json_t **body)
{
	return get(rig, false, path, body);
}

int api_rig_get_local(const struct api_rig *rig, const char *path, json_t **body)
{
	return get(rig, true, path, body);
}

int api_rig_post(const struct api_rig *rig, const char *path, const char *text, json_t **body)
{
	char request[1024];
	snprintf(request, sizeof(request),
		 "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", path, strlen(text),
		 text);
	return split(api_rig_ask_local(rig, request), body);
}
