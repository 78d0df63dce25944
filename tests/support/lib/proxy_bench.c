// SPDX-License-Identifier: Apache-2.0
#include "proxy_bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "netns.h"
#include "sockets.h"

enum { PATIENCE_MS = 60000, LOOK_NS = 1000000, SECRET = 1 };

__attribute__((noreturn)) static void give_up(const char *what, const char *text)
{
	fprintf(stderr, "proxy_bench: %s: %s\n", what, text);
	abort();
}

// ---- the configuration -------------------------------------------------------------------------

static char name[] = "some";

bool proxy_bench_init(struct proxy_bench *bench)
{
	*bench = (struct proxy_bench){.n_open = sockets_n_open()};
	bench->config = (struct config){
		.mode = MODE_PROXY,
		.frontends = bench->frontends,
		.pools = bench->pools,
		.passthrough.maglev_table_size = 251,
		.proxy = {.threads = 1,
			  .connect_timeout_ms = PATIENCE_MS,
			  .client_timeout_ms = PATIENCE_MS,
			  .idle_timeout_ms = PATIENCE_MS,
			  .header_timeout_ms = PATIENCE_MS,
			  .drain_timeout_ms = PATIENCE_MS,
			  .retries = 2,
			  .tcp_keepalive_s = 60,
			  .splice = true},
	};
	proxy_bench_add_pool(bench);
	return netns_enter();
}

struct config_pool *proxy_bench_add_pool(struct proxy_bench *bench)
{
	size_t number = bench->config.n_pools++;
	if (number == PROXY_BENCH_POOLS)
		give_up("too many", "pools");
	bench->pools[number] = (struct config_pool){
		.name = name,
		.backends = bench->backends[number],
		.health_check = HEALTH_NONE,
		.rise = 1,
		.fall = 3,
		.proto = IPPROTO_TCP,
	};
	return &bench->pools[number];
}

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint endpoint = {0};
	if (!endpoint_parse(text, &endpoint))
		give_up("no endpoint", text);
	endpoint.proto = IPPROTO_TCP;
	return endpoint;
}

void proxy_bench_add_backend(struct proxy_bench *bench, const char *endpoint)
{
	struct config_pool *pool = &bench->pools[bench->config.n_pools - 1];
	if (pool->n_backends == PROXY_BENCH_BACKENDS)
		give_up("too many", "backends");
	struct config_backend *backend = &pool->backends[pool->n_backends++];
	*backend = (struct config_backend){.name = name, .weight = 1};
	if (strncmp(endpoint, "unix:", 5) == 0)
		backend->unix_path = strdup(endpoint + 5);
	else
		backend->endpoint = endpoint_of(endpoint);
}

int proxy_bench_serve(struct proxy_bench *bench, const char *endpoint)
{
	enum { BACKLOG = 128 };
	proxy_bench_add_backend(bench, endpoint);
	return sockets_listen(endpoint, BACKLOG);
}

struct config_frontend *proxy_bench_add_frontend(struct proxy_bench *bench, const char *endpoint)
{
	if (bench->config.n_frontends == PROXY_BENCH_FRONTENDS)
		give_up("too many", "frontends");
	struct config_frontend *frontend = &bench->frontends[bench->config.n_frontends++];
	*frontend = (struct config_frontend){
		.name = name,
		.endpoint = endpoint_of(endpoint),
		.pool = bench->config.n_pools - 1,
		.scheduler = SCHEDULER_ROUND_ROBIN,
	};
	return frontend;
}

// ---- running -----------------------------------------------------------------------------------

static struct snapshot *make_snapshot(struct proxy_bench *bench)
{
	struct snapshot *snapshot = NULL;
	if (registry_snapshot(bench->registry, &snapshot, &bench->err))
		give_up("no snapshot", bench->err.message);
	return snapshot;
}

int proxy_bench_create(struct proxy_bench *bench)
{
	if (registry_create(&bench->registry, &bench->config, SECRET,
			    proxy_count_threads(&bench->config), &bench->err))
		give_up("no registry", bench->err.message);
	for (uint32_t i = 0; i < registry_n_backends(bench->registry); i++)
		registry_set_up(bench->registry, i, true);
	struct snapshot *snapshot = make_snapshot(bench);
	int code = proxy_create(&bench->proxy, &bench->config, snapshot, &bench->err);
	if (code)
		snapshot_destroy(snapshot);
	return code;
}

