// SPDX-License-Identifier: Apache-2.0
// health_check = "udp": one datagram, and what comes back. The kernel reports a port or a host that
// is unreachable as an error of the connected socket.
//
// Silence fails, unless the configuration expects it (health_check_expect = ""): a host that is
// switched off is silent, and on many networks nobody says so in its place.
#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>

#include "control/probe_kind.h"

enum { LOOKED_AT_MAX = 4096 }; // bytes of the answer

static void on_connected(struct probe *probe)
{
	const struct config_octets *send_octets = &probe->pool->check.send;
	if (send(probe->fd, send_octets->bytes, send_octets->n, MSG_NOSIGNAL) < 0)
		probe_fail_by(probe, "sending", errno);
	else
		probe_await(probe, EV_READ);
}

static void on_answer(struct probe *probe, const uint8_t *bytes, size_t n)
{
	const struct config_octets *expect = &probe->pool->check.expect;
	// Of an empty expectation any place is the right one.
	if (expect->n == 0 || memmem(bytes, n, expect->bytes, expect->n))
		probe_pass(probe, "answered in %.1f ms", probe_elapsed_ms(probe));
	else
		probe_fail(probe, "the answer of %zu bytes does not contain what is expected", n);
}

static void on_ready(struct probe *probe)
{
	uint8_t bytes[LOOKED_AT_MAX];
	ssize_t n = recv(probe->fd, bytes, sizeof(bytes), 0);
	if (n >= 0)
		on_answer(probe, bytes, (size_t)n);
	else if (errno == EAGAIN || errno == EINTR)
		probe_await(probe, EV_READ); // its checksum was wrong
	else if (errno == ECONNREFUSED)
		probe_fail(probe, "port unreachable");
	else
		probe_fail_by(probe, "asking", errno);
}

static void on_timeout(struct probe *probe)
{
	const struct config_octets *expect = &probe->pool->check.expect;
	if (expect->bytes && expect->n == 0)
		probe_pass(probe, "not refused in %g s", probe_timeout_s(probe));
	else
		probe_time_out(probe, "no answer in %g s", probe_timeout_s(probe));
}

const struct probe_kind probe_udp = {
	.socket_type = SOCK_DGRAM,
	.on_connected = on_connected,
	.on_ready = on_ready,
	.on_timeout = on_timeout,
};
