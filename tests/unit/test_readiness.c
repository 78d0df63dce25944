// SPDX-License-Identifier: Apache-2.0
// The gate between health and traffic, with a real backend in a second network namespace.
#include "culvert/control/readiness.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/dsr_bench.h"
#include "culvert/balance/registry.h"

enum { ENOUGH_MS = 1500 }; // for a check that is answered, the claim of the source included

struct test {
	struct dsr_bench bench;
	struct registry *registry;
	struct readiness *readiness;
	unsigned n_changes;
	size_t backend;
	bool is_up;
	char reason[320];
	unsigned n_gates; // set
	size_t gate_frontend;
	enum frontend_gate gate; // as set last
	size_t pool_of_later;    // that the second frontend is to have
	struct config nexts[4];  // the configurations that follow
	unsigned n_nexts;
};

static void on_change(void *arg, size_t backend, bool is_up, const char *reason)
{
	struct test *test = arg;
	test->n_changes++;
	test->backend = backend;
	test->is_up = is_up;
	snprintf(test->reason, sizeof(test->reason), "%s", reason);
}

static void on_gate(void *arg, size_t frontend, enum frontend_gate gate)
{
	struct test *test = arg;
	test->n_gates++;
	test->gate_frontend = frontend;
	test->gate = gate;
}

static struct test *begin(void)
{
	struct test *test = calloc(1, sizeof(*test));
	cr_assert(test);
	if (!dsr_bench_init(&test->bench)) {
		free(test);
		cr_skip("needs root, for a private network namespace");
	}
	return test;
}

static struct registry *make_registry(struct test *test)
{
	cr_assert_eq(registry_create(&test->registry, &test->bench.config, 1, 1, NULL), 0);
	return test->registry;
}

static void open_gate(struct test *test)
{
	struct err err = {0};
	struct readiness_params params = {
		.base = test->bench.base,
		.netwatch = test->bench.netwatch,
		.config = &test->bench.config,
		.registry = make_registry(test),
		.on_change = on_change,
		.on_gate = on_gate,
		.arg = test,
	};
	cr_assert_eq(readiness_open(&test->readiness, &params, &err), 0, "%s", err.message);
}

static void end(struct test *test)
{
	readiness_close(test->readiness);
	registry_destroy(test->registry);
	dsr_bench_fini(&test->bench);
	free(test);
}

static void await_changes(struct test *test, unsigned n)
{
	cr_assert(dsr_bench_await(&test->bench, &test->n_changes, n), "%u changes of %u",
		  test->n_changes, n);
}

static void add_pool(struct test *test)
{
	static char name[] = "other";
	test->bench.pools[test->bench.config.n_pools++] = (struct config_pool){.name = name};
}

static void add_frontend(struct test *test, const char *text)
{
	struct config *config = &test->bench.config;
	struct config_frontend *frontend = &test->bench.frontends[config->n_frontends++];
	*frontend = test->bench.frontends[0];
	cr_assert(endpoint_parse(text, &frontend->endpoint));
	frontend->endpoint.proto = IPPROTO_TCP;
}

Test(readiness, a_healthy_backend_is_up_once_it_is_ready)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	open_gate(test);
	readiness_take_health(test->readiness, 0, true, "connected in 0.1 ms");
	cr_expect_eq(test->n_changes, 0);
	cr_expect_not(readiness_is_up(test->readiness, 0));
	cr_expect(readiness_is_awaited(test->readiness, 0));
	await_changes(test, 1);
	cr_expect_not(readiness_is_awaited(test->readiness, 0));
	cr_expect(test->is_up);
	cr_expect(readiness_is_up(test->readiness, 0));
	cr_expect_str_eq(test->reason, "connected in 0.1 ms; ready for dsr");
	end(test);
}

Test(readiness, a_backend_that_is_not_ready_gets_nothing_until_it_is)
{
	struct test *test = begin();
	open_gate(test);
	readiness_take_health(test->readiness, 0, true, "connected");
	dsr_bench_run_ms(&test->bench, ENOUGH_MS);
	cr_expect_eq(test->n_changes, 0);
	cr_expect_not(readiness_is_awaited(test->readiness, 0));
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	await_changes(test, 1); // by the next round, which nobody has asked for
	cr_expect(test->is_up);
	end(test);
}

Test(readiness, a_backend_goes_down_at_once)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	open_gate(test);
	readiness_take_health(test->readiness, 0, true, "connected");
	await_changes(test, 1);
	readiness_take_health(test->readiness, 0, false, "connect refused");
	cr_expect_eq(test->n_changes, 2);
	cr_expect_not(test->is_up);
	cr_expect_not(readiness_is_up(test->readiness, 0));
	cr_expect_str_eq(test->reason, "connect refused");
	end(test);
}

