// SPDX-License-Identifier: Apache-2.0
#include "proxy/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SPLICE_AFTER = 16, // full buffers in a row: a megabyte
	SPLICE_MIN = RELAY_BUFFER / 4,
};

// A step either went well, or says why the stream has to stop here.
enum { STEP_ON = -1 };

void conn_close(struct conn *conn, bool is_reset)
{
	static const struct linger reset_on_close = {.l_onoff = 1, .l_linger = 0};
	if (conn->fd < 0)
		return;
	if (is_reset)
		(void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset_on_close,
				 sizeof(reset_on_close));
	close(conn->fd);
	conn->fd = -1;
}

int relay_init(struct relay *relay, uint32_t max_pipes, bool may_splice)
{
	*relay = (struct relay){.pipes.max = max_pipes, .may_splice = may_splice};
	relay->buffer = malloc(RELAY_BUFFER);
	return relay->buffer ? 0 : -ENOMEM;
}

void relay_fini(struct relay *relay)
{
	free(relay->buffer);
	pipe_pool_fini(&relay->pipes);
}

void stream_fini(struct relay *relay, struct stream *stream)
{
	free(stream->held);
	pipe_pool_discard(&relay->pipes, stream->pipe);
	stream->held = NULL;
	stream->pipe = NULL;
}

// What a failed call on the receiver's side means.
static int sink_error(struct conn *to)
{
	if (errno == EINTR)
		return STEP_ON;
	if (errno == ENOMEM || errno == ENOBUFS)
		return RELAY_LACK;
	if (errno != EAGAIN)
		return RELAY_SINK_FAILED;
	to->is_writable = false;
	return RELAY_WAITING;
}

static int source_error(struct conn *from)
{
	if (errno == EINTR)
		return STEP_ON;
	if (errno != EAGAIN)
		return RELAY_SOURCE_FAILED;
	from->is_readable = false;
	return RELAY_WAITING;
}

// ---- by copying --------------------------------------------------------------------------------

// Whether all of it was taken.
static bool take_held(struct stream *stream, uint32_t n)
{
	stream->n_bytes += n;
	stream->held_at += n;
	if (stream->held_at < stream->held_end)
		return false;
	free(stream->held);
	stream->held = NULL;
	return true;
}

static int send_held(struct stream *stream, struct conn *to)
{
	size_t n_held = stream->held_end - stream->held_at;
	ssize_t n = send(to->fd, stream->held + stream->held_at, n_held, MSG_NOSIGNAL);
	if (n < 0)
		return sink_error(to);
	if (take_held(stream, (uint32_t)n))
		return STEP_ON;
	to->is_writable = false;
	return RELAY_WAITING;
}

uint32_t stream_take_syn(struct stream *stream)
{
	uint32_t n = stream->n_in_syn;
	if (n)
		(void)take_held(stream, n);
	stream->n_in_syn = 0;
	return n;
}

static int hold(struct stream *stream, const uint8_t *bytes, size_t n)
{
	stream->held = malloc(n);
	if (!stream->held)
		return RELAY_LACK;
	memcpy(stream->held, bytes, n);
	stream->held_at = 0;
	stream->held_end = (uint32_t)n;
	return STEP_ON;
}

// `is_last`: the sender's end follows at once, and so will a FIN, which can travel with these
// bytes.
static int send_read(struct stream *stream, struct conn *to, const uint8_t *bytes, size_t n,
		     bool is_last)
{
	int flags = is_last ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
	stream->is_corked = is_last;
	ssize_t n_sent = to->is_writable ? send(to->fd, bytes, n, flags) : 0;
	int state = n_sent < 0 ? sink_error(to) : STEP_ON;
	if (state != STEP_ON && state != RELAY_WAITING)
		return state;
	size_t n_taken = n_sent > 0 ? (size_t)n_sent : 0;
	stream->n_bytes += n_taken;
	if (n_taken == n)
		return STEP_ON;
	if (n_sent >= 0)
		to->is_writable = false;
	return hold(stream, bytes + n_taken, n - n_taken);
}

static void count_full(struct relay *relay, struct stream *stream, bool is_full)
{
	if (!is_full)
		stream->n_full = 0;
	else if (stream->n_full < SPLICE_AFTER)
		stream->n_full++;
	stream->is_spliced = relay->may_splice && stream->n_full == SPLICE_AFTER;
}

