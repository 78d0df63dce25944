// SPDX-License-Identifier: Apache-2.0
// A TCP server that behaves as it is told, on as many connections as it has descriptors for.
//
//	stream_peer ADDR:PORT BEHAVIOUR [N]
//
// echo              returns what comes, and closes when the client has sent its FIN
// one-byte          the same, each byte by a send() of its own
// slow N            the same, N bytes per second, and its socket buffers little
// close-after N     returns the first N bytes and closes; a reset answers what is more
// reset-after N     returns what comes until it is N bytes, then resets
// reset-on-accept   resets
// discard           answers the client's FIN with "BYTES CRC\n": how many came, and their
//                   stream_crc() in 8 hexadecimal digits
// source N          sends N bytes and a FIN; the last 4 are the stream_crc() of those before, so
//                   that Python's zlib.crc32() of them all is 0x2144df1c
// half-close        sends its FIN at once, and at the client's prints "received BYTES"
// silent            reads, and never says anything, not even a FIN
//
// Prints "ready" when it listens, and at SIGTERM or SIGINT one line of JSON: of the connections
// accepted, so many were closed in order, reset by us, lost by an error (as a rule a reset by the
// client), and are open; and the bytes both ways.
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "args.h"
#include "stream/conn.h"
#include "stream/process.h"

enum {
	N_EVENTS = 256,
	BACKLOG = 65535, // the kernel cuts it to net.core.somaxconn
	SLOW_TICK_MS = 10,
	SLOW_PARTS = 50, // of a second's bytes so much at once
	SLOW_SOCKET_BYTES = 16 << 10,
};

