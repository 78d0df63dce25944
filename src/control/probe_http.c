// SPDX-License-Identifier: Apache-2.0
// health_check = "http": one request without a body, whose answer has a good status and, where the
// configuration asks for it, contains a text. Nothing more is read once the result is known.
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "control/http_answer.h"
#include "control/probe_kind.h"

enum {
	REQUEST_MAX = 2048, // a path, a host, and the rest
	READ_MAX = 16384,
	DEFAULT_PORT = 80,
	RANGES_TEXT_MAX = 64,
};

// ---- the question ------------------------------------------------------------------------------

// A backend that expects a PROXY header gets one that speaks of the connection itself. On a port of
// its own a check meets something else. Returns how many bytes.
static size_t write_proxy_header(const struct probe *probe, char *out)
{
	static const char v1[] = "PROXY UNKNOWN\r\n";
	static const char v2_local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
	const struct config_pool *pool = probe->pool;
	bool is_elsewhere = !probe->is_unix && config_check_port(pool, probe->backend) !=
						       ntohs(probe->backend->endpoint.port_be);
	bool is_v1 = pool->send_proxy == SEND_PROXY_V1;
	size_t len = is_v1 ? sizeof(v1) - 1 : sizeof(v2_local) - 1;
	if (pool->send_proxy == SEND_PROXY_NONE || is_elsewhere)
		return 0;
	memcpy(out, is_v1 ? v1 : v2_local, len);
	return len;
}

static const char *format_host(const struct probe *probe, char *text)
{
	struct endpoint endpoint = probe->backend->endpoint;
	uint16_t port = config_check_port(probe->pool, probe->backend);
	if (probe->pool->check.host)
		return probe->pool->check.host;
	if (probe->is_unix)
		return "localhost";
	endpoint.port_be = htons(port);
	endpoint_format(&endpoint, text);
	if (port == DEFAULT_PORT)
		*strrchr(text, ':') = '\0';
	return text;
}

static size_t write_request(const struct probe *probe, char *out)
{
	char host[ENDPOINT_TEXT_MAX];
	const struct config_check *check = &probe->pool->check;
	size_t used = write_proxy_header(probe, out);
	used += (size_t)snprintf(
		out + used, REQUEST_MAX - used,
		"%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: culvert/" CULVERT_VERSION
		"\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		check->method == HTTP_HEAD ? "HEAD" : "GET", check->path, format_host(probe, host));
	return used;
}

static void on_connected(struct probe *probe)
{
	char request[REQUEST_MAX];
	const struct config_check *check = &probe->pool->check;
	probe->answer = malloc(sizeof(*probe->answer));
	if (!probe->answer) {
		probe_fail_by(probe, "asking", ENOMEM);
		return;
	}
	http_answer_init(probe->answer, check->body, check->method == HTTP_HEAD);
	size_t len = write_request(probe, request);
	// A new connection takes that much at once.
	ssize_t n = send(probe->fd, request, len, MSG_NOSIGNAL);
	if (n < 0)
		probe_fail_by(probe, "asking", errno);
	else if ((size_t)n < len)
		probe_fail_by(probe, "asking", ENOBUFS);
	else
		probe_await(probe, EV_READ);
}

// ---- the answer --------------------------------------------------------------------------------

static const char *format_ranges(const struct config_check *check, char *text)
{
	size_t used = 0;
	if (check->n_status == 0)
		return "200-399";
	for (size_t i = 0; i < check->n_status && used < RANGES_TEXT_MAX; i++) {
		const struct config_status_range *range = &check->status[i];
		const char *comma = i ? ", " : "";
		if (range->first == range->last)
			used += (size_t)snprintf(text + used, RANGES_TEXT_MAX - used, "%s%u", comma,
						 range->first);
		else
			used += (size_t)snprintf(text + used, RANGES_TEXT_MAX - used, "%s%u-%u",
						 comma, range->first, range->last);
	}
	return text;
}

static void judge(struct probe *probe)
{
	char ranges[RANGES_TEXT_MAX];
	const struct http_answer *answer = probe->answer;
	const struct config_check *check = &probe->pool->check;
	if (!config_check_takes_status(check, answer->status))
		probe_fail(probe, "HTTP status %u, expected %s", answer->status,
			   format_ranges(check, ranges));
	else if (!check->body || answer->has_text)
		probe_pass(probe, "HTTP status %u in %.1f ms", answer->status,
			   probe_elapsed_ms(probe));
	else if (answer->is_cut)
		probe_fail(probe, "the body's first %d KiB do not contain \"%.64s\"",
			   HTTP_BODY_MAX / 1024, check->body);
	else
		probe_fail(probe, "the body does not contain \"%.64s\"", check->body);
}

static void go_on(struct probe *probe, enum http_progress progress)
{
	const struct http_answer *answer = probe->answer;
	bool is_refused = answer->has_header &&
			  !config_check_takes_status(&probe->pool->check, answer->status);
	if (progress == HTTP_WHOLE || is_refused)
		judge(probe);
	else if (progress == HTTP_BAD)
		probe_fail(probe, "%s", answer->problem);
	else
		probe_await(probe, EV_READ);
}

static void on_ready(struct probe *probe)
{
	char bytes[READ_MAX];
	ssize_t n = recv(probe->fd, bytes, sizeof(bytes), 0);
	if (n > 0)
		go_on(probe, http_answer_feed(probe->answer, bytes, (size_t)n));
	else if (n == 0)
		go_on(probe, http_answer_end(probe->answer));
	else if (errno == EAGAIN || errno == EINTR)
		probe_await(probe, EV_READ);
	else
		probe_fail_by(probe, "reading the answer", errno);
}

static void on_timeout(struct probe *probe)
{
	const struct http_answer *answer = probe->answer;
	double seconds = probe_timeout_s(probe);
	if (!answer->n_header)
		probe_time_out(probe, "no answer in %g s", seconds);
	else if (!answer->has_header)
		probe_time_out(probe, "the answer's header was not whole in %g s", seconds);
	else
		probe_time_out(probe,
			       "the answer's body was not whole in %g s, nor had it \"%.64s\"",
			       seconds, probe->pool->check.body);
}

const struct probe_kind probe_http = {
	.socket_type = SOCK_STREAM,
	.on_connected = on_connected,
	.on_ready = on_ready,
	.on_timeout = on_timeout,
};
