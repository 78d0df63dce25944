// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/log.h"
#include "culvert/net/sockaddr.h"
#include "culvert/proxy/proxy.h"
#include "proxy/affinity.h"
#include "proxy/session.h"
#include "proxy/thread.h"

enum {
	BACKLOG = 65535,      // the kernel cuts it to net.core.somaxconn
	ACCEPTS_AT_ONCE = 64, // per round, while others wait
	FAST_OPEN_QUEUE = 1024,
};

// ---- opening -----------------------------------------------------------------------------------

static int set_flag(int fd, int level, int name)
{
	static const int on = 1;
	return setsockopt(fd, level, name, &on, sizeof(on)) ? -errno : 0;
}

bool listener_is_v6_only(const struct config *config, size_t frontend)
{
	const struct endpoint *own = &config->frontends[frontend].endpoint;
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct endpoint *other = &config->frontends[i].endpoint;
		if (ip_addr_is_v4(&other->addr) && ip_addr_is_unspecified(&other->addr) &&
		    other->port_be == own->port_be)
			return true;
	}
	return false;
}

// Everything that connections inherit from their listener.
static int set_options(int fd, const struct config *config, size_t frontend)
{
	const struct config_proxy *proxy = &config->proxy;
	int keepalive_s = (int)proxy->tcp_keepalive_s;
	int queue = FAST_OPEN_QUEUE;
	int code = set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
	if (!code)
		code = set_flag(fd, SOL_SOCKET, SO_OOBINLINE);
	if (!code)
		code = set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
	if (!code && !ip_addr_is_v4(&config->frontends[frontend].endpoint.addr)) {
		int v6_only = listener_is_v6_only(config, frontend);
		code = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) ? -errno
											    : 0;
	}
	if (!code && keepalive_s) {
		code = set_flag(fd, SOL_SOCKET, SO_KEEPALIVE);
		(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s, sizeof(keepalive_s));
	}
	if (!code && proxy->tcp_fast_open &&
	    setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)))
		code = -errno;
	return code;
}

static int explain(int code, const struct config_frontend *frontend, struct err *err)
{
	char text[ENDPOINT_TEXT_MAX];
	endpoint_format(&frontend->endpoint, text);
	if (code == -EADDRINUSE)
		return err_set(
			err, code,
			"frontend %s: %s is in use by another program; stop that (`ss -ltnp` "
			"names it), or choose another listen_addr",
			frontend->name, text);
	if (code == -EACCES)
		return err_set(err, code,
			       "frontend %s: ports below %s need a privilege that this process "
			       "lacks (listen_addr %s); run as root, with CAP_NET_BIND_SERVICE, or "
			       "choose a higher port",
			       frontend->name, "net.ipv4.ip_unprivileged_port_start", text);
	if (code == -EADDRNOTAVAIL)
		return err_set(err, code,
			       "frontend %s: this host does not have the address of %s; add it to "
			       "an interface, or correct listen_addr",
			       frontend->name, text);
	return err_sys(err, code, "frontend %s: cannot listen on %s", frontend->name, text);
}

int listener_open(const struct config *config, size_t frontend, enum listener_use use,
		  struct err *err)
{
	const struct config_frontend *from = &config->frontends[frontend];
	struct sockaddr_storage addr;
	socklen_t size = sockaddr_from_endpoint(&from->endpoint, &addr);
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return explain(-errno, from, err);
	int code = set_options(fd, config, frontend);
	if (!code && use != LISTENER_PROBE)
		code = set_flag(fd, SOL_SOCKET, SO_REUSEPORT);
	if (!code && bind(fd, (const struct sockaddr *)&addr, size))
		code = -errno;
	if (!code && use == LISTENER_LISTEN && listen(fd, BACKLOG))
		code = -errno;
	if (!code)
		return fd;
	close(fd);
	return explain(code, from, err);
}

// None of it can fail for a reason that matters here: what is set has been set before, or its
// opposite.
void listener_follow(const struct listener *listener, const struct config_proxy *config)
{
	int keepalive_s = (int)config->tcp_keepalive_s;
	int is_kept_alive = keepalive_s > 0;
	int queue = config->tcp_fast_open ? FAST_OPEN_QUEUE : 0;
	(void)setsockopt(listener->fd, SOL_SOCKET, SO_KEEPALIVE, &is_kept_alive,
			 sizeof(is_kept_alive));
	if (is_kept_alive)
		(void)setsockopt(listener->fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s,
				 sizeof(keepalive_s));
	(void)setsockopt(listener->fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue));
}

void listener_close(struct listener *listener)
{
	if (listener->fd >= 0)
		close(listener->fd);
	*listener = (struct listener){.fd = -1};
}

// ---- accepting ---------------------------------------------------------------------------------

static bool may_wait(const struct proxy_thread *thread)
{
	return thread->snapshot->config->proxy.on_full == ON_FULL_WAIT;
}