// Wait for what the connection can go on with, or close it when nothing more can come of it.
static void settle(struct peer *peer, struct conn *conn)
{
	const struct behaviour *behaviour = peer->behaviour;
	if (conn->n_pending == 0 && (conn->is_finishing || (conn->is_ended && conn->is_shut))) {
		conn_end(peer, conn, CONN_CLOSED);
		return;
	}
	bool reads = !conn->is_ended && !conn->is_finishing && conn->slow_until == 0 &&
		     (conn->n_pending == 0 || !behaviour->is_echo);
	bool writes = conn->n_pending > 0 || (behaviour->refill && !conn->is_shut);
	uint32_t events = (reads ? EPOLLIN : 0U) | (writes ? EPOLLOUT : 0U);
	struct epoll_event event = {.events = events, .data.fd = conn->fd};
	if (events != conn->events && epoll_ctl(peer->epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0)
		peer_fail("epoll_ctl");
	conn->events = events;
}

static bool read_some(struct peer *peer, struct conn *conn)
{
	const struct behaviour *behaviour = peer->behaviour;
	size_t room = sizeof(peer->buffer);
	if (behaviour->is_slow && peer->number / SLOW_PARTS < room)
		room = (size_t)(peer->number / SLOW_PARTS) + 1;
	ssize_t n = recv(conn->fd, peer->buffer, room, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n < 0) {
		conn_end(peer, conn, CONN_LOST);
		return false;
	}
	if (n == 0) {
		conn->is_ended = true;
		return !behaviour->ended || behaviour->ended(peer, conn);
	}
	conn->received += (uint64_t)n;
	peer->received += (uint64_t)n;
	if (behaviour->is_slow)
		conn->slow_until = process_now_ns() + (uint64_t)n * 1000000000U / peer->number + 1;
	return !behaviour->came || behaviour->came(peer, conn, peer->buffer, (size_t)n);
}

static void handle(struct peer *peer, struct conn *conn, uint32_t events)
{
	bool is_dead = (events & EPOLLERR) || ((events & EPOLLHUP) && !(conn->events & EPOLLIN));
	if (is_dead) {
		conn_end(peer, conn, CONN_LOST);
		return;
	}
	if ((events & EPOLLOUT) && conn->n_pending > 0 && !conn_flush(peer, conn))
		return;
	if ((events & EPOLLOUT) && conn->n_pending == 0 && !conn->is_shut &&
	    peer->behaviour->refill && !peer->behaviour->refill(peer, conn))
		return;
	if ((events & (EPOLLIN | EPOLLHUP)) && !read_some(peer, conn))
		return;
	settle(peer, conn);
}

static void add_conn(struct peer *peer, int fd)
{
	int on = 1;
	struct conn *conn = &peer->conns[fd];
	struct epoll_event event = {.data.fd = fd};
	*conn = (struct conn){.fd = fd, .is_open = true};
	peer->accepted++;
	if (++peer->n_open > peer->most_open)
		peer->most_open = peer->n_open;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (epoll_ctl(peer->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		peer_fail("epoll_ctl");
	if (!peer->behaviour->opened || peer->behaviour->opened(peer, conn))
		settle(peer, conn);
}

static void accept_all(struct peer *peer)
{
	for (;;) {
		int fd = accept4(peer->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			add_conn(peer, fd);
		else if (errno == EAGAIN)
			return;
		else if (errno != ECONNABORTED && errno != EINTR)
			peer_fail("accept");
	}
}

static void wake_slow(struct peer *peer)
{
	uint64_t now = process_now_ns();
	for (unsigned i = 0; i < peer->n_conns; i++) {
		struct conn *conn = &peer->conns[i];
		if (!conn->is_open || conn->slow_until == 0 || conn->slow_until > now)
			continue;
		conn->slow_until = 0;
		settle(peer, conn);
	}
}

static void serve(struct peer *peer)
{
	struct epoll_event events[N_EVENTS];
	int timeout = peer->behaviour->is_slow ? SLOW_TICK_MS : -1;
	for (;;) {
		int n = epoll_wait(peer->epoll, events, N_EVENTS, timeout);
		if (n < 0 && errno != EINTR)
			peer_fail("epoll_wait");
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == peer->signals)
				return;
			if (fd == peer->listener)
				accept_all(peer);
			else
				handle(peer, &peer->conns[fd], events[i].events);
		}
		if (peer->behaviour->is_slow)
			wake_slow(peer);
	}
}

static void watch(const struct peer *peer, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (fd < 0 || epoll_ctl(peer->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		peer_fail("epoll");
}

static void open_listener(struct peer *peer, const struct sockaddr_storage *addr, socklen_t len)
{
	int on = 1, size = SLOW_SOCKET_BYTES;
	int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		peer_fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (peer->behaviour->is_slow)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (const struct sockaddr *)addr, len) != 0 || listen(fd, BACKLOG) != 0)
		peer_fail("listen");
	peer->listener = fd;
}

static void report(const struct peer *peer)
{
	printf("{\"accepted\": %" PRIu64 ", \"closed\": %" PRIu64 ", \"reset\": %" PRIu64
	       ", \"lost\": %" PRIu64 ", \"open\": %" PRIu64 ", \"most_open\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"sent\": %" PRIu64 "}\n",
	       peer->accepted, peer->ends[CONN_CLOSED], peer->ends[CONN_RESET],
	       peer->ends[CONN_LOST], peer->n_open, peer->most_open, peer->received, peer->sent);
}

static void close_all(struct peer *peer)
{
	for (unsigned i = 0; i < peer->n_conns; i++) {
		if (peer->conns[i].is_open)
			conn_end(peer, &peer->conns[i], CONN_CLOSED);
	}
	free(peer->conns);
}

static _Noreturn void usage(void)
{
	const struct behaviour *behaviour;
	fputs("Usage: stream_peer ADDR:PORT BEHAVIOUR [N]\nBehaviours:", stderr);
	for (size_t i = 0; (behaviour = behaviour_at(i)) != NULL; i++)
		fprintf(stderr, " %s%s", behaviour->name, behaviour->takes_number ? " N" : "");
	fputs("\n", stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct peer peer;
	struct sockaddr_storage addr;
	socklen_t len;
	const struct behaviour *behaviour = argc > 2 ? behaviour_find(argv[2]) : NULL;
	if (!behaviour || argc != (behaviour->takes_number ? 4 : 3) ||
	    !parse_any_endpoint(argv[1], &addr, &len))
		usage();
	// A rate of nothing would never be over.
	if (behaviour->takes_number &&
	    !parse_number(argv[3], behaviour->is_slow, INT64_MAX, &peer.number))
		usage();
	peer.behaviour = behaviour;
	peer.n_conns = process_raise_file_limit();
	peer.conns = calloc(peer.n_conns, sizeof(*peer.conns));
	peer.epoll = epoll_create1(EPOLL_CLOEXEC);
	peer.signals = process_open_signals();
	if (!peer.conns || peer.epoll < 0 || peer.signals < 0)
		peer_fail("start");
	open_listener(&peer, &addr, len);
	watch(&peer, peer.signals);
	watch(&peer, peer.listener);
	puts("ready");
	fflush(stdout);
	serve(&peer);
	report(&peer);
	close_all(&peer);
	return 0;
}
