// SPDX-License-Identifier: Apache-2.0
// A proxy that is given another configuration while it has sessions: one frontend, a backend behind
// it, a second one for those who want it, and variants of that configuration. What goes wrong fails
// the test.
// Called by: the thread of the test.
#pragma once

#include "../../support/lib/proxy_bench.h"

#define AT_FRONTEND "127.0.0.1:8000"
#define AT_OTHER    "127.0.0.1:8001"
#define AT_BACKEND  "127.0.0.1:7001"
#define AT_SECOND   "127.0.0.1:7002"

// A configuration that a test makes from that of the bench.
struct reload_variant {
	struct config config;
	struct config_frontend frontends[PROXY_BENCH_FRONTENDS];
	struct config_pool pool;
	struct config_backend backends[PROXY_BENCH_BACKENDS];
};

struct reload_lab {
	struct proxy_bench bench;
	struct reload_variant variants[2];
	int listener; // of the backend; a test that closes it says -1
	int second;   // likewise; -1: there is none
};

// AT_FRONTEND and AT_BACKEND, and nothing started yet. Skips the test without root.
void reload_lab_init(struct reload_lab *lab);
void reload_lab_fini(struct reload_lab *lab);

// AT_SECOND, to the same pool, before it starts.
void reload_lab_add_second(struct reload_lab *lab);
// With AT_SECOND, and started.
void reload_lab_start_with_two(struct reload_lab *lab, int n_threads);

// A variant, made anew: what the bench has.
struct config *reload_lab_variant(struct reload_lab *lab, unsigned number);
// The same with AT_SECOND alone.
struct config *reload_lab_without_first(struct reload_lab *lab, unsigned number);
// The proxy takes it.
void reload_lab_take(struct reload_lab *lab, struct config *config);

// False when there are not `n` in time.
bool reload_lab_await_users(const struct reload_lab *lab,
			    uint64_t (*users)(const struct proxy *, uint32_t), uint32_t slot,
			    uint64_t n);

// A session through `frontend` to the listener `at`, in which the client has said something.
// Returns the client's end.
int reload_lab_open(const char *frontend, int at, int *server);
// One that goes to AT_BACKEND though there is AT_SECOND.
int reload_lab_open_at_first(struct reload_lab *lab, int *server);
void reload_lab_expect_alive(int client, int server);
void reload_lab_close(int client, int server);
// Opens one and closes it.
void reload_lab_visit(const char *frontend, int at);