void proxy_bench_start(struct proxy_bench *bench)
{
	if (!bench->proxy && proxy_bench_create(bench))
		give_up("no proxy", bench->err.message);
	if (proxy_start(bench->proxy, &bench->err))
		give_up("no thread", bench->err.message);
}

void proxy_bench_freeze(struct proxy_bench *bench)
{
	if (!freeze_start(&bench->freeze, "cv-proxy-0"))
		give_up("cannot stop", "a thread");
}

void proxy_bench_thaw(struct proxy_bench *bench)
{
	freeze_end(&bench->freeze);
}

void proxy_bench_set_up(struct proxy_bench *bench, uint32_t backend, bool is_up)
{
	registry_set_up(bench->registry, backend, is_up);
	proxy_bench_publish(bench);
}

void proxy_bench_publish(struct proxy_bench *bench)
{
	proxy_publish(bench->proxy, make_snapshot(bench));
}

int proxy_bench_take(struct proxy_bench *bench, struct config *config)
{
	static const struct timespec pause = {.tv_nsec = LOOK_NS};
	for (int i = 0; i < PATIENCE_MS && !proxy_is_settled(bench->proxy); i++)
		nanosleep(&pause, NULL);
	int code = proxy_prepare(bench->proxy, config, &bench->err);
	if (code)
		return code;
	code = registry_apply(bench->registry, config, clock_now_ns(), &bench->err);
	if (code) {
		proxy_abandon(bench->proxy);
		return code;
	}
	proxy_commit(bench->proxy);
	for (uint32_t i = 0; i < registry_n_backends(bench->registry); i++) {
		if (registry_backend(bench->registry, i)->config)
			registry_set_up(bench->registry, i, true);
	}
	proxy_bench_publish(bench);
	return 0;
}

void proxy_bench_end_drains(struct proxy_bench *bench)
{
	if (registry_end_drains(bench->registry, clock_now_ns()))
		proxy_bench_publish(bench);
}

// ---- numbers -----------------------------------------------------------------------------------

static void gather(const struct proxy_bench *bench, struct proxy_stats *stats)
{
	if (proxy_stats(bench->proxy, stats))
		give_up("memory", "short");
}

uint64_t proxy_bench_n_ends(const struct proxy_bench *bench, enum session_end end)
{
	struct proxy_stats stats;
	gather(bench, &stats);
	uint64_t n = stats.ends[end];
	proxy_stats_fini(&stats);
	return n;
}

uint64_t proxy_bench_n_connects(const struct proxy_bench *bench, uint32_t backend,
				enum connect_result result)
{
	struct proxy_stats stats;
	gather(bench, &stats);
	uint64_t n = stats.backends[backend].connects[result];
	proxy_stats_fini(&stats);
	return n;
}

uint64_t proxy_bench_n_at(const struct proxy_bench *bench, uint32_t backend)
{
	struct proxy_stats stats;
	gather(bench, &stats);
	uint64_t n = stats.backends[backend].traffic.current_connections;
	proxy_stats_fini(&stats);
	return n;
}

struct traffic proxy_bench_total(const struct proxy_bench *bench)
{
	struct proxy_stats stats;
	gather(bench, &stats);
	struct traffic total = stats.total;
	proxy_stats_fini(&stats);
	return total;
}

// Wait a little for what is awaited; false when it is too late for that.
static bool look_again(uint64_t deadline_ns)
{
	static const struct timespec pause = {.tv_nsec = LOOK_NS};
	nanosleep(&pause, NULL);
	return clock_now_ns() < deadline_ns;
}

static uint64_t deadline(void)
{
	return clock_now_ns() + SOCKETS_PATIENCE_S * NS_PER_SEC;
}

