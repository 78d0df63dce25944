// SPDX-License-Identifier: Apache-2.0
#include "culvert/proxy/proxy.h"

#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/balance/grace.h"
#include "culvert/base/thread.h"
#include "culvert/net/sockaddr.h"
#include "proxy/affinity.h"
#include "proxy/limits.h"
#include "proxy/loop.h"
#include "proxy/thread.h"

// ---- the host
// ------------------------------------------------------------------------------------

uint32_t proxy_count_threads(const struct config *config)
{
	cpu_set_t usable;
	if (config->proxy.threads != THREADS_AUTO)
		return (uint32_t)config->proxy.threads;
	if (sched_getaffinity(0, sizeof(usable), &usable))
		return 1;
	int n = CPU_COUNT(&usable);
	return n < CONFIG_MAX_WORKERS ? (uint32_t)n : CONFIG_MAX_WORKERS;
}

// A connection from an address that is not here would fail, as if it lacked a port.
static int check_sources(const struct config *config, struct err *err)
{
	int code = 0;
	for (size_t i = 0; i < config->proxy.n_source_addrs && !code; i++) {
		struct endpoint source = {.addr = config->proxy.source_addrs[i],
					  .proto = IPPROTO_TCP};
		struct sockaddr_storage addr;
		char text[IP_ADDR_TEXT_MAX];
		socklen_t size = sockaddr_from_endpoint(&source, &addr);
		int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
		if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, size))
			code = err_sys(err, -errno,
				       "[proxy] source_addrs: cannot connect from %s (add it to an "
				       "interface, or take it out)",
				       ip_addr_format(&source.addr, text));
		if (fd >= 0)
			close(fd);
	}
	return code;
}

// The first port that the kernel may give to a connection of this host. Without /proc: any.
static uint16_t first_local_port(void)
{
	char line[32];
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	bool is_read = file && fgets(line, sizeof(line), file);
	if (file)
		fclose(file);
	return is_read ? (uint16_t)strtoul(line, NULL, 10) : 0;
}

// ---- making ------------------------------------------------------------------------------------

static int allocate_stats(const struct proxy *proxy, struct proxy_stats *stats)
{
	*stats = (struct proxy_stats){
		.frontends = calloc(proxy->max_frontends + 1, sizeof(*stats->frontends)),
		.n_frontends = proxy->max_frontends,
		.backends = calloc(proxy->max_backends + 1, sizeof(*stats->backends)),
		.n_backends = proxy->max_backends,
	};
	if (stats->frontends && stats->backends)
		return 0;
	proxy_stats_fini(stats);
	return -ENOMEM;
}

static bool allocate_slots(struct proxy *proxy)
{
	uint32_t n_frontends = proxy->max_frontends + 1;
	proxy->frontends = calloc(n_frontends, sizeof(*proxy->frontends));
	proxy->listening = calloc(n_frontends, sizeof(*proxy->listening));
	proxy->n_listening = calloc(n_frontends, sizeof(*proxy->n_listening));
	proxy->is_held = calloc(n_frontends, sizeof(*proxy->is_held));
	proxy->n_failures = calloc(proxy->max_backends + 1, sizeof(*proxy->n_failures));
	return proxy->frontends && proxy->listening && proxy->n_listening && proxy->is_held &&
	       proxy->n_failures;
}

static int allocate(struct proxy *proxy, struct err *err)
{
	proxy->threads =
		aligned_alloc(PROXY_CACHE_LINE, proxy->n_threads * sizeof(*proxy->threads));
	if (!allocate_slots(proxy) || !proxy->threads || allocate_stats(proxy, &proxy->before))
		return err_set(err, -ENOMEM, "not enough memory for %u threads", proxy->n_threads);
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		proxy->threads[i] = (struct proxy_thread){.epoll_fd = -1, .wake_fd = -1};
	proxy->alarm_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return proxy->alarm_fd < 0 ? err_sys(err, -errno, "cannot open an eventfd") : 0;
}

static int open_threads(struct proxy *proxy, struct err *err)
{
	int code = 0;
	for (uint32_t i = 0; i < proxy->n_threads && !code; i++)
		code = proxy_thread_init(&proxy->threads[i], proxy, i, err);
	return code;
}

// What the snapshot's configuration brings, apart from what the threads see to themselves.
static void follow(struct proxy *proxy, const struct snapshot *snapshot)
{
	if (snapshot->generation->number != proxy->limited_generation)
		limits_follow(proxy, snapshot);
	proxy->limited_generation = snapshot->generation->number;
	offers_hand_over(proxy, snapshot);
}

