// SPDX-License-Identifier: Apache-2.0
// A connect that fails says something about the backend (refused, timeout, unreachable) or about
// this host (no port, no descriptor). The first counts towards taking the backend out, and another
// one is tried; the client sees nothing of it, for nothing has been read from it yet.
#include "proxy/connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/balance/choice.h"
#include "culvert/base/clock.h"
#include "culvert/net/sockaddr.h"
#include "proxy/session.h"
#include "proxy/thread.h"

static const struct config_pool *pool_of(const struct proxy_thread *thread,
					 const struct session *session)
{
	return thread->snapshot->backends[session->backend].pool_config;
}

static const struct config_backend *backend_of(const struct proxy_thread *thread,
					       const struct session *session)
{
	return thread->snapshot->backends[session->backend].config;
}

// ---- what came of it ---------------------------------------------------------------------------

static enum connect_result result_of(int error)
{
	switch (error) {
	case 0:
		return CONNECT_CONNECTED;
	case ECONNREFUSED:
	case ECONNRESET:
	case ENOENT: // no such Unix socket
		return CONNECT_REFUSED;
	case ETIMEDOUT:
		return CONNECT_TIMEOUT;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case EINVAL: // a route into a black hole
	case EACCES: // a prohibited one, or a path without permission
		return CONNECT_UNREACHABLE;
	case EAGAIN:
	case EADDRNOTAVAIL:
		return CONNECT_NO_PORT;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return CONNECT_LACK;
	default:
		return CONNECT_OTHER;
	}
}

// `fall` in a row take the backend out, until a probe succeeds.
static void count_failure(struct proxy_thread *thread, const struct session *session)
{
	static const uint64_t ring = 1;
	struct proxy *proxy = thread->proxy;
	uint32_t n = 1 + atomic_fetch_add_explicit(&proxy->n_failures[session->backend], 1,
						   memory_order_relaxed);
	if (n >= pool_of(thread, session)->fall) // which a reload may have lowered
		(void)!write(proxy->alarm_fd, &ring, sizeof(ring));
}

static void count_success(struct proxy_thread *thread, const struct session *session)
{
	_Atomic uint32_t *n_failures = &thread->proxy->n_failures[session->backend];
	struct backend_counters *counters = &thread->backends[session->backend];
	counter_add(&counters->traffic.flows_opened, 1);
	histogram_add(&counters->connect_time, thread->now_ns - session->connect_ns);
	// Relaxed, and only seldom written: a count that is off by one does no harm.
	if (atomic_load_explicit(n_failures, memory_order_relaxed))
		atomic_store_explicit(n_failures, 0, memory_order_relaxed);
}

static void count_result(struct proxy_thread *thread, const struct session *session,
			 enum connect_result result)
{
	counter_add(&thread->backends[session->backend].connects[result], 1);
	if (result == CONNECT_CONNECTED)
		count_success(thread, session);
	else if (result == CONNECT_REFUSED || result == CONNECT_TIMEOUT ||
		 result == CONNECT_UNREACHABLE)
		count_failure(thread, session);
}

void connect_release(struct proxy_thread *thread, uint32_t index)
{
	const struct session *session = &thread->sessions[index];
	counter_add(&thread->backends[session->backend].traffic.flows_current, (uint64_t)-1);
}

static void finish_failed(struct proxy_thread *thread, uint32_t index, enum connect_result result)
{
	struct session *session = &thread->sessions[index];
	count_result(thread, session, result);
	connect_release(thread, index);
	conn_close(&session->conns[BACKEND], true); // it may just have been accepted
	session->conns[BACKEND] = (struct conn){.fd = -1};
	session->streams[CLIENT].n_in_syn = 0;
	session->awaits_room = false;
}

void connect_abandon(struct proxy_thread *thread, uint32_t index)
{
	finish_failed(thread, index, CONNECT_ABANDONED);
}

// ---- one attempt -------------------------------------------------------------------------------

static int set_options(int fd, const struct config_proxy *proxy)
{
	static const int on = 1;
	int keepalive_s = (int)proxy->tcp_keepalive_s;
	// Urgent data is part of the stream (RFC 6093 section 2).
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)))
		return errno;
	if (!keepalive_s)
		return 0;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s, sizeof(keepalive_s));
	return setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) ? errno : 0;
}

// What the client has said goes out with the handshake's last acknowledgement: one packet less, and
// the server finds the request when it accepts.
static void spare_acknowledgement(int fd)
{
	static const int off = 0;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
}

