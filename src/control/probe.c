// SPDX-License-Identifier: Apache-2.0
#include "control/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/http_answer.h"
#include "control/probe_kind.h"
#include "culvert/base/clock.h"
#include "culvert/net/sockaddr.h"

// Whether the question never left this host, for want of descriptors, memory or local ports. EAGAIN
// is what connect(2) says when the ports in use leave no choice; from a Unix socket it says that
// the other side's queue is full.
static bool is_local_lack(const struct probe *probe, int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
		return true;
	case EAGAIN:
		return !probe->is_unix;
	default:
		return false;
	}
}

// ---- the end -----------------------------------------------------------------------------------

static void finish(struct probe *probe, struct probe_result *result)
{
	result->duration_ns = clock_now_ns() - probe->started_ns;
	probe_cancel(probe);
	probe->done(probe->arg, result);
}

void probe_pass(struct probe *probe, const char *format, ...)
{
	struct probe_result result = {.outcome = PROBE_PASSED};
	va_list args;
	va_start(args, format);
	vsnprintf(result.text, sizeof(result.text), format, args);
	va_end(args);
	finish(probe, &result);
}

void probe_fail(struct probe *probe, const char *format, ...)
{
	struct probe_result result = {.outcome = PROBE_FAILED};
	va_list args;
	va_start(args, format);
	vsnprintf(result.text, sizeof(result.text), format, args);
	va_end(args);
	finish(probe, &result);
}

void probe_time_out(struct probe *probe, const char *format, ...)
{
	struct probe_result result = {.outcome = PROBE_FAILED, .error = ETIMEDOUT};
	va_list args;
	va_start(args, format);
	vsnprintf(result.text, sizeof(result.text), format, args);
	va_end(args);
	finish(probe, &result);
}

void probe_fail_by(struct probe *probe, const char *doing, int error)
{
	char detail[128];
	struct probe_result result = {.outcome = PROBE_FAILED, .error = error};
	if (is_local_lack(probe, error))
		result.outcome = PROBE_UNKNOWN;
	if (error == ECONNREFUSED)
		snprintf(result.text, sizeof(result.text), "%s refused", doing);
	else if (error == ETIMEDOUT)
		snprintf(result.text, sizeof(result.text), "%s timed out after %.0f ms", doing,
			 probe_elapsed_ms(probe));
	else if (error == EAGAIN && probe->is_unix)
		snprintf(result.text, sizeof(result.text), "%s failed: its listen queue is full",
			 doing);
	else
		snprintf(result.text, sizeof(result.text), "%s failed: %s", doing,
			 strerror_r(error, detail, sizeof(detail)));
	finish(probe, &result);
}

double probe_elapsed_ms(const struct probe *probe)
{
	return (double)(clock_now_ns() - probe->started_ns) / NS_PER_MS;
}

double probe_timeout_s(const struct probe *probe)
{
	return probe->pool->health_check_timeout_ms / 1000.0;
}

// ---- the way -----------------------------------------------------------------------------------

// A port of this host with no listener may be chosen as the source port of its own probe; then the
// connect meets itself (RFC 9293 section 3.5, simultaneous open) and succeeds.
static bool is_connected_to_itself(int fd)
{
	struct sockaddr_storage local = {0};
	struct sockaddr_storage remote = {0};
	socklen_t local_size = sizeof(local);
	socklen_t remote_size = sizeof(remote);
	return getsockname(fd, (struct sockaddr *)&local, &local_size) == 0 &&
	       getpeername(fd, (struct sockaddr *)&remote, &remote_size) == 0 &&
	       local_size == remote_size && memcmp(&local, &remote, local_size) == 0;
}

static int connect_error(const struct probe *probe)
{
	int error = 0;
	socklen_t size = sizeof(error);
	if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &size))
		return errno;
	if (!error && !probe->is_unix && is_connected_to_itself(probe->fd))
		return ECONNREFUSED;
	return error;
}

// Whoever hears of the connect only when the time is over was held up itself. That is not to be the
// backend's loss: it has not been asked yet.
static void grant_time_to_answer(struct probe *probe)
{
	uint64_t now = clock_now_ns();
	if (now >= probe->deadline_ns)
		probe->deadline_ns = now + (probe->deadline_ns - probe->started_ns);
}

static void on_connect(struct probe *probe, int what)
{
	int error = what & EV_WRITE ? connect_error(probe) : ETIMEDOUT;
	if (error) {
		probe_fail_by(probe, "connect", error);
		return;
	}
	probe->is_connected = true;
	grant_time_to_answer(probe);
	probe->kind->on_connected(probe);
}