int proxy_create(struct proxy **proxy, const struct config *config, struct snapshot *snapshot,
		 struct err *err)
{
	struct proxy *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the proxy");
	made->alarm_fd = -1;
	made->n_threads = proxy_count_threads(config);
	made->max_frontends = config_max_frontends(config);
	made->max_backends = config_max_backends(config);
	made->has_flow_log = config->flow_log.path != NULL;
	made->self_port_min = first_local_port();
	affinity_start(made, config->proxy.pin_threads);
	int code = allocate(made, err);
	if (!code)
		code = limits_find(made, config, err);
	if (!code)
		code = proxy_check(made, config, err);
	if (!code)
		code = open_threads(made, err);
	if (!code)
		code = offers_open(made, config, err);
	if (code) {
		proxy_destroy(made);
		return code;
	}
	offers_keep(made);
	follow(made, snapshot);
	atomic_store_explicit(&made->snapshot, snapshot, memory_order_release);
	*proxy = made;
	return 0;
}

// ---- another configuration ---------------------------------------------------------------------

int proxy_check(struct proxy *proxy, const struct config *config, struct err *err)
{
	int code = limits_check(proxy, config, err);
	if (!code)
		code = check_sources(config, err);
	return code ? code : offers_check(proxy, config, err);
}

bool proxy_is_settled(const struct proxy *proxy)
{
	return offers_are_settled(proxy);
}

int proxy_prepare(struct proxy *proxy, const struct config *config, struct err *err)
{
	int code = proxy_check(proxy, config, err);
	return code ? code : offers_open(proxy, config, err);
}

void proxy_commit(struct proxy *proxy)
{
	offers_keep(proxy);
}

void proxy_abandon(struct proxy *proxy)
{
	offers_drop(proxy);
}

// ---- running -----------------------------------------------------------------------------------

void proxy_tell_activity(struct proxy *proxy, struct doorbell *bell)
{
	proxy->activity = bell;
}

int proxy_start(struct proxy *proxy, struct err *err)
{
	for (uint32_t i = 0; i < proxy->n_threads; i++) {
		struct proxy_thread *thread = &proxy->threads[i];
		char name[16];
		snprintf(name, sizeof(name), "cv-proxy-%u", i % 1000);
		int code = thread_start(&thread->pthread, name, loop_run, thread, err);
		if (code)
			return code;
		affinity_pin(proxy, i);
		proxy->n_running++;
	}
	return 0;
}

static void wake_all(struct proxy *proxy)
{
	for (uint32_t i = 0; i < proxy->n_running; i++)
		proxy_thread_wake(&proxy->threads[i]);
}

void proxy_publish(struct proxy *proxy, struct snapshot *snapshot)
{
	follow(proxy, snapshot);
	// Pairs with the acquire in a thread's round.
	struct snapshot *before =
		atomic_exchange_explicit(&proxy->snapshot, snapshot, memory_order_acq_rel);
	wake_all(proxy);
	grace_wait();
	snapshot_destroy(before);
}

void proxy_steer(struct proxy *proxy)
{
	affinity_ask(proxy);
}

void proxy_hold_frontend(struct proxy *proxy, uint32_t frontend, bool is_held)
{
	atomic_store_explicit(&proxy->is_held[frontend], is_held, memory_order_relaxed);
	if (!is_held)
		wake_all(proxy);
}

void proxy_drain(struct proxy *proxy)
{
	// Pairs with the acquire in a thread's loop.
	atomic_store_explicit(&proxy->is_draining, true, memory_order_release);
	wake_all(proxy);
}

bool proxy_is_drained(const struct proxy *proxy)
{
	// Pairs with the release in a thread's drain().
	return atomic_load_explicit(&proxy->n_drained, memory_order_acquire) == proxy->n_running &&
	       proxy_n_sessions(proxy) == 0;
}

void proxy_stop(struct proxy *proxy)
{
	// Pairs with the acquire in a thread's loop.
	atomic_store_explicit(&proxy->is_stopping, true, memory_order_release);
	wake_all(proxy);
	for (uint32_t i = 0; i < proxy->n_running; i++)
		pthread_join(proxy->threads[i].pthread, NULL);
	proxy->n_running = 0;
}

void proxy_destroy(struct proxy *proxy)
{
	if (!proxy)
		return;
	proxy_stop(proxy);
	for (uint32_t i = 0; proxy->threads && i < proxy->n_threads; i++)
		proxy_thread_fini(&proxy->threads[i]);
	free(proxy->threads);
	offers_close_all(proxy);
	free(proxy->frontends);
	free(proxy->listening);
	free(proxy->n_listening);
	free(proxy->is_held);
	free(proxy->n_failures);
	proxy_stats_fini(&proxy->before);
	if (proxy->alarm_fd >= 0)
		close(proxy->alarm_fd);
	snapshot_destroy(atomic_load_explicit(&proxy->snapshot, memory_order_relaxed));
	free(proxy);
}

// ---- what control asks -------------------------------------------------------------------------

int proxy_alarm_fd(const struct proxy *proxy)
{
	return proxy->alarm_fd;
}