// That of the frontend or that of all; both are named, since either may have been full when it was
// asked for.
static void log_full(const struct proxy_thread *thread, const struct listener *listener)
{
	const struct config_frontend *frontend =
		thread->snapshot->frontends[listener->frontend].config;
	static struct log_limit limit = LOG_LIMIT(1);
	const struct log_field fields[] = {{"frontend", frontend->name}, {NULL, NULL}};
	log_limited(&limit, LOG_WARN, "proxy", fields,
		    "frontend %s has no room for more clients, who %s: max_connections is %u of "
		    "the frontend (0: no limit of its own), %u in all",
		    frontend->name, may_wait(thread) ? "wait" : "are refused",
		    frontend->max_connections, proxy_max_sessions(thread->proxy));
}

// Nobody is taken yet whom the first checks of new backends would serve in a moment.
static bool is_held(const struct proxy_thread *thread, const struct listener *listener)
{
	return atomic_load_explicit(&thread->proxy->is_held[listener->frontend],
				    memory_order_relaxed) &&
	       thread->snapshot->frontends[listener->frontend].state == SLOT_ACTIVE;
}

static void pause_accepting(struct proxy_thread *thread, struct listener *listener)
{
	if (!listener->is_paused)
		counter_add(&thread->accept_pauses, 1);
	listener->is_paused = true;
}

static bool take_quota(struct proxy_thread *thread, struct quota *quota)
{
	return may_wait(thread) ? quota_take_or_wait(thread, quota) : quota_take(quota);
}

// That of the frontend comes first: a place among all is not to be taken, and given to the next who
// waits, for one that cannot use it.
static bool take_quotas(struct proxy_thread *thread, uint16_t frontend)
{
	struct proxy *proxy = thread->proxy;
	if (!session_is_free(thread) || !take_quota(thread, &proxy->frontends[frontend]))
		return false;
	if (take_quota(thread, &proxy->all))
		return true;
	quota_give(thread, &proxy->frontends[frontend]);
	return false;
}

static void give_quotas(struct proxy_thread *thread, uint16_t frontend)
{
	struct proxy *proxy = thread->proxy;
	quota_give(thread, &proxy->frontends[frontend]);
	quota_give(thread, &proxy->all);
}

// Nobody waits here any more.
static void unpause(struct proxy_thread *thread, struct listener *listener)
{
	struct proxy *proxy = thread->proxy;
	if (!listener->is_paused)
		return;
	listener->is_paused = false;
	quota_pass_on(thread, &proxy->frontends[listener->frontend]);
	quota_pass_on(thread, &proxy->all);
}

// on_full = "refuse": the client learns at once that there is no room.
static void refuse(struct proxy_thread *thread, const struct listener *listener, int fd,
		   const struct endpoint *client)
{
	struct conn conn = {.fd = fd};
	session_note_refused(thread, listener->frontend, client);
	conn_close(&conn, true);
	counter_add(&thread->accepted, 1);
	counter_add(&thread->frontends[listener->frontend].ends[SESSION_END_LIMIT], 1);
}

// Whether the next one should be asked for.
static bool handle_error(struct proxy_thread *thread, struct listener *listener, int error)
{
	switch (error) {
	case EAGAIN:
		unpause(thread, listener);
		return false;
	case EINTR:
	case ECONNABORTED: // from here on of the one connection, which is gone (accept(2))
	case EPROTO:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
		return true;
	default: // want of something, which the next one would meet too
		proxy_thread_log_lack("cannot accept connections for now", error);
		pause_accepting(thread, listener);
		return false;
	}
}

static bool accept_one(struct proxy_thread *thread, struct listener *listener)
{
	struct sockaddr_storage addr;
	socklen_t size = sizeof(addr);
	bool is_admitted = take_quotas(thread, listener->frontend);
	if (!is_admitted)
		log_full(thread, listener);
	if (!is_admitted && may_wait(thread)) {
		pause_accepting(thread, listener);
		return false;
	}
	int fd = accept4(listener->fd, (struct sockaddr *)&addr, &size,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);
	int error = errno;
	if (fd < 0 && is_admitted)
		give_quotas(thread, listener->frontend);
	if (fd < 0)
		return handle_error(thread, listener, error);
	listener->is_paused = false;
	struct endpoint client;
	endpoint_from_sockaddr((const struct sockaddr *)&addr, &client);
	client.proto = IPPROTO_TCP;
	if (!is_admitted) {
		refuse(thread, listener, fd, &client);
		return true;
	}
	session_open(thread, listener, fd, &client);
	affinity_check(thread);
	return true;
}

void listener_accept(struct proxy_thread *thread, struct listener *listener)
{
	listener->has_more = false;
	if (is_held(thread, listener)) {
		listener->is_paused = true;
		return;
	}
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		if (!accept_one(thread, listener))
			return;
	}
	listener->has_more = true;
}