void stream_push(struct stream *stream, const struct conn *to)
{
	static const int on = 1;
	int error = errno;
	if (stream->is_corked)
		(void)setsockopt(to->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	stream->is_corked = false;
	errno = error;
}

static int copy_some(struct relay *relay, struct stream *stream, struct conn *from, struct conn *to)
{
	ssize_t n = recv(from->fd, relay->buffer, RELAY_BUFFER, 0);
	if (n < 0) {
		stream_push(stream, to); // no end after all
		return source_error(from);
	}
	if (n == 0) {
		stream->has_eof = true;
		return STEP_ON;
	}
	// Less than there was room for: what comes later will be announced, or it is the end.
	bool is_drained = n < RELAY_BUFFER && !from->is_urgent;
	if (is_drained && !from->is_ending)
		from->is_readable = false;
	count_full(relay, stream, n == RELAY_BUFFER);
	return send_read(stream, to, relay->buffer, (size_t)n, is_drained && from->is_ending);
}

int stream_put_first(struct stream *stream, const uint8_t *bytes, size_t n)
{
	size_t n_held = stream->held ? stream->held_end - stream->held_at : 0;
	uint8_t *joined = malloc(n + n_held);
	if (!joined)
		return -ENOMEM;
	memcpy(joined, bytes, n);
	if (n_held)
		memcpy(joined + n, stream->held + stream->held_at, n_held);
	free(stream->held);
	stream->held = joined;
	stream->held_at = 0;
	stream->held_end = (uint32_t)(n + n_held);
	return 0;
}

int stream_read_early(struct relay *relay, struct stream *stream, struct conn *from)
{
	// What has been announced is not announced again: the relay must find it.
	if (from->is_ending || from->is_urgent)
		return 0;
	ssize_t n = recv(from->fd, relay->buffer, RELAY_EARLY_MAX, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0) // still to be announced
		return 0;
	from->is_readable = n == RELAY_EARLY_MAX;
	return hold(stream, relay->buffer, (size_t)n) == STEP_ON ? 0 : -ENOMEM;
}

// ---- by splice(2) ------------------------------------------------------------------------------

static int drain_pipe(struct relay *relay, struct stream *stream, struct conn *to)
{
	ssize_t n = splice(stream->pipe->read_fd, NULL, to->fd, NULL, stream->n_piped,
			   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n < 0)
		return sink_error(to);
	stream->n_bytes += (uint64_t)n;
	stream->n_piped -= (uint32_t)n;
	if (stream->n_piped > 0)
		return STEP_ON;
	pipe_pool_give(&relay->pipes, stream->pipe);
	stream->pipe = NULL;
	return STEP_ON;
}

static int splice_some(struct relay *relay, struct stream *stream, struct conn *from)
{
	struct pipe_ends *pipe = pipe_pool_take(&relay->pipes);
	if (!pipe) {
		count_full(relay, stream, false);
		return STEP_ON;
	}
	ssize_t n = splice(from->fd, NULL, pipe->write_fd, NULL, PIPE_BYTES,
			   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n > 0) {
		stream->pipe = pipe;
		stream->n_piped = (uint32_t)n;
		count_full(relay, stream, n >= SPLICE_MIN);
		return STEP_ON;
	}
	int error = errno;
	pipe_pool_give(&relay->pipes, pipe);
	if (n == 0) {
		stream->has_eof = true;
		return STEP_ON;
	}
	errno = error;
	return source_error(from);
}

// ---- the loop ----------------------------------------------------------------------------------

static int step(struct relay *relay, struct stream *stream, struct conn *from, struct conn *to)
{
	if (stream_is_blocked(stream) && !to->is_writable)
		return RELAY_WAITING;
	if (stream->held)
		return send_held(stream, to);
	if (stream->pipe)
		return drain_pipe(relay, stream, to);
	if (stream->has_eof)
		return RELAY_ENDED;
	if (!from->is_readable)
		return RELAY_WAITING;
	// splice(2) stops at urgent data for good.
	return stream->is_spliced && !from->is_urgent ? splice_some(relay, stream, from)
						      : copy_some(relay, stream, from, to);
}

enum relay_state relay_move(struct relay *relay, struct stream *stream, struct conn *from,
			    struct conn *to)
{
	uint64_t budget_end = stream->n_bytes + RELAY_BUDGET;
	int state = STEP_ON;
	while (state == STEP_ON)
		state = stream->n_bytes < budget_end ? step(relay, stream, from, to) : RELAY_MORE;
	return (enum relay_state)state;
}
