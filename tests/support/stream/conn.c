// SPDX-License-Identifier: Apache-2.0
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Noreturn void peer_fail(const char *what)
{
	fprintf(stderr, "stream_peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

void conn_end(struct peer *peer, struct conn *conn, enum conn_end end)
{
	struct linger at_once = {.l_onoff = 1};
	if (end == CONN_RESET)
		setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(conn->fd);
	free(conn->pending);
	*conn = (struct conn){0};
	peer->ends[end]++;
	peer->n_open--;
}

// As much as the socket takes.
static bool send_now(struct peer *peer, struct conn *conn, const uint8_t *bytes, size_t *n)
{
	size_t done = 0;
	while (done < *n) {
		size_t portion = peer->behaviour->is_one_byte ? 1 : *n - done;
		ssize_t sent = send(conn->fd, bytes + done, portion, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0) {
			conn_end(peer, conn, CONN_LOST);
			return false;
		}
		done += (size_t)sent;
	}
	peer->sent += done;
	*n = done;
	return true;
}

bool conn_send(struct peer *peer, struct conn *conn, const uint8_t *bytes, size_t n)
{
	size_t sent = conn->n_pending > 0 ? 0 : n;
	if (!send_now(peer, conn, bytes, &sent))
		return false;
	if (sent == n)
		return true;
	size_t rest = n - sent;
	uint8_t *pending = realloc(conn->pending, conn->n_pending + rest);
	if (!pending)
		peer_fail("memory");
	memcpy(pending + conn->n_pending, bytes + sent, rest);
	conn->pending = pending;
	conn->n_pending += rest;
	return true;
}

bool conn_flush(struct peer *peer, struct conn *conn)
{
	size_t sent = conn->n_pending;
	if (!send_now(peer, conn, conn->pending, &sent))
		return false;
	conn->n_pending -= sent;
	if (conn->n_pending > 0 && sent > 0)
		memmove(conn->pending, conn->pending + sent, conn->n_pending);
	if (conn->n_pending == 0) {
		free(conn->pending);
		conn->pending = NULL;
	}
	return true;
}

void conn_shut(struct conn *conn)
{
	shutdown(conn->fd, SHUT_WR);
	conn->is_shut = true;
}
