// SPDX-License-Identifier: Apache-2.0
// A balancer and a backend for tests of the readiness check. The balancer is the calling process,
// in a network namespace of its own, with 10.9.0.2 and the VIP 10.9.0.1 on link va. The backend is
// 10.9.0.101 on vb, in a second namespace, and listens on port 80. All have fd09:: addresses with
// the same last number, too.
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <sys/types.h>

#include "culvert/config/config.h"
#include "culvert/control/netwatch.h"

enum { DSR_BENCH_BACKENDS_MAX = 200, DSR_BENCH_FRONTENDS_MAX = 2, DSR_BENCH_POOLS_MAX = 2 };

struct dsr_bench {
	pid_t peer;
	int listener; // in the backend's namespace
	struct event_base *base;
	struct netwatch *netwatch;
	// One pool with one backend behind one frontend, 10.9.0.1:80, the test source 10.9.0.200. A
	// test may change it before it opens anything.
	struct config config;
	struct config_pool pools[DSR_BENCH_POOLS_MAX];
	struct config_backend backends[DSR_BENCH_BACKENDS_MAX];
	struct config_frontend frontends[DSR_BENCH_FRONTENDS_MAX];
	struct ip_addr check_sources[CONFIG_MAX_CHECK_SOURCES];
};

// False without root: the test should skip. What else fails ends the process, with which everything
// vanishes.
bool dsr_bench_init(struct dsr_bench *bench);
void dsr_bench_fini(struct dsr_bench *bench);

// The configuration is of fd09::1, fd09::101 and fd09::200 from then on.
void dsr_bench_switch_to_v6(struct dsr_bench *bench);

// What the backend's replies leave as: "10.9.0.1", 80. Replaces an earlier one.
void dsr_bench_set_nat(const struct dsr_bench *bench, const char *vip, unsigned port);
// A shell command in the backend's namespace; it must succeed.
__attribute__((format(printf, 2, 3))) void dsr_bench_on_backend(const struct dsr_bench *bench,
								const char *format, ...);
// Run the event loop until *counter is `wanted`. False when it is more, or that takes too long.
bool dsr_bench_await(const struct dsr_bench *bench, const unsigned *counter, unsigned wanted);
// Run the event loop for a while, for a wrong call to happen.
void dsr_bench_run_ms(const struct dsr_bench *bench, unsigned ms);