bool proxy_bench_await_ends(const struct proxy_bench *bench, enum session_end end, uint64_t n)
{
	uint64_t deadline_ns = deadline();
	while (proxy_bench_n_ends(bench, end) < n) {
		if (!look_again(deadline_ns))
			return false;
	}
	return proxy_bench_n_ends(bench, end) == n;
}

bool proxy_bench_await_connects(const struct proxy_bench *bench, uint32_t backend,
				enum connect_result result, uint64_t n)
{
	uint64_t deadline_ns = deadline();
	while (proxy_bench_n_connects(bench, backend, result) < n) {
		if (!look_again(deadline_ns))
			return false;
	}
	return proxy_bench_n_connects(bench, backend, result) == n;
}

bool proxy_bench_await_sessions(const struct proxy_bench *bench, uint64_t n)
{
	uint64_t deadline_ns = deadline();
	while (proxy_bench_total(bench).current_connections != n) {
		if (!look_again(deadline_ns))
			return false;
	}
	return true;
}

// ---- the end -----------------------------------------------------------------------------------

static uint64_t sum_of(const uint64_t *numbers, unsigned n)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < n; i++)
		sum += numbers[i];
	return sum;
}

static const char *check_frontends(const struct proxy_stats *stats)
{
	uint64_t n_ends = 0;
	for (size_t i = 0; i < stats->n_frontends; i++) {
		const struct proxy_frontend_stats *frontend = &stats->frontends[i];
		uint64_t n = sum_of(frontend->ends, N_SESSION_ENDS);
		uint64_t n_refused = frontend->ends[SESSION_END_LIMIT];
		n_ends += n;
		if (frontend->traffic.current_connections)
			return "a frontend has sessions left";
		if (frontend->traffic.total_connections != n - n_refused)
			return "a frontend's sessions are not its ends";
		if (sum_of(frontend->session_time.buckets, HISTOGRAM_BOUNDS + 1) != n - n_refused)
			return "session times are not sessions";
	}
	if (sum_of(stats->ends, N_SESSION_ENDS) != n_ends)
		return "the ends in all are not those of the frontends";
	return stats->accepted == n_ends ? NULL : "what was accepted is not what has ended";
}

static const char *check_backends(const struct proxy_stats *stats)
{
	uint64_t bytes_tx = 0;
	uint64_t bytes_rx = 0;
	for (size_t i = 0; i < stats->n_backends; i++) {
		const struct proxy_backend_stats *backend = &stats->backends[i];
		uint64_t n_connected = backend->connects[CONNECT_CONNECTED];
		bytes_tx += backend->traffic.bytes_tx;
		bytes_rx += backend->traffic.bytes_rx;
		if (backend->traffic.current_connections)
			return "a backend has sessions left";
		if (backend->traffic.total_connections != n_connected)
			return "a backend's sessions are not its connects";
		if (sum_of(backend->connect_time.buckets, HISTOGRAM_BOUNDS + 1) != n_connected)
			return "connect times are not connects";
	}
	return stats->total.bytes_tx == bytes_tx && stats->total.bytes_rx == bytes_rx
		       ? NULL
		       : "bytes of frontends are not bytes of backends";
}

static const char *check_sums(const struct proxy_bench *bench)
{
	struct proxy_stats stats;
	gather(bench, &stats);
	const char *problem = check_frontends(&stats);
	if (!problem)
		problem = check_backends(&stats);
	if (!problem && proxy_n_sessions(bench->proxy))
		problem = "places for sessions are not given back";
	proxy_stats_fini(&stats);
	return problem;
}

static void free_paths(struct proxy_bench *bench)
{
	for (size_t i = 0; i < bench->config.n_pools; i++) {
		for (size_t j = 0; j < bench->pools[i].n_backends; j++)
			free(bench->backends[i][j].unix_path);
	}
}

const char *proxy_bench_fini(struct proxy_bench *bench)
{
	const char *problem = NULL;
	if (bench->proxy) {
		proxy_stop(bench->proxy);
		problem = bench->has_forgotten ? NULL : check_sums(bench);
	}
	proxy_destroy(bench->proxy);
	registry_destroy(bench->registry);
	free_paths(bench);
	if (!problem && sockets_n_open() != bench->n_open)
		problem = "descriptors are left open";
	return problem;
}
