// SPDX-License-Identifier: Apache-2.0
#include "proxy/affinity.h"

#include <linux/filter.h>
#include <sched.h>
#include <sys/socket.h>

#include "culvert/base/log.h"
#include "proxy/thread.h"

// A thread may have half as many sessions again as the mean, and some: chance must not look like a
// bad spread, and with few threads a few sessions more do no harm.
enum { SLACK = 8, SLACK_SHARED = 48 };

// The number-th processor that this process may use; -1 unless there is one for each thread.
static int processor_of(const struct proxy *proxy, uint32_t number)
{
	cpu_set_t usable;
	if (!proxy->config->proxy.pin_threads || sched_getaffinity(0, sizeof(usable), &usable) ||
	    CPU_COUNT(&usable) != (int)proxy->n_threads)
		return -1;
	uint32_t n_before = 0;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &usable) && n_before++ == number)
			return cpu;
	}
	return -1;
}

// "The socket of the thread of the processor that is at it"; for others a number that no socket
// has, which means: by hash (socket(7), SO_ATTACH_REUSEPORT_CBPF).
static int attach(const struct proxy *proxy, int fd)
{
	struct sock_filter code[2 * CONFIG_MAX_WORKERS + 2];
	uint16_t n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 (uint32_t)(SKF_AD_OFF + SKF_AD_CPU));
	for (uint32_t i = 0; i < proxy->n_threads; i++) {
		uint32_t cpu = (uint32_t)processor_of(proxy, i);
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, cpu, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, i);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, proxy->n_threads);
	struct sock_fprog program = {.len = n, .filter = code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
}

void affinity_steer(struct proxy *proxy)
{
	if (proxy->n_threads < 2 || processor_of(proxy, 0) < 0 ||
	    atomic_load_explicit(&proxy->is_steered, memory_order_relaxed) ||
	    atomic_load_explicit(&proxy->is_draining, memory_order_relaxed))
		return;
	// Where it cannot be had, the kernel's hash does the work.
	for (size_t i = 0; i < proxy->config->n_frontends; i++)
		(void)attach(proxy, proxy->threads[0].listeners[i].fd);
	atomic_store_explicit(&proxy->is_steered, true, memory_order_relaxed);
}

void affinity_pin(const struct proxy *proxy, uint32_t number)
{
	cpu_set_t one;
	int cpu = processor_of(proxy, number);
	if (cpu < 0)
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	// Without it the scheduler chooses, which works too.
	(void)pthread_setaffinity_np(proxy->threads[number].pthread, sizeof(one), &one);
}

static void stop_steering(struct proxy_thread *thread)
{
	static const int unused = 0;
	struct proxy *proxy = thread->proxy;
	// Only one of the threads gets to see `true`.
	if (!atomic_exchange_explicit(&proxy->is_steered, false, memory_order_relaxed))
		return;
	for (size_t i = 0; i < proxy->config->n_frontends; i++)
		(void)setsockopt(thread->listeners[i].fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF,
				 &unused, sizeof(unused));
	log_debug("proxy",
		  "connections arrive on few processors: all threads take them for a while");
}

void affinity_check(struct proxy_thread *thread)
{
	const struct proxy *proxy = thread->proxy;
	uint64_t own = counter_read(&thread->n_sessions);
	uint64_t sum = 0;
	if (!atomic_load_explicit(&proxy->is_steered, memory_order_relaxed))
		return;
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		sum += counter_read(&proxy->threads[i].n_sessions);
	uint64_t slack = SLACK * (uint64_t)proxy->n_threads + SLACK_SHARED; // over all
	if (2 * own * proxy->n_threads > 3 * sum + 2 * slack)
		stop_steering(thread);
}
