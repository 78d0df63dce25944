// SPDX-License-Identifier: Apache-2.0
// Proxy mode's data path under test, in a network namespace of the test's own: a configuration made
// by hand, a registry in which every backend is up, and the proxy; clients and backends are the
// test's own sockets. What cannot fail in a test aborts it.
// Called by: the thread of the test.
#pragma once

#include "culvert/balance/registry.h"
#include "culvert/proxy/proxy.h"
#include "freeze.h"

enum {
	PROXY_BENCH_FRONTENDS = 4,
	PROXY_BENCH_POOLS = 2,
	PROXY_BENCH_BACKENDS = 8, // of a pool
};

struct proxy_bench {
	// For the test to change before it creates the proxy.
	struct config config;
	struct config_frontend frontends[PROXY_BENCH_FRONTENDS];
	struct config_pool pools[PROXY_BENCH_POOLS];
	struct config_backend backends[PROXY_BENCH_POOLS][PROXY_BENCH_BACKENDS];

	struct registry *registry;
	struct proxy *proxy;
	struct err err;
	struct freeze freeze;
	unsigned n_open;    // descriptors before anything was made
	bool has_forgotten; // a slot was given to another: its sums begin anew
};

// One thread, patience of a minute with everything, and one pool that takes turns. False when
// namespaces are not allowed (not root): the test should skip.
bool proxy_bench_init(struct proxy_bench *bench);

struct config_pool *proxy_bench_add_pool(struct proxy_bench *bench);
// To the last pool. `endpoint` as in sockets.h; a string that stays.
void proxy_bench_add_backend(struct proxy_bench *bench, const char *endpoint);
// The same, and the listener behind it, for the test to close.
int proxy_bench_serve(struct proxy_bench *bench, const char *endpoint);
// Served by the last pool.
struct config_frontend *proxy_bench_add_frontend(struct proxy_bench *bench, const char *endpoint);

int proxy_bench_create(struct proxy_bench *bench); // 0, or -errno and bench->err
void proxy_bench_start(struct proxy_bench *bench); // creates it, too, when nobody has

// The first thread of the proxy stands still in between, so that what happens meanwhile is all
// there when it looks again.
void proxy_bench_freeze(struct proxy_bench *bench);
void proxy_bench_thaw(struct proxy_bench *bench);

// Tell the proxy about the health of a backend, by its running number. Its threads have seen it
// when this returns.
void proxy_bench_set_up(struct proxy_bench *bench, uint32_t backend, bool is_up);

// Another configuration, which outlives the bench; every backend is up in it. Its threads have left
// the one before when this returns 0; else it is -errno and bench->err.
int proxy_bench_take(struct proxy_bench *bench, struct config *config);
// What has changed in bench->registry.
void proxy_bench_publish(struct proxy_bench *bench);
// The time to drain is over, when the configuration gives none.
void proxy_bench_end_drains(struct proxy_bench *bench);

// Numbers of now.
uint64_t proxy_bench_n_ends(const struct proxy_bench *bench, enum session_end end);
uint64_t proxy_bench_n_connects(const struct proxy_bench *bench, uint32_t backend,
				enum connect_result result);
uint64_t proxy_bench_n_at(const struct proxy_bench *bench, uint32_t backend); // or on their way
struct traffic proxy_bench_total(const struct proxy_bench *bench);

// False when the number is not met in time.
bool proxy_bench_await_ends(const struct proxy_bench *bench, enum session_end end, uint64_t n);
bool proxy_bench_await_connects(const struct proxy_bench *bench, uint32_t backend,
				enum connect_result result, uint64_t n);
bool proxy_bench_await_sessions(const struct proxy_bench *bench, uint64_t n);

// Stop, when it runs, and free all. The test has closed its own descriptors. NULL when every sum is
// right and nothing is left over, or what is wrong.
const char *proxy_bench_fini(struct proxy_bench *bench);