// The port is left to connect(), which may use one again that leads elsewhere.
static int bind_source(int fd, const struct ip_addr *source)
{
	static const int on = 1;
	struct endpoint endpoint = {.addr = *source, .proto = IPPROTO_TCP};
	struct sockaddr_storage addr;
	socklen_t size = sockaddr_from_endpoint(&endpoint, &addr);
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)))
		return errno;
	return bind(fd, (const struct sockaddr *)&addr, size) ? errno : 0;
}

// What the client has said travels with the SYN to a server whose cookie the kernel has (RFC 7413);
// it stays held until the SYN has arrived, for another server may have to get it.
static int connect_fast(int fd, const struct sockaddr *addr, socklen_t size, struct stream *early)
{
	ssize_t n = sendto(fd, early->held + early->held_at, early->held_end - early->held_at,
			   MSG_FASTOPEN | MSG_NOSIGNAL, addr, size);
	if (n < 0 && errno == EOPNOTSUPP) // net.ipv4.tcp_fastopen says no
		return connect(fd, addr, size) ? errno : 0;
	if (n < 0)
		return errno;
	early->n_in_syn = (uint32_t)n;
	return 0;
}

// `early` is NULL when nothing may go with the SYN.
static int connect_from(int fd, const struct ip_addr *source, const struct endpoint *to,
			struct stream *early)
{
	struct sockaddr_storage storage;
	socklen_t size = sockaddr_from_endpoint(to, &storage);
	const struct sockaddr *addr = (const struct sockaddr *)&storage;
	int error = source ? bind_source(fd, source) : 0;
	if (error)
		return error;
	if (early)
		return connect_fast(fd, addr, size, early);
	return connect(fd, addr, size) ? errno : 0;
}

// From the configured addresses in turn; one whose ports are used up is passed over.
static int connect_tcp(struct proxy_thread *thread, int fd, const struct endpoint *to,
		       struct stream *early)
{
	const struct config_proxy *proxy = proxy_thread_settings(thread);
	bool is_v4 = ip_addr_is_v4(&to->addr);
	int error = set_options(fd, proxy);
	bool has_source = false;
	if (early->held)
		spare_acknowledgement(fd);
	if (!early->held || !proxy->tcp_fast_open)
		early = NULL;
	for (size_t i = 0; i < proxy->n_source_addrs && !error; i++) {
		size_t at = thread->next_source++ % proxy->n_source_addrs;
		const struct ip_addr *source = &proxy->source_addrs[at];
		if (ip_addr_is_v4(source) != is_v4)
			continue;
		has_source = true;
		error = connect_from(fd, source, to, early);
		if (error != EADDRNOTAVAIL)
			return error;
		error = 0;
	}
	if (has_source)
		return EADDRNOTAVAIL;
	return error ? error : connect_from(fd, NULL, to, early);
}

static int connect_unix(int fd, const char *path)
{
	struct sockaddr_storage addr;
	socklen_t size = sockaddr_from_path(path, &addr);
	return connect(fd, (const struct sockaddr *)&addr, size) ? errno : 0;
}

static int open_backend_socket(const struct config_backend *backend)
{
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
	if (backend->unix_path)
		return socket(AF_UNIX, type, 0);
	return socket(ip_addr_is_v4(&backend->endpoint.addr) ? AF_INET : AF_INET6, type,
		      IPPROTO_TCP);
}

// The queue of a Unix socket is full: where TCP sends its SYN again, we have to.
static void await_room(struct session *session)
{
	close(session->conns[BACKEND].fd);
	session->conns[BACKEND] = (struct conn){.fd = -1};
	session->awaits_room = true;
}

// Returns 0 when the answer will come as an event, or has to be asked for again, else an errno.
static int attempt(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	const struct config_backend *backend = backend_of(thread, session);
	int fd = open_backend_socket(backend);
	if (fd < 0)
		return errno;
	session->conns[BACKEND] = (struct conn){.fd = fd};
	int error = backend->unix_path ? connect_unix(fd, backend->unix_path)
				       : connect_tcp(thread, fd, &backend->endpoint,
						     &session->streams[CLIENT]);
	if (error == EAGAIN && backend->unix_path) {
		await_room(session);
		return 0;
	}
	if (error && error != EINPROGRESS)
		return error;
	return -proxy_thread_watch(thread, fd, index, BACKEND);
}

// ---- the choice --------------------------------------------------------------------------------

// Over all threads: each count has one writer, and a sum a little behind does no harm.
static uint64_t load_of(const void *arg, uint32_t backend)
{
	const struct proxy *proxy = arg;
	uint64_t sum = 0;
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		sum += counter_read(&proxy->threads[i].backends[backend].traffic.flows_current);
	return sum;
}