Test(readiness, each_recovery_is_checked_again)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	open_gate(test);
	readiness_take_health(test->readiness, 0, true, "connected");
	await_changes(test, 1);
	readiness_take_health(test->readiness, 0, false, "connect refused");
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 8080);
	readiness_take_health(test->readiness, 0, true, "connected");
	dsr_bench_run_ms(&test->bench, ENOUGH_MS);
	cr_expect_eq(test->n_changes, 2);
	cr_expect_not(readiness_is_up(test->readiness, 0));
	end(test);
}

Test(readiness, a_backend_that_fails_meanwhile_never_comes_up)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	open_gate(test);
	readiness_take_health(test->readiness, 0, true, "connected");
	readiness_take_health(test->readiness, 0, false, "connect refused");
	cr_expect_not(readiness_is_awaited(test->readiness, 0));
	dsr_bench_run_ms(&test->bench, ENOUGH_MS);
	cr_expect_eq(test->n_changes, 0);
	end(test);
}

Test(readiness, every_frontend_of_the_pool_counts)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	add_frontend(test, "10.9.0.1:8080"); // whose replies would need another port
	open_gate(test);
	readiness_take_health(test->readiness, 0, true, "connected");
	dsr_bench_run_ms(&test->bench, ENOUGH_MS);
	cr_expect_eq(test->n_changes, 0);
	end(test);
}

Test(readiness, frontends_of_other_pools_and_udp_hold_up_nobody)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	add_frontend(test, "10.9.0.1:8080");
	add_pool(test);
	test->bench.frontends[1].pool = 1;
	test->bench.frontends[0].endpoint.proto = IPPROTO_UDP;
	open_gate(test);
	readiness_take_health(test->readiness, 0, true, "not checked");
	await_changes(test, 1);
	cr_expect(test->is_up);
	end(test);
}

Test(readiness, a_pool_without_frontends_is_ready_at_once)
{
	struct test *test = begin();
	add_pool(test);
	test->bench.frontends[0].pool = 1;
	open_gate(test);
	readiness_take_health(test->readiness, 0, true, "connected");
	cr_expect_eq(test->n_changes, 1);
	cr_expect(test->is_up);
	end(test);
}

Test(readiness, needs_a_source_to_check_from)
{
	struct test *test = begin();
	struct err err = {0};
	struct readiness_params params = {
		.base = test->bench.base,
		.netwatch = test->bench.netwatch,
		.config = &test->bench.config,
		.registry = make_registry(test),
		.on_change = on_change,
		.on_gate = on_gate,
		.arg = test,
	};
	test->bench.config.dsr.n_check_sources = 0;
	cr_expect_lt(readiness_open(&test->readiness, &params, &err), 0);
	cr_expect(strstr(err.message, "check_source"), "%s", err.message);
	end(test);
}

// ---- frontends that come later ------------------------------------------------------------------

// With an address that the backend has no rules for, unless it is given some.
static const char later[] = "10.9.0.1:8080";

// One backend that is up and ready for 10.9.0.1:80.
static struct test *begin_ready_with(void (*prepare)(struct test *test))
{
	struct test *test = begin();
	if (prepare)
		prepare(test);
	test->bench.config.reload.max_frontends = DSR_BENCH_FRONTENDS_MAX;
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	open_gate(test);
	readiness_take_health(test->readiness, 0, true, "connected");
	await_changes(test, 1);
	return test;
}

static struct test *begin_ready(void)
{
	return begin_ready_with(NULL);
}

static void follow(struct test *test, size_t n_frontends, size_t n_backends)
{
	struct err err = {0};
	struct dsr_bench *bench = &test->bench;
	struct config *next = &test->nexts[test->n_nexts++];
	*next = bench->config;
	next->n_frontends = n_frontends;
	bench->frontends[1] = bench->frontends[0];
	cr_assert(endpoint_parse(later, &bench->frontends[1].endpoint));
	bench->frontends[1].endpoint.proto = IPPROTO_TCP;
	bench->frontends[1].pool = test->pool_of_later;
	bench->pools[0].n_backends = n_backends;
	cr_assert_eq(registry_apply(test->registry, next, 0, &err), 0, "%s", err.message);
	readiness_follow(test->readiness);
}

static void await_gates(struct test *test, unsigned n)
{
	cr_assert(dsr_bench_await(&test->bench, &test->n_gates, n), "%u gates of %u", test->n_gates,
		  n);
}

