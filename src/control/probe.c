// SPDX-License-Identifier: Apache-2.0
#include "probe.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/net/sockaddr.h"

// Whether the connect never left this host, for want of descriptors, memory or local ports. EAGAIN
// is what connect(2) says when the ports in use leave no choice.
static bool is_local_lack(int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
	case EAGAIN:
		return true;
	default:
		return false;
	}
}

static void finish(struct probe *probe, int error)
{
	struct probe_result result = {.outcome = PROBE_PASSED, .error = error};
	result.duration_ns = clock_now_ns() - probe->started_ns;
	if (error)
		result.outcome = is_local_lack(error) ? PROBE_UNKNOWN : PROBE_FAILED;
	probe_cancel(probe);
	probe->done(probe->arg, &result);
}

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

static int connect_error(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
		return errno;
	if (!error && is_connected_to_itself(fd))
		return ECONNREFUSED;
	return error;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct probe *probe = arg;
	// Both may be set after a busy spell of the loop: then the answer counts.
	finish(probe, what & EV_WRITE ? connect_error(fd) : ETIMEDOUT);
}

static int open_socket(int family)
{
	static const struct linger reset_on_close = {.l_onoff = 1, .l_linger = 0};
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	// Cannot fail for a TCP socket, and says nothing to others.
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset_on_close, sizeof(reset_on_close));
	return fd;
}

static int start_connect(struct probe *probe, const struct config_backend *backend,
			 uint32_t timeout_ms)
{
	struct sockaddr_storage addr;
	socklen_t size = backend->unix_path ? sockaddr_from_path(backend->unix_path, &addr)
					    : sockaddr_from_endpoint(&backend->endpoint, &addr);
	int fd = open_socket(addr.ss_family);
	if (fd < 0)
		return -fd;
	probe->fd = fd;
	if (connect(fd, (const struct sockaddr *)&addr, size) && errno != EINPROGRESS)
		return errno;

	struct timeval patience = {.tv_sec = (time_t)(timeout_ms / 1000),
				   .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
	event_assign(&probe->writable, probe->base, fd, EV_WRITE, on_writable, probe);
	return event_add(&probe->writable, &patience) ? ENOMEM : 0;
}

void probe_init(struct probe *probe, struct event_base *base, probe_done_fn done, void *arg)
{
	*probe = (struct probe){.base = base, .done = done, .arg = arg, .fd = -1};
	event_assign(&probe->writable, base, -1, 0, on_writable, probe);
}

void probe_start(struct probe *probe, const struct config_backend *backend, uint32_t timeout_ms)
{
	probe->started_ns = clock_now_ns();
	int error = start_connect(probe, backend, timeout_ms);
	if (error)
		finish(probe, error);
}

void probe_cancel(struct probe *probe)
{
	if (probe->fd < 0)
		return;
	event_del(&probe->writable);
	close(probe->fd);
	probe->fd = -1;
}

const char *probe_result_format(const struct probe_result *result, char *text, size_t size)
{
	double ms = (double)result->duration_ns / NS_PER_MS;
	char detail[128];
	if (result->outcome == PROBE_PASSED)
		snprintf(text, size, "connected in %.1f ms", ms);
	else if (result->error == ECONNREFUSED)
		snprintf(text, size, "connect refused");
	else if (result->error == ETIMEDOUT)
		snprintf(text, size, "connect timed out after %.0f ms", ms);
	else
		snprintf(text, size, "connect failed: %s",
			 strerror_r(result->error, detail, sizeof(detail)));
	return text;
}
