// SPDX-License-Identifier: Apache-2.0
#include "proxy/affinity.h"

#include <linux/filter.h>
#include <sched.h>
#include <sys/socket.h>

#include "culvert/base/log.h"
#include "proxy/thread.h"

// A thread may have half as many sessions again as the mean, and some: chance must not look like a
// bad spread.
enum { SLACK = 8 };

// "The socket of the thread of the processor that is at it"; for others a number that no socket
// has, which means: by hash (socket(7), SO_ATTACH_REUSEPORT_CBPF).
void affinity_attach(const struct proxy *proxy, int fd)
{
	struct sock_filter code[2 * CONFIG_MAX_WORKERS + 2];
	uint16_t n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 (uint32_t)(SKF_AD_OFF + SKF_AD_CPU));
	for (uint32_t i = 0; i < proxy->n_threads; i++) {
		uint32_t cpu = (uint32_t)proxy->processors[i];
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, cpu, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, i);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, proxy->n_threads);
	struct sock_fprog program = {.len = n, .filter = code};
	// Where it cannot be had, the kernel's hash does the work.
	(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
}

static void detach(int fd)
{
	static const int unused = 0;
	(void)setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused));
}

static bool can_steer(const struct proxy *proxy)
{
	return proxy->n_threads > 1 && proxy->processors[0] >= 0;
}

// In the order of their numbers, one for each thread: there are as many. Asked once, since the
// threads themselves may use one only by and by.
static void find_processors(struct proxy *proxy, const cpu_set_t *usable)
{
	uint32_t n = 0;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, usable))
			proxy->processors[n++] = cpu;
	}
}

void affinity_start(struct proxy *proxy, bool pins_threads)
{
	cpu_set_t usable;
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		proxy->processors[i] = -1;
	if (pins_threads && !sched_getaffinity(0, sizeof(usable), &usable) &&
	    CPU_COUNT(&usable) == (int)proxy->n_threads)
		find_processors(proxy, &usable);
	atomic_store_explicit(&proxy->is_steered, can_steer(proxy), memory_order_relaxed);
}

void affinity_ask(struct proxy *proxy)
{
	if (!can_steer(proxy) || atomic_load_explicit(&proxy->is_steered, memory_order_relaxed))
		return;
	atomic_store_explicit(&proxy->should_steer, true, memory_order_relaxed);
	proxy_thread_wake(&proxy->threads[0]);
}

void affinity_follow(const struct proxy_thread *thread, int fd)
{
	if (!atomic_load_explicit(&thread->proxy->is_steered, memory_order_relaxed))
		detach(fd);
}

void affinity_take_order(struct proxy_thread *thread)
{
	struct proxy *proxy = thread->proxy;
	if (thread->number != 0 || thread->is_drained ||
	    !atomic_exchange_explicit(&proxy->should_steer, false, memory_order_relaxed))
		return;
	for (uint32_t i = 0; i < thread->n_listeners; i++) {
		if (thread->listeners[i].fd >= 0)
			affinity_attach(proxy, thread->listeners[i].fd);
	}
	atomic_store_explicit(&proxy->is_steered, true, memory_order_relaxed);
}

void affinity_pin(const struct proxy *proxy, uint32_t number)
{
	cpu_set_t one;
	int cpu = proxy->processors[number];
	if (cpu < 0)
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	// Without it the scheduler chooses, which works too.
	(void)pthread_setaffinity_np(proxy->threads[number].pthread, sizeof(one), &one);
}

static void stop_steering(struct proxy_thread *thread)
{
	struct proxy *proxy = thread->proxy;
	// Only one of the threads gets to see `true`.
	if (!atomic_exchange_explicit(&proxy->is_steered, false, memory_order_relaxed))
		return;
	for (uint32_t i = 0; i < thread->n_listeners; i++) {
		if (thread->listeners[i].fd >= 0)
			detach(thread->listeners[i].fd);
	}
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
	uint64_t slack = SLACK * (uint64_t)proxy->n_threads; // over all
	if (2 * own * proxy->n_threads > 3 * sum + 2 * slack)
		stop_steering(thread);
}
