// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

enum { PORTION_BYTES = 64 << 10, MS = 1000000 };

static const char *const failure_names[N_FAILURES] = {
	[FAILURE_REFUSED] = "refused",   [FAILURE_RESET] = "reset", [FAILURE_TIMEOUT] = "timeout",
	[FAILURE_MISMATCH] = "mismatch", [FAILURE_SHORT] = "short", [FAILURE_OTHER] = "other",
};

static const char *const state_names[] = {
	[SESSION_WAITING] = "waiting", [SESSION_CONNECTING] = "connecting",
	[SESSION_TALKING] = "talking", [SESSION_RESTING] = "resting",
	[SESSION_CLOSING] = "closing", [SESSION_HELD] = "held",
	[SESSION_OVER] = "over",
};

const char *failure_name(enum failure failure)
{
	return failure_names[failure];
}

_Noreturn void load_fail(const char *what)
{
	fprintf(stderr, "stream_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static enum failure failure_of(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return FAILURE_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return FAILURE_RESET;
	case ETIMEDOUT:
		return FAILURE_TIMEOUT;
	default:
		return FAILURE_OTHER;
	}
}

// With the milliseconds of the clock that whoever ends a backend has too.
static void print_failure(const struct session *session, enum failure failure, int error)
{
	struct timespec now;
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	char host[64] = "?";
	char port[16] = "?";
	clock_gettime(CLOCK_REALTIME, &now);
	if (getsockname(session->fd, (struct sockaddr *)&local, &len) == 0)
		getnameinfo((struct sockaddr *)&local, len, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	fprintf(stderr, "%lld %s %s:%s %s, %" PRIu64 " sent, %" PRIu64 " received%s%s\n",
		(long long)now.tv_sec * 1000 + now.tv_nsec / MS, failure_names[failure], host, port,
		state_names[session->state], session->sent, session->received, error ? ": " : "",
		error ? strerror(error) : "");
}

// Be in a state until something happens or the time is over.
static void go(struct session *session, enum session_state state, uint64_t ms)
{
	session->state = state;
	session->due_ns = process_now_ns() + ms * MS;
}

static void watch(struct load *load, struct session *session, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = session};
	if (events != session->events &&
	    epoll_ctl(load->epoll, EPOLL_CTL_MOD, session->fd, &event) != 0)
		load_fail("epoll_ctl");
	session->events = events;
}

static void end(struct load *load, struct session *session, uint64_t pause_ms)
{
	close(session->fd);
	session->fd = -1;
	if (load->is_idle || load->is_over)
		session->state = SESSION_OVER;
	else
		go(session, SESSION_WAITING, pause_ms);
}

static void complete(struct load *load, struct session *session)
{
	load->completed++;
	end(load, session, 0);
}

static void fail(struct load *load, struct session *session, enum failure failure, int error)
{
	print_failure(session, failure, error);
	load->failed[failure]++;
	end(load, session, SESSION_RETRY_MS);
}

static void start(struct load *load, struct session *session)
{
	int on = 1;
	int fd = socket(load->dst.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		load_fail("socket");
	uint64_t seed = stream_seed();
	*session = (struct session){.fd = fd, .events = EPOLLOUT};
	session->n_messages = 1 + stream_random(&load->random) % load->max_messages;
	stream_bytes_init(&session->out, seed);
	stream_bytes_init(&session->in, seed);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	load->tried++;
	go(session, SESSION_CONNECTING, load->timeout_ms);
	if (connect(fd, (struct sockaddr *)&load->dst, load->dst_len) != 0 &&
	    errno != EINPROGRESS) {
		fail(load, session, failure_of(errno), errno);
		return;
	}
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = session};
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		load_fail("epoll_ctl");
}

// Many are short, few are long.
static uint64_t random_size(struct load *load)
{
	uint64_t limit = load->max_message;
	uint64_t halvings = stream_random(&load->random) % 16;
	while (halvings-- > 0 && limit > 1)
		limit /= 2;
	return 1 + stream_random(&load->random) % limit;
}

static void speak(struct load *load, struct session *session)
{
	// Who was still connecting at the end says one message, too: else it would hear of nothing
	// amiss.
	bool has_spoken = session->sent > 0;
	if (session->n_messages == 0 || (load->is_over && has_spoken)) {
		shutdown(session->fd, SHUT_WR);
		go(session, SESSION_CLOSING, load->timeout_ms);
		watch(load, session, EPOLLIN);
		return;
	}
	session->n_messages--;
	session->to_send = session->to_receive = random_size(load);
	go(session, SESSION_TALKING, load->timeout_ms);
	watch(load, session, EPOLLIN | EPOLLOUT);
}

