// SPDX-License-Identifier: Apache-2.0
#include "proxy/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/base/log.h"

enum {
	TIMER_SLOTS = 4096,
	SPARE_SESSIONS = 4 * EVENTS_AT_ONCE, // ended in a round, but not free before its end
};

// ---- helpers of the others ---------------------------------------------------------------------

void proxy_thread_wake(struct proxy_thread *thread)
{
	static const uint64_t ring = 1;
	(void)!write(thread->wake_fd, &ring, sizeof(ring));
}

static int watch(int epoll_fd, int fd, uint32_t events, enum subject subject, uint32_t number)
{
	struct epoll_event event = {
		.events = events | EPOLLET,
		.data.u64 = (uint64_t)subject << NUMBER_BITS | number,
	};
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int proxy_thread_watch(struct proxy_thread *thread, int fd, uint32_t session, unsigned end)
{
	return watch(thread->epoll_fd, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI,
		     (enum subject)end, session);
}

int proxy_thread_watch_listener(struct proxy_thread *thread, int fd, uint32_t slot)
{
	return watch(thread->epoll_fd, fd, EPOLLIN, ABOUT_LISTENER, slot);
}

uint16_t proxy_thread_pool(const struct proxy_thread *thread, uint16_t frontend)
{
	const struct snapshot *snapshot = thread->snapshot;
	const struct snapshot_frontend *from = &snapshot->frontends[frontend];
	if (from->state == SLOT_ACTIVE)
		return from->pool;
	const char *name = from->owner->pools[from->config->pool].name;
	for (uint32_t i = 0; i < snapshot->n_pools; i++) {
		if (strcmp(snapshot->pools[i].config->name, name) == 0)
			return (uint16_t)i;
	}
	return from->pool;
}

void proxy_thread_log_lack(const char *what, int error)
{
	static struct log_limit limit = LOG_LIMIT(1);
	char detail[128];
	const char *advice = "";
	if (error == EMFILE)
		advice = "; raise the limit of open files (LimitNOFILE=, ulimit -n), or lower "
			 "[proxy] max_connections";
	else if (error == ENFILE)
		advice = "; raise the sysctl fs.file-max";
	else if (error == EADDRNOTAVAIL || error == EAGAIN)
		advice =
			"; every source port towards it is in use: widen the sysctl "
			"net.ipv4.ip_local_port_range, set net.ipv4.tcp_tw_reuse = 1, or name more "
			"addresses in [proxy] source_addrs";
	log_limited(&limit, LOG_ERROR, "proxy", NULL, "%s: %s%s", what,
		    strerror_r(error, detail, sizeof(detail)), advice);
}

// ---- setting up --------------------------------------------------------------------------------

static int open_descriptors(struct proxy_thread *thread, struct err *err)
{
	thread->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	thread->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (thread->epoll_fd < 0 || thread->wake_fd < 0)
		return err_sys(err, -errno, "cannot open an event loop");
	int code = watch(thread->epoll_fd, thread->wake_fd, EPOLLIN, ABOUT_WAKE, 0);
	return code ? err_sys(err, code, "cannot open an event loop") : 0;
}

// Address space for all that there may ever be; memory only for as many as there were at once.
static int map_sessions(struct proxy_thread *thread, struct err *err)
{
	thread->capacity = thread->proxy->max_sessions + SPARE_SESSIONS;
	thread->n_touched = 1; // 0 names none
	void *mapped = mmap(NULL, thread->capacity * sizeof(struct session), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapped == MAP_FAILED)
		return err_sys(err, -errno, "cannot map memory for %u sessions", thread->capacity);
	thread->sessions = mapped;
	thread->tick = (uint32_t)(clock_now_ns() / (MS_PER_TICK * NS_PER_MS));
	int code = wheel_init(&thread->timers, TIMER_SLOTS,
			      (unsigned char *)mapped + offsetof(struct session, timer),
			      sizeof(struct session), thread->tick);
	return code ? err_sys(err, code, "cannot make timers") : 0;
}

static int allocate(struct proxy_thread *thread, struct err *err)
{
	size_t n_frontends = thread->proxy->max_frontends;
	size_t n_backends = thread->proxy->max_backends;
	thread->listeners = calloc(n_frontends + 1, sizeof(*thread->listeners));
	thread->offered = calloc(n_frontends + 1, sizeof(*thread->offered));
	thread->frontends = calloc(n_frontends + 1, sizeof(*thread->frontends));
	thread->backends = calloc(n_backends + 1, sizeof(*thread->backends));
	thread->was_up = calloc(n_backends + 1, sizeof(bool));
	thread->has_gone_down = calloc(n_backends + 1, sizeof(bool));
	for (size_t i = 0; thread->listeners && i < n_frontends; i++)
		thread->listeners[i].fd = -1;
	for (size_t i = 0; thread->offered && i < n_frontends; i++)
		atomic_init(&thread->offered[i], -1);
	if (!thread->listeners || !thread->offered || !thread->frontends || !thread->backends ||
	    !thread->was_up || !thread->has_gone_down)
		return err_set(err, -ENOMEM, "not enough memory for a thread");
	return 0;
}

int proxy_thread_init(struct proxy_thread *thread, struct proxy *proxy, uint32_t number,
		      struct err *err)
{
	*thread = (struct proxy_thread){
		.proxy = proxy,
		.number = number,
		.epoll_fd = -1,
		.wake_fd = -1,
	};
	int code = open_descriptors(thread, err);
	if (!code)
		code = map_sessions(thread, err);
	if (!code)
		code = allocate(thread, err);
	if (!code && relay_init(&thread->relay, 0, false)) // follow.c fills in the rest
		code = err_set(err, -ENOMEM, "not enough memory for a thread's buffer");
	if (!code && proxy->has_flow_log)
		code = flow_journal_create(&thread->journal, FLOW_JOURNAL_RECORDS, err);
	if (code)
		proxy_thread_fini(thread);
	return code;
}

static void close_listeners(struct proxy_thread *thread)
{
	size_t n_frontends = thread->proxy ? thread->proxy->max_frontends : 0;
	for (size_t i = 0; thread->listeners && i < n_frontends; i++)
		listener_close(&thread->listeners[i]);
	for (size_t i = 0; thread->offered && i < n_frontends; i++) {
		if (thread->offered[i] >= 0)
			close(thread->offered[i]);
	}
}

void proxy_thread_fini(struct proxy_thread *thread)
{
	close_listeners(thread);
	free(thread->offered);
	free(thread->listeners);
	free(thread->frontends);
	free(thread->backends);
	free(thread->was_up);
	free(thread->has_gone_down);
	relay_fini(&thread->relay);
	wheel_fini(&thread->timers);
	flow_journal_destroy(thread->journal);
	if (thread->sessions)
		munmap(thread->sessions, thread->capacity * sizeof(struct session));
	if (thread->epoll_fd >= 0)
		close(thread->epoll_fd);
	if (thread->wake_fd >= 0)
		close(thread->wake_fd);
	*thread = (struct proxy_thread){.epoll_fd = -1, .wake_fd = -1};
}