static int32_t pick(struct proxy_thread *thread, const struct session *session)
{
	const struct snapshot_frontend *frontend = &thread->snapshot->frontends[session->frontend];
	struct scheduler_pick pick = {
		.snapshot = thread->snapshot,
		.pool = proxy_thread_pool(thread, session->frontend),
		.hash = choice_hash(frontend->hash, &session->client, &session->local),
		.load = load_of,
		.load_arg = thread->proxy,
		.tried = session->tried,
		.n_tried = session->n_tried,
	};
	if (session->n_tried > proxy_thread_settings(thread)->retries)
		return SCHEDULER_NO_BACKEND;
	if (frontend->state != SLOT_ACTIVE) // its scheduler went with it
		return scheduler_pick_by_hash(&pick);
	struct scheduler *scheduler =
		generation_scheduler(thread->snapshot, thread->number, session->frontend);
	return scheduler_pick(scheduler, &pick);
}

void connect_start(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	bool is_lacking = false;
	int32_t backend;
	while (!is_lacking && (backend = pick(thread, session)) != SCHEDULER_NO_BACKEND) {
		session->backend = session->tried[session->n_tried++] = (uint16_t)backend;
		session->connect_ns = thread->now_ns;
		counter_add(&thread->backends[backend].traffic.flows_current, 1);
		int error = attempt(thread, index);
		if (!error)
			return;
		enum connect_result result = result_of(error);
		is_lacking = result == CONNECT_LACK;
		if (is_lacking || result == CONNECT_NO_PORT)
			proxy_thread_log_lack("cannot connect to a backend", error);
		finish_failed(thread, index, result);
	}
	session_end(thread, index,
		    is_lacking         ? SESSION_END_RESOURCES
		    : session->n_tried ? SESSION_END_CONNECT_FAILED
				       : SESSION_END_NO_BACKEND);
}

void connect_elsewhere(struct proxy_thread *thread, uint32_t index)
{
	finish_failed(thread, index, CONNECT_ABANDONED);
	connect_start(thread, index);
}

// ---- the answer --------------------------------------------------------------------------------

// A port of this host with no listener may be chosen as the source port of a connect to it; then
// the connection meets itself (RFC 9293 section 3.5, simultaneous open).
static bool is_connected_to_itself(const struct proxy_thread *thread, int fd,
				   const struct config_backend *backend)
{
	struct sockaddr_storage addr;
	socklen_t size = sizeof(addr);
	struct endpoint local;
	if (backend->unix_path || ntohs(backend->endpoint.port_be) < thread->proxy->self_port_min ||
	    getsockname(fd, (struct sockaddr *)&addr, &size))
		return false;
	endpoint_from_sockaddr((const struct sockaddr *)&addr, &local);
	return local.port_be == backend->endpoint.port_be &&
	       ip_addr_equal(&local.addr, &backend->endpoint.addr);
}

static int connect_error(const struct proxy_thread *thread, int fd,
			 const struct config_backend *backend, uint32_t events)
{
	int error = 0;
	socklen_t size = sizeof(error);
	if (events & (EPOLLERR | EPOLLHUP) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
		return errno;
	if (!error && is_connected_to_itself(thread, fd, backend))
		return ECONNREFUSED;
	return error;
}

bool connect_on_event(struct proxy_thread *thread, uint32_t index, uint32_t events)
{
	struct session *session = &thread->sessions[index];
	struct conn *conn = &session->conns[BACKEND];
	const struct config_backend *backend = backend_of(thread, session);
	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return false;
	int error = connect_error(thread, conn->fd, backend, events);
	if (error) {
		finish_failed(thread, index, result_of(error));
		connect_start(thread, index);
		return false;
	}
	count_result(thread, session, CONNECT_CONNECTED);
	conn->is_writable = true;
	return true;
}

static bool is_over(const struct proxy_thread *thread, const struct session *session)
{
	uint64_t timeout_ns = proxy_thread_settings(thread)->connect_timeout_ms * NS_PER_MS;
	return thread->now_ns - session->connect_ns >= timeout_ns;
}

void connect_on_timeout(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	enum connect_result result = CONNECT_TIMEOUT;
	if (session->awaits_room && !is_over(thread, session)) {
		session->awaits_room = false;
		int error = attempt(thread, index);
		if (!error)
			return;
		result = result_of(error);
	}
	finish_failed(thread, index, result);
	connect_start(thread, index);
}
