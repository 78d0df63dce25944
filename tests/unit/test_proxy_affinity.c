// SPDX-License-Identifier: Apache-2.0
// As many threads as processors: each on its own, with the connections that arrive there, and all
// of them for a while when those arrive on one alone.
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "../support/lib/sockets.h"
#include "culvert/base/clock.h"
#include "lib/reload_lab.h"
#include "proxy/thread.h"

enum { N_PROCESSORS = 2, N_MANY = 100, N_MORE = 32, PATIENCE_S = 60 };

TestSuite(proxy_affinity, .timeout = 120);

static struct reload_lab lab;
static int processors[N_PROCESSORS];

// This process, and what it starts, has two processors from now on.
static void take_two_processors(void)
{
	cpu_set_t usable;
	cpu_set_t two;
	int n = 0;
	cr_assert_eq(sched_getaffinity(0, sizeof(usable), &usable), 0);
	CPU_ZERO(&two);
	for (int cpu = 0; cpu < CPU_SETSIZE && n < N_PROCESSORS; cpu++) {
		if (!CPU_ISSET(cpu, &usable))
			continue;
		CPU_SET(cpu, &two);
		processors[n++] = cpu;
	}
	if (n < N_PROCESSORS)
		cr_skip_test("needs two processors");
	cr_assert_eq(sched_setaffinity(0, sizeof(two), &two), 0);
}

static void start(int n_threads)
{
	take_two_processors();
	reload_lab_init(&lab);
	lab.bench.config.proxy.threads = n_threads;
	lab.bench.config.proxy.pin_threads = true;
	proxy_bench_start(&lab.bench);
}

static bool is_steered(void)
{
	return atomic_load(&lab.bench.proxy->is_steered);
}

static bool await_steered(bool wanted)
{
	uint64_t deadline_ns = clock_now_ns() + PATIENCE_S * NS_PER_SEC;
	while (is_steered() != wanted && clock_now_ns() < deadline_ns)
		usleep(1000);
	return is_steered() == wanted;
}

// What goes over the loopback arrives on the processor that has sent it.
static void open_sessions(int processor, int *clients, int *servers, int n)
{
	cpu_set_t before;
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(processor, &one);
	cr_assert_eq(sched_getaffinity(0, sizeof(before), &before), 0);
	cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	for (int i = 0; i < n; i++)
		clients[i] = reload_lab_open(AT_FRONTEND, lab.listener, &servers[i]);
	cr_assert_eq(sched_setaffinity(0, sizeof(before), &before), 0);
}

static void close_sessions(const int *clients, const int *servers, int n)
{
	for (int i = 0; i < n; i++)
		reload_lab_close(clients[i], servers[i]);
}

static uint64_t n_of_thread(uint32_t number)
{
	return counter_read(&lab.bench.proxy->threads[number].n_sessions);
}

Test(proxy_affinity, each_thread_has_a_processor_and_takes_what_arrives_there)
{
	int clients[N_PROCESSORS][N_PROCESSORS];
	int servers[N_PROCESSORS][N_PROCESSORS];
	start(N_PROCESSORS);
	cr_expect(is_steered());
	for (uint32_t i = 0; i < N_PROCESSORS; i++) {
		cpu_set_t of_thread;
		cr_assert_eq(pthread_getaffinity_np(lab.bench.proxy->threads[i].pthread,
						    sizeof(of_thread), &of_thread),
			     0);
		cr_expect_eq(CPU_COUNT(&of_thread), 1);
		cr_expect(CPU_ISSET(processors[i], &of_thread));
		open_sessions(processors[i], clients[i], servers[i], N_PROCESSORS);
		cr_expect_eq(n_of_thread(i), N_PROCESSORS);
	}
	for (int i = 0; i < N_PROCESSORS; i++)
		close_sessions(clients[i], servers[i], N_PROCESSORS);
	reload_lab_fini(&lab);
}

Test(proxy_affinity, one_processor_s_connections_are_shared_by_all_until_it_is_tried_again)
{
	static int clients[N_MANY];
	static int servers[N_MANY];
	start(N_PROCESSORS);
	open_sessions(processors[1], clients, servers, N_MANY);
	cr_expect(await_steered(false));
	cr_expect_gt(n_of_thread(0), N_MANY / 16, "thread 0 takes some of them, too");
	proxy_steer(lab.bench.proxy);
	cr_expect(await_steered(true));
	close_sessions(clients, servers, N_MANY);
	cr_assert(proxy_bench_await_sessions(&lab.bench, 0));
	open_sessions(processors[1], clients, servers, N_MORE);
	cr_expect_eq(n_of_thread(0), 0, "thread 1 takes all of them again");
	close_sessions(clients, servers, N_MORE);
	reload_lab_fini(&lab);
}

Test(proxy_affinity, other_numbers_of_threads_are_left_to_the_scheduler)
{
	start(N_PROCESSORS + 1);
	cr_expect_not(is_steered());
	proxy_steer(lab.bench.proxy);
	reload_lab_visit(AT_FRONTEND, lab.listener);
	cr_expect_not(is_steered());
	reload_lab_fini(&lab);
}
