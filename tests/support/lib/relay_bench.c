// SPDX-License-Identifier: Apache-2.0
#include "relay_bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "sockets.h"

enum { FROM, TO, CHUNK = 256 * 1024, QUIET_MS = 50, STEP_MS = 10 };

static void check(bool is_good, const char *what)
{
	if (is_good)
		return;
	perror(what);
	abort();
}

static void watch(struct relay_bench *bench, int fd, uint32_t which)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
		.data.u32 = which,
	};
	check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
	check(epoll_ctl(bench->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

void relay_bench_init(struct relay_bench *bench, struct relay *relay, bool is_tcp)
{
	int in[2];
	int out[2];
	sockets_pair(in, is_tcp);
	sockets_pair(out, is_tcp);
	*bench = (struct relay_bench){
		.relay = relay,
		.sender = in[0],
		.from.fd = in[1],
		.to.fd = out[0],
		.receiver = out[1],
		.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
	};
	check(bench->epoll_fd >= 0, "epoll_create1");
	watch(bench, bench->from.fd, FROM);
	watch(bench, bench->to.fd, TO);
}

static void close_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void relay_bench_fini(struct relay_bench *bench)
{
	stream_fini(bench->relay, &bench->stream);
	close_open(bench->from.fd);
	close_open(bench->to.fd);
	close_open(bench->sender);
	close_open(bench->receiver);
	close(bench->epoll_fd);
}

size_t relay_bench_write(struct relay_bench *bench, size_t n)
{
	uint8_t bytes[4096];
	size_t n_taken = 0;
	while (n_taken < n) {
		size_t want = n - n_taken < sizeof(bytes) ? n - n_taken : sizeof(bytes);
		sockets_fill(bytes, want, bench->n_sent);
		ssize_t sent = send(bench->sender, bytes, want, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent <= 0)
			break;
		n_taken += (size_t)sent;
		bench->n_sent += (uint64_t)sent;
	}
	return n_taken;
}

size_t relay_bench_read(struct relay_bench *bench, size_t n)
{
	uint8_t bytes[4096];
	size_t n_read = 0;
	while (n_read < n) {
		size_t want = n - n_read < sizeof(bytes) ? n - n_read : sizeof(bytes);
		ssize_t got = recv(bench->receiver, bytes, want, MSG_DONTWAIT);
		if (got <= 0)
			break;
		if (!sockets_is_filled(bytes, (size_t)got, bench->n_received))
			bench->is_spoilt = true;
		n_read += (size_t)got;
		bench->n_received += (uint64_t)got;
	}
	return n_read;
}

static bool note_events(struct relay_bench *bench, int wait_ms)
{
	struct epoll_event events[2];
	int n = epoll_wait(bench->epoll_fd, events, 2, wait_ms);
	for (int i = 0; i < n; i++) {
		struct conn *conn = events[i].data.u32 == FROM ? &bench->from : &bench->to;
		uint32_t what = events[i].events;
		if (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			conn->is_ending = true;
		if (what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			conn->is_readable = true;
		if (what & EPOLLOUT)
			conn->is_writable = true;
		if (what & EPOLLPRI)
			conn->is_urgent = true;
	}
	return n > 0;
}

static enum relay_state move(struct relay_bench *bench)
{
	return relay_move(bench->relay, &bench->stream, &bench->from, &bench->to);
}

enum relay_state relay_bench_move(struct relay_bench *bench)
{
	note_events(bench, 0);
	return move(bench);
}

void relay_bench_fill(struct relay_bench *bench)
{
	size_t n_taken;
	uint64_t n_before;
	do {
		n_before = bench->stream.n_bytes;
		n_taken = relay_bench_write(bench, CHUNK);
		while (move(bench) == RELAY_MORE)
			;
	} while (note_events(bench, QUIET_MS) || n_taken > 0 || bench->stream.n_bytes > n_before);
}

// One step towards something that is awaited; false when it is too late.
static bool step(struct relay_bench *bench, enum relay_state *state, uint64_t deadline_ns)
{
	note_events(bench, STEP_MS);
	*state = move(bench);
	return clock_now_ns() < deadline_ns;
}

static uint64_t deadline(void)
{
	return clock_now_ns() + SOCKETS_PATIENCE_S * NS_PER_SEC;
}

bool relay_bench_await(struct relay_bench *bench, enum relay_state state)
{
	uint64_t deadline_ns = deadline();
	enum relay_state now = relay_bench_move(bench);
	while (now != state) {
		if (!step(bench, &now, deadline_ns))
			return false;
	}
	return true;
}

bool relay_bench_await_taken(struct relay_bench *bench, uint64_t n)
{
	uint64_t deadline_ns = deadline();
	enum relay_state state;
	while (bench->stream.n_bytes < n) {
		if (!step(bench, &state, deadline_ns))
			return false;
	}
	return bench->stream.n_bytes == n;
}

bool relay_bench_await_received(struct relay_bench *bench, uint64_t n)
{
	uint64_t deadline_ns = deadline();
	enum relay_state state;
	relay_bench_read(bench, n - bench->n_received);
	while (bench->n_received < n) {
		if (!step(bench, &state, deadline_ns))
			return false;
		relay_bench_read(bench, n - bench->n_received);
	}
	return bench->n_received == n && !bench->is_spoilt;
}
