// SPDX-License-Identifier: Apache-2.0
#include "reload_lab.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../support/lib/sockets.h"
#include "culvert/base/clock.h"

// ---- the proxy ---------------------------------------------------------------------------------

void reload_lab_init(struct reload_lab *lab)
{
	if (!proxy_bench_init(&lab->bench))
		cr_skip_test("needs root for a network namespace");
	proxy_bench_add_frontend(&lab->bench, AT_FRONTEND);
	lab->listener = proxy_bench_serve(&lab->bench, AT_BACKEND);
	lab->second = -1;
}

void reload_lab_fini(struct reload_lab *lab)
{
	close(lab->listener);
	close(lab->second);
	const char *problem = proxy_bench_fini(&lab->bench);
	cr_expect_null(problem, "%s", problem);
}

void reload_lab_add_second(struct reload_lab *lab)
{
	static char name[] = "second";
	lab->second = proxy_bench_serve(&lab->bench, AT_SECOND);
	lab->bench.backends[0][1].name = name;
}

void reload_lab_start_with_two(struct reload_lab *lab, int n_threads)
{
	reload_lab_init(lab);
	lab->bench.config.proxy.threads = n_threads;
	reload_lab_add_second(lab);
	proxy_bench_start(&lab->bench);
}

// ---- configurations ----------------------------------------------------------------------------

struct config *reload_lab_variant(struct reload_lab *lab, unsigned number)
{
	struct reload_variant *variant = &lab->variants[number];
	memcpy(variant->frontends, lab->bench.frontends, sizeof(variant->frontends));
	memcpy(variant->backends, lab->bench.backends[0], sizeof(variant->backends));
	variant->config = lab->bench.config;
	variant->config.n_refs = 0;
	variant->config.frontends = variant->frontends;
	variant->config.pools = &variant->pool;
	variant->pool = lab->bench.pools[0];
	variant->pool.backends = variant->backends;
	return &variant->config;
}

struct config *reload_lab_without_first(struct reload_lab *lab, unsigned number)
{
	struct config *config = reload_lab_variant(lab, number);
	struct reload_variant *variant = &lab->variants[number];
	variant->backends[0] = variant->backends[1];
	variant->pool.n_backends = 1;
	return config;
}

void reload_lab_take(struct reload_lab *lab, struct config *config)
{
	cr_assert_eq(proxy_bench_take(&lab->bench, config), 0, "%s", lab->bench.err.message);
}

bool reload_lab_await_users(const struct reload_lab *lab,
			    uint64_t (*users)(const struct proxy *, uint32_t), uint32_t slot,
			    uint64_t n)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	const struct proxy *proxy = lab->bench.proxy;
	uint64_t deadline_ns = clock_now_ns() + SOCKETS_PATIENCE_S * NS_PER_SEC;
	while (users(proxy, slot) != n && clock_now_ns() < deadline_ns)
		nanosleep(&pause, NULL);
	return users(proxy, slot) == n;
}

// ---- sessions ----------------------------------------------------------------------------------

int reload_lab_open(const char *frontend, int at, int *server)
{
	int client = sockets_connect(frontend);
	cr_assert_geq(client, 0, "%s: %s", frontend, strerror(-client));
	cr_assert(sockets_say(client, "hello"));
	*server = sockets_accept(at);
	cr_assert_geq(*server, 0, "%s: %s", frontend, strerror(-*server));
	cr_assert(sockets_hear(*server, "hello"));
	return client;
}

int reload_lab_open_at_first(struct reload_lab *lab, int *server)
{
	proxy_bench_set_up(&lab->bench, 1, false);
	int client = reload_lab_open(AT_FRONTEND, lab->listener, server);
	proxy_bench_set_up(&lab->bench, 1, true);
	return client;
}

void reload_lab_expect_alive(int client, int server)
{
	cr_expect(sockets_say(client, "on"));
	cr_expect(sockets_hear(server, "on"));
	cr_expect(sockets_say(server, "back"));
	cr_expect(sockets_hear(client, "back"));
}

void reload_lab_close(int client, int server)
{
	close(client);
	cr_expect_eq(sockets_await_end(server, NULL), 0);
	close(server);
}

void reload_lab_visit(const char *frontend, int at)
{
	int server;
	int client = reload_lab_open(frontend, at, &server);
	reload_lab_close(client, server);
}