static void connected(struct load *load, struct session *session)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(session->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error) {
		fail(load, session, failure_of(error), error);
		return;
	}
	if (!load->is_idle) {
		speak(load, session);
		return;
	}
	session->state = SESSION_HELD;
	watch(load, session, EPOLLIN);
}

// False when the connection has failed.
static bool send_portion(struct load *load, struct session *session)
{
	uint8_t buffer[PORTION_BYTES];
	size_t n = session->to_send < sizeof(buffer) ? (size_t)session->to_send : sizeof(buffer);
	struct stream_bytes before = session->out;
	stream_bytes_take(&session->out, buffer, n);
	ssize_t sent = send(session->fd, buffer, n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		fail(load, session, failure_of(errno), errno);
		return false;
	}
	size_t n_sent = sent > 0 ? (size_t)sent : 0;
	if (n_sent < n) { // go back to behind what was taken
		session->out = before;
		stream_bytes_take(&session->out, buffer, n_sent);
	}
	session->to_send -= n_sent;
	session->sent += n_sent;
	load->sent += n_sent;
	if (n_sent > 0)
		go(session, SESSION_TALKING, load->timeout_ms);
	if (session->to_send == 0)
		watch(load, session, EPOLLIN);
	return true;
}

static void finished(struct load *load, struct session *session)
{
	if (session->state == SESSION_CLOSING)
		complete(load, session);
	else
		fail(load, session, FAILURE_SHORT, 0);
}

// What has come has to be the echo, and no more of it than was sent.
static void compare(struct load *load, struct session *session, const uint8_t *bytes, size_t n)
{
	uint8_t expected[PORTION_BYTES];
	uint64_t due = session->to_receive - session->to_send;
	stream_bytes_take(&session->in, expected, n);
	if (session->state != SESSION_TALKING || n > due || memcmp(bytes, expected, n) != 0) {
		fail(load, session, FAILURE_MISMATCH, 0);
		return;
	}
	session->to_receive -= n;
	go(session, SESSION_TALKING, load->timeout_ms);
	if (session->to_receive > 0)
		return;
	load->messages++;
	go(session, SESSION_RESTING, stream_random(&load->random) % (load->max_pause_ms + 1));
}

static void receive(struct load *load, struct session *session)
{
	uint8_t buffer[PORTION_BYTES];
	ssize_t n = recv(session->fd, buffer, sizeof(buffer), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		fail(load, session, failure_of(errno), errno);
		return;
	}
	if (n == 0) {
		finished(load, session);
		return;
	}
	session->received += (uint64_t)n;
	load->received += (uint64_t)n;
	if (session->state != SESSION_HELD) // whoever is held may be spoken to
		compare(load, session, buffer, (size_t)n);
}

void session_event(struct load *load, struct session *session, uint32_t events)
{
	if (session->state == SESSION_CONNECTING) {
		connected(load, session);
		return;
	}
	if ((events & EPOLLOUT) && session->to_send > 0 && !send_portion(load, session))
		return;
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		receive(load, session);
}

static void wait_to_connect(struct load *load, struct session *session, uint64_t now_ns)
{
	if (load->is_over) {
		session->state = SESSION_OVER;
		return;
	}
	if (session->due_ns > now_ns || load->next_connect_ns > now_ns)
		return;
	// What nobody made use of before the last tick is lost.
	uint64_t earliest = now_ns - (uint64_t)SESSION_TICK_MS * MS;
	if (load->next_connect_ns < earliest)
		load->next_connect_ns = earliest;
	load->next_connect_ns += load->interval_ns;
	start(load, session);
}

void session_tick(struct load *load, struct session *session, uint64_t now_ns)
{
	bool is_due = session->due_ns <= now_ns;
	switch (session->state) {
	case SESSION_WAITING:
		wait_to_connect(load, session, now_ns);
		break;
	case SESSION_RESTING:
		if (is_due || load->is_over)
			speak(load, session);
		break;
	case SESSION_HELD:
		if (load->is_over)
			complete(load, session);
		break;
	case SESSION_CONNECTING:
	case SESSION_TALKING:
	case SESSION_CLOSING:
		if (is_due)
			fail(load, session, FAILURE_TIMEOUT, 0);
		break;
	case SESSION_OVER:
		break;
	}
}