// The pool's `fall` was met: by whoever rang; all are looked at, for bells can be rung together.
int32_t proxy_take_suspect(struct proxy *proxy)
{
	uint64_t rung;
	(void)!read(proxy->alarm_fd, &rung, sizeof(rung));
	// Control itself has stored it.
	const struct snapshot *snapshot =
		atomic_load_explicit(&proxy->snapshot, memory_order_relaxed);
	for (uint32_t i = 0; i < snapshot->n_backends; i++) {
		const struct snapshot_backend *backend = &snapshot->backends[i];
		_Atomic uint32_t *n = &proxy->n_failures[i];
		if (!backend->config ||
		    atomic_load_explicit(n, memory_order_relaxed) < backend->pool_config->fall)
			continue;
		atomic_store_explicit(n, 0, memory_order_relaxed);
		return (int32_t)i;
	}
	return -1;
}

// Returns its traffic, read once: the total is the sum of the frontends also while they count.
static struct traffic add_frontend(struct proxy_frontend_stats *to,
				   const struct frontend_counters *from)
{
	struct traffic part = {0};
	traffic_gather(&part, &from->traffic);
	traffic_add(&to->traffic, &part);
	histogram_gather(&to->session_time, &from->session_time);
	for (unsigned k = 0; k < N_SESSION_ENDS; k++)
		to->ends[k] += counter_read(&from->ends[k]);
	return part;
}

static void add_backend(struct proxy_backend_stats *to, const struct backend_counters *from)
{
	traffic_gather(&to->traffic, &from->traffic);
	histogram_gather(&to->connect_time, &from->connect_time);
	for (unsigned k = 0; k < N_CONNECT_RESULTS; k++)
		to->connects[k] += counter_read(&from->connects[k]);
}

static void add_thread(struct proxy_stats *stats, const struct proxy_thread *thread)
{
	stats->accepted += counter_read(&thread->accepted);
	stats->accept_pauses += counter_read(&thread->accept_pauses);
	for (size_t i = 0; i < stats->n_frontends; i++) {
		const struct frontend_counters *from = &thread->frontends[i];
		struct traffic part = add_frontend(&stats->frontends[i], from);
		traffic_add(&stats->total, &part);
		for (unsigned k = 0; k < N_SESSION_ENDS; k++)
			stats->ends[k] += counter_read(&from->ends[k]);
	}
	for (size_t i = 0; i < stats->n_backends; i++)
		add_backend(&stats->backends[i], &thread->backends[i]);
}

// What slots have counted for those who had them before is not of those who have them now.
int proxy_stats(const struct proxy *proxy, struct proxy_stats *stats)
{
	if (allocate_stats(proxy, stats))
		return -ENOMEM;
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		add_thread(stats, &proxy->threads[i]);
	for (size_t i = 0; i < stats->n_frontends; i++)
		proxy_frontend_stats_subtract(&stats->frontends[i], &proxy->before.frontends[i]);
	for (size_t i = 0; i < stats->n_backends; i++)
		proxy_backend_stats_subtract(&stats->backends[i], &proxy->before.backends[i]);
	return 0;
}

uint64_t proxy_frontend_users(const struct proxy *proxy, uint32_t frontend)
{
	// Pairs with the release of a thread that has closed its listener: what it has accepted
	// there is counted by now.
	uint64_t n = atomic_load_explicit(&proxy->n_listening[frontend], memory_order_acquire);
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		n += counter_read(&proxy->threads[i].frontends[frontend].traffic.flows_current);
	return n;
}

uint64_t proxy_backend_users(const struct proxy *proxy, uint32_t backend)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		n += counter_read(&proxy->threads[i].backends[backend].traffic.flows_current);
	return n;
}

// Of the one slot alone: a reload may have removed thousands.
void proxy_forget_frontend(struct proxy *proxy, uint32_t frontend)
{
	struct proxy_frontend_stats sum = {0};
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		add_frontend(&sum, &proxy->threads[i].frontends[frontend]);
	proxy->before.frontends[frontend] = sum;
}

void proxy_forget_backend(struct proxy *proxy, uint32_t backend, struct traffic *counted)
{
	struct proxy_backend_stats sum = {0};
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		add_backend(&sum, &proxy->threads[i].backends[backend]);
	*counted = sum.traffic;
	traffic_subtract(counted, &proxy->before.backends[backend].traffic);
	proxy->before.backends[backend] = sum;
	// Who had the slot before is not to be held against who has it now.
	atomic_store_explicit(&proxy->n_failures[backend], 0, memory_order_relaxed);
}

uint64_t proxy_n_sessions(const struct proxy *proxy)
{
	return atomic_load_explicit(&proxy->all.used, memory_order_relaxed);
}

struct flow_journal *proxy_flow_journal(const struct proxy *proxy, uint32_t i)
{
	return proxy->threads[i].journal;
}

uint32_t proxy_n_threads(const struct proxy *proxy)
{
	return proxy->n_threads;
}

uint32_t proxy_max_sessions(const struct proxy *proxy)
{
	return atomic_load_explicit(&proxy->all.max, memory_order_relaxed);
}