Test(readiness, a_frontend_that_comes_later_waits_until_its_backends_are_ready)
{
	struct test *test = begin_ready();
	follow(test, 2, 1);
	cr_expect_eq(test->n_gates, 1);
	cr_expect_eq(test->gate_frontend, 1);
	cr_expect_eq(test->gate, GATE_AWAITED);
	await_gates(test, 2);
	cr_expect_eq(test->gate, GATE_SHUT);
	cr_expect_eq(test->n_changes, 1, "the backend serves the others as ever");
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 8080);
	await_gates(test, 3); // by the next round, which nobody has asked for
	cr_expect_eq(test->gate, GATE_OPEN);
	cr_expect_eq(test->n_changes, 1);
	end(test);
}

Test(readiness, a_frontend_whose_backends_are_ready_waits_for_one_round)
{
	struct test *test = begin_ready();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 8080);
	follow(test, 2, 1);
	cr_expect_eq(test->gate, GATE_AWAITED);
	await_gates(test, 2);
	cr_expect_eq(test->gate, GATE_OPEN);
	follow(test, 2, 1);
	dsr_bench_run_ms(&test->bench, 100);
	cr_expect_eq(test->n_gates, 2, "the same again asks for nothing");
	end(test);
}

Test(readiness, a_frontend_does_not_wait_for_who_has_gone_down)
{
	struct test *test = begin_ready();
	follow(test, 2, 1);
	await_gates(test, 2);
	cr_expect_eq(test->gate, GATE_SHUT);
	readiness_take_health(test->readiness, 0, false, "connect refused");
	cr_expect_eq(test->gate, GATE_OPEN);
	// Now it has to prove both.
	readiness_take_health(test->readiness, 0, true, "connected");
	dsr_bench_run_ms(&test->bench, ENOUGH_MS);
	cr_expect_not(readiness_is_up(test->readiness, 0));
	end(test);
}

static void add_second_pool(struct test *test)
{
	static char name[] = "b2";
	struct dsr_bench *bench = &test->bench;
	add_pool(test);
	bench->backends[1] = bench->backends[0];
	bench->backends[1].name = name;
	bench->pools[1].backends = &bench->backends[1];
	bench->pools[1].n_backends = 1;
}

Test(readiness, a_frontend_that_changes_pools_is_not_called_open_meanwhile)
{
	struct test *test = begin_ready_with(add_second_pool);
	readiness_take_health(test->readiness, 1, true, "connected");
	cr_assert_eq(test->n_changes, 2, "nobody comes to its pool");
	follow(test, 2, 1);
	await_gates(test, 2);
	cr_assert_eq(test->gate, GATE_SHUT);
	test->pool_of_later = 1;
	follow(test, 2, 1);
	cr_expect_eq(test->n_gates, 3);
	cr_expect_eq(test->gate, GATE_AWAITED);
	end(test);
}

Test(readiness, a_frontend_that_goes_again_leaves_nothing_behind)
{
	struct test *test = begin_ready();
	follow(test, 2, 1);
	follow(test, 1, 1);
	cr_expect_eq(test->gate, GATE_OPEN);
	unsigned n = test->n_gates;
	dsr_bench_run_ms(&test->bench, ENOUGH_MS);
	cr_expect_eq(test->n_gates, n);
	end(test);
}

Test(readiness, a_frontend_does_not_wait_where_nobody_is_up)
{
	struct test *test = begin();
	test->bench.config.reload.max_frontends = DSR_BENCH_FRONTENDS_MAX;
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	open_gate(test);
	readiness_take_health(test->readiness, 0, true, "connected"); // a round of one frontend
	follow(test, 2, 1);
	cr_expect_eq(test->n_gates, 0);
	dsr_bench_run_ms(&test->bench, ENOUGH_MS);
	cr_expect_eq(test->n_changes, 0, "the round is of both by now");
	end(test);
}

// It was up all the time, and is to be used again.
Test(readiness, a_backend_that_comes_back_proves_what_it_has_missed)
{
	struct test *test = begin_ready();
	follow(test, 1, 0);
	follow(test, 2, 0);
	cr_expect_eq(test->n_gates, 0);
	follow(test, 2, 1);
	cr_expect_eq(test->gate, GATE_AWAITED);
	cr_expect_eq(test->gate_frontend, 1);
	await_gates(test, 2);
	cr_expect_eq(test->gate, GATE_SHUT);
	end(test);
}

Test(readiness, another_family_cannot_be_checked_later)
{
	struct test *test = begin();
	struct err err = {0};
	open_gate(test);
	const struct config *next = &test->bench.config;
	cr_expect_eq(readiness_check_config(test->readiness, next, &err), 0);
	cr_assert(endpoint_parse("[fd09::1]:80", &test->bench.frontends[0].endpoint));
	cr_expect_lt(readiness_check_config(test->readiness, next, &err), 0);
	cr_expect(strstr(err.message, "IPv6"), "%s", err.message);
	end(test);
}
