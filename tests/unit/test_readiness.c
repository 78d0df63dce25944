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
};

static void on_change(void *arg, size_t backend, bool is_up, const char *reason)
{
	struct test *test = arg;
	test->n_changes++;
	test->backend = backend;
	test->is_up = is_up;
	snprintf(test->reason, sizeof(test->reason), "%s", reason);
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
		.arg = test,
	};
	test->bench.config.dsr.n_check_sources = 0;
	cr_expect_lt(readiness_open(&test->readiness, &params, &err), 0);
	cr_expect(strstr(err.message, "check_source"), "%s", err.message);
	end(test);
}