// The library says that the time is over, and nothing of what came as well: after a busy spell of
// the loop the answer may lie here. Then that counts.
static int look_once_more(const struct probe *probe)
{
	int awaited = event_get_events(&probe->ready) & (EV_READ | EV_WRITE);
	struct pollfd socket = {
		.fd = probe->fd,
		.events = awaited & EV_WRITE ? POLLOUT : POLLIN,
	};
	return poll(&socket, 1, 0) > 0 ? awaited : EV_TIMEOUT;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	struct probe *probe = arg;
	int came = what == EV_TIMEOUT ? look_once_more(probe) : what;
	if (!probe->is_connected)
		on_connect(probe, came);
	else if (came & (EV_READ | EV_WRITE))
		probe->kind->on_ready(probe);
	else
		probe->kind->on_timeout(probe);
}

void probe_await(struct probe *probe, short what)
{
	uint64_t now = clock_now_ns();
	uint64_t left_us = probe->deadline_ns > now ? (probe->deadline_ns - now) / 1000 : 0;
	struct timeval patience = {.tv_sec = (time_t)(left_us / 1000000),
				   .tv_usec = (suseconds_t)(left_us % 1000000)};
	event_assign(&probe->ready, probe->base, probe->fd, what, on_event, probe);
	if (event_add(&probe->ready, &patience))
		probe_fail_by(probe, "waiting", ENOMEM);
}

static int open_socket(int family, int type)
{
	static const struct linger reset_on_close = {.l_onoff = 1, .l_linger = 0};
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	// Cannot fail for a TCP socket, and says nothing to others.
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset_on_close, sizeof(reset_on_close));
	return fd;
}

// `port` in host byte order.
static int start_connect(struct probe *probe, const struct config_backend *backend, uint16_t port)
{
	struct sockaddr_storage addr;
	struct endpoint endpoint = backend->endpoint;
	endpoint.port_be = htons(port);
	socklen_t size = backend->unix_path ? sockaddr_from_path(backend->unix_path, &addr)
					    : sockaddr_from_endpoint(&endpoint, &addr);
	probe->is_unix = backend->unix_path != NULL;
	int fd = open_socket(addr.ss_family, probe->kind->socket_type);
	if (fd < 0)
		return -fd;
	probe->fd = fd;
	return connect(fd, (const struct sockaddr *)&addr, size) && errno != EINPROGRESS ? errno
											 : 0;
}

// ---- calls from outside ------------------------------------------------------------------------

void probe_init(struct probe *probe, struct event_base *base, probe_done_fn done, void *arg)
{
	*probe = (struct probe){.base = base, .done = done, .arg = arg, .fd = -1};
	event_assign(&probe->ready, base, -1, 0, on_event, probe);
}

static void start(struct probe *probe, const struct config_backend *backend, uint16_t port,
		  uint32_t timeout_ms)
{
	probe->is_connected = false;
	probe->started_ns = clock_now_ns();
	probe->deadline_ns = probe->started_ns + timeout_ms * NS_PER_MS;
	int error = start_connect(probe, backend, port);
	if (error)
		probe_fail_by(probe, "connect", error);
	else
		probe_await(probe, EV_WRITE);
}

void probe_start(struct probe *probe, const struct config_pool *pool,
		 const struct config_backend *backend)
{
	static const struct probe_kind *const kinds[] = {
		[HEALTH_TCP] = &probe_tcp,
		[HEALTH_HTTP] = &probe_http,
		[HEALTH_UDP] = &probe_udp,
	};
	probe->kind = kinds[pool->health_check];
	probe->pool = pool;
	probe->backend = backend;
	start(probe, backend, config_check_port(pool, backend), pool->health_check_timeout_ms);
}

void probe_connect(struct probe *probe, const struct config_backend *backend, uint32_t timeout_ms)
{
	probe->kind = &probe_tcp;
	probe->pool = NULL;
	probe->backend = NULL;
	start(probe, backend, ntohs(backend->endpoint.port_be), timeout_ms);
}

void probe_follow(struct probe *probe, const struct config_pool *pool,
		  const struct config_backend *backend)
{
	probe->pool = pool;
	probe->backend = backend;
	if (probe->answer)
		probe->answer->text = pool->check.body;
}

void probe_cancel(struct probe *probe)
{
	if (probe->fd < 0)
		return;
	event_del(&probe->ready);
	close(probe->fd);
	probe->fd = -1;
	free(probe->answer);
	probe->answer = NULL;
}
