// SPDX-License-Identifier: Apache-2.0
#include "proxy/client_header.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "culvert/base/log.h"
#include "culvert/net/proxy_header.h"
#include "culvert/net/sockaddr.h"
#include "proxy/session.h"
#include "proxy/thread.h"

_Static_assert(PROXY_HEADER_V1_MAX >= PROXY_HEADER_V2_MAX, "one buffer serves both");

static const struct config_frontend *frontend_of(const struct proxy_thread *thread,
						 const struct session *session)
{
	return thread->snapshot->frontends[session->frontend].config;
}

bool client_header_is_due(const struct proxy_thread *thread, const struct session *session)
{
	const struct config_frontend *frontend = frontend_of(thread, session);
	for (size_t i = 0; i < frontend->n_accept_proxy; i++) {
		if (ip_network_contains(&frontend->accept_proxy[i], &session->client.addr))
			return true;
	}
	return false;
}

static enum client_header_state failed(enum session_end *end, enum session_end how)
{
	*end = how;
	return CLIENT_HEADER_FAILED;
}

// More will be announced, if there is to be any.
static enum client_header_state await(struct conn *conn, enum session_end *end)
{
	if (conn->is_ending)
		return failed(end, SESSION_END_HEADER_ABORTED);
	conn->is_readable = false;
	return CLIENT_HEADER_AWAITED;
}

static enum client_header_state take(struct session *session, const struct proxy_header *header,
				     uint8_t *buffer, size_t len)
{
	// It has been looked at, so it is there.
	if (recv(session->conns[CLIENT].fd, buffer, len, 0) != (ssize_t)len)
		return CLIENT_HEADER_FAILED;
	if (!header->has_addrs)
		return CLIENT_HEADER_READ;
	session->client = header->src;
	session->local = header->dst;
	return CLIENT_HEADER_READ;
}

void client_header_log_bad(struct proxy_thread *thread, const struct session *session,
			   const char *problem)
{
	char text[ENDPOINT_TEXT_MAX];
	static struct log_limit limit = LOG_LIMIT(1);
	const char *frontend = frontend_of(thread, session)->name;
	const struct log_field fields[] = {
		{"frontend", frontend},
		{"client", endpoint_format(&session->client, text)},
		{"reason", problem},
		{NULL, NULL},
	};
	log_limited(&limit, LOG_WARN, "proxy", fields,
		    "frontend %s: bad PROXY header from %s: %s; accept_proxy must name only those "
		    "who send one",
		    frontend, text, problem);
}

enum client_header_state client_header_read(struct proxy_thread *thread, struct session *session,
					    enum session_end *end)
{
	struct conn *conn = &session->conns[CLIENT];
	uint8_t *buffer = thread->relay.buffer;
	struct proxy_header header;
	const char *problem;
	size_t len;
	if (!conn->is_readable)
		return CLIENT_HEADER_AWAITED;
	ssize_t n = recv(conn->fd, buffer, PROXY_HEADER_READ_MAX, MSG_PEEK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return await(conn, end);
	if (n <= 0)
		return failed(end, SESSION_END_HEADER_ABORTED);
	switch (proxy_header_parse(buffer, (size_t)n, &header, &len, &problem)) {
	case PROXY_HEADER_PARTIAL:
		return await(conn, end);
	case PROXY_HEADER_BAD:
		client_header_log_bad(thread, session, problem);
		return failed(end, SESSION_END_HEADER_INVALID);
	default:
		*end = SESSION_END_CLIENT_RESET;
		return take(session, &header, buffer, len);
	}
}

// What the client connected to, when the frontend listens on every address.
static void find_local(struct session *session)
{
	struct sockaddr_storage addr;
	socklen_t size = sizeof(addr);
	if (!ip_addr_is_unspecified(&session->local.addr) ||
	    getsockname(session->conns[CLIENT].fd, (struct sockaddr *)&addr, &size))
		return;
	endpoint_from_sockaddr((const struct sockaddr *)&addr, &session->local);
	session->local.proto = IPPROTO_TCP;
}

static size_t write_header(const struct session *session, enum send_proxy version, uint8_t *out)
{
	if (version == SEND_PROXY_V1)
		return proxy_header_write_v1(&session->client, &session->local, (char *)out);
	return proxy_header_write_v2(&session->client, &session->local, out);
}

int client_header_send(const struct proxy_thread *thread, struct session *session)
{
	uint16_t number = proxy_thread_pool(thread, session->frontend);
	const struct config_pool *pool = thread->snapshot->pools[number].config;
	enum send_proxy version = pool ? pool->send_proxy : SEND_PROXY_NONE;
	uint8_t header[PROXY_HEADER_V1_MAX];
	if (version == SEND_PROXY_NONE)
		return 0;
	find_local(session);
	return stream_put_first(&session->streams[CLIENT], header,
				write_header(session, version, header));
}
