// SPDX-License-Identifier: Apache-2.0
#include "proxy/session.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "culvert/base/clock.h"
#include "proxy/client_header.h"
#include "proxy/connect.h"
#include "proxy/thread.h"

// ---- the end -----------------------------------------------------------------------------------

static void leave_timers(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	if (session->is_armed)
		wheel_remove(&thread->timers, index);
	session->is_armed = false;
}

static void set_phase(struct proxy_thread *thread, struct session *session,
		      enum session_phase phase)
{
	static const uint32_t is_brisk[] = {
		[SESSION_HEADER] = 1, [SESSION_CONNECTING] = 1, [SESSION_RELAYING] = 0};
	thread->n_brisk += is_brisk[phase];
	thread->n_brisk -= is_brisk[session->phase];
	session->phase = (uint8_t)phase;
}

// One that begins has no end yet.
static void write_down(struct proxy_thread *thread, const struct session *session, bool is_start,
		       enum session_end end)
{
	struct flow_record *record = thread->journal ? flow_journal_begin(thread->journal) : NULL;
	if (!record)
		return;
	record->client = session->client.addr;
	record->client_port_be = session->client.port_be;
	record->proto = session->client.proto;
	record->frontend = session->frontend;
	record->backend = session->backend;
	record->has_backend = session->phase == SESSION_RELAYING;
	record->start_ms = session->accepted_ns / NS_PER_MS;
	record->end_ms = thread->now_ns / NS_PER_MS;
	record->is_start = is_start;
	record->end = (uint8_t)end;
	record->bytes_tx = session->streams[CLIENT].n_bytes;
	record->bytes_rx = session->streams[BACKEND].n_bytes;
	flow_journal_commit(thread->journal, record);
}

void session_note_refused(struct proxy_thread *thread, uint16_t frontend,
			  const struct endpoint *client)
{
	const struct session session = {
		.frontend = frontend,
		.client = *client,
		.accepted_ns = thread->now_ns,
	};
	write_down(thread, &session, false, SESSION_END_LIMIT);
}

void session_end(struct proxy_thread *thread, uint32_t index, enum session_end end)
{
	struct session *session = &thread->sessions[index];
	struct proxy *proxy = thread->proxy;
	struct frontend_counters *counters = &thread->frontends[session->frontend];
	bool is_reset = end != SESSION_END_COMPLETED;
	write_down(thread, session, false, end);
	if (session->phase == SESSION_RELAYING)
		connect_release(thread, index);
	else if (session->conns[BACKEND].fd >= 0 || session->awaits_room)
		connect_abandon(thread, index);
	leave_timers(thread, index);
	set_phase(thread, session, SESSION_FREE);
	for (unsigned i = 0; i < 2; i++) {
		if (is_reset)
			stream_push(&session->streams[!i], &session->conns[i]);
		stream_fini(&thread->relay, &session->streams[i]);
		conn_close(&session->conns[i], is_reset);
	}
	counter_add(&counters->ends[end], 1);
	histogram_add(&counters->session_time, thread->now_ns - session->accepted_ns);
	counter_add(&counters->traffic.flows_current, (uint64_t)-1); // last: the slot may go
	quota_give(thread, &proxy->frontends[session->frontend]);
	quota_give(thread, &proxy->all);
	counter_add(&thread->n_sessions, (uint64_t)-1);
	if (session->is_queued) // it is freed when its turn comes
		return;
	session->next = thread->ended_head;
	thread->ended_head = index;
}

// ---- time --------------------------------------------------------------------------------------

static uint32_t ticks_of(uint32_t ms)
{
	return (ms + MS_PER_TICK - 1) / MS_PER_TICK;
}

static uint32_t patience_of(const struct proxy_thread *thread, const struct session *session)
{
	const struct config_proxy *proxy = proxy_thread_settings(thread);
	switch (session->phase) {
	case SESSION_HEADER:
		return proxy->header_timeout_ms;
	case SESSION_CONNECTING:
		return proxy->connect_timeout_ms;
	default:
		if (session->client_owes && proxy->client_timeout_ms < proxy->idle_timeout_ms)
			return proxy->client_timeout_ms;
		return proxy->idle_timeout_ms;
	}
}

// One tick more, for the one that has begun already.
uint32_t session_deadline(const struct proxy_thread *thread, const struct session *session)
{
	if (session->awaits_room)
		return session->active + 1;
	return session->active + ticks_of(patience_of(thread, session)) + 1;
}

// After a change that brings the deadline nearer, or sets one. Activity only moves `active`, and
// the timer finds out when it fires.
static void rearm(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	leave_timers(thread, index);
	wheel_add(&thread->timers, index, session_deadline(thread, session));
	session->is_armed = true;
}

static void time_out(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	switch (session->phase) {
	case SESSION_HEADER:
		client_header_log_bad(thread, session, "it did not come within header_timeout");
		session_end(thread, index, SESSION_END_HEADER_TIMEOUT);
		return;
	case SESSION_CONNECTING:
		session->active = thread->tick;
		connect_on_timeout(thread, index);
		if (session->phase == SESSION_CONNECTING)
			rearm(thread, index);
		return;
	default:
		session_end(thread, index,
			    session->client_owes ? SESSION_END_CLIENT_TIMEOUT : SESSION_END_IDLE);
		return;
	}
}

void session_on_timer(void *arg, uint32_t index)
{
	struct proxy_thread *thread = arg;
	struct session *session = &thread->sessions[index];
	session->is_armed = false;
	if ((int32_t)(session_deadline(thread, session) - thread->tick) > 0)
		rearm(thread, index);
	else
		time_out(thread, index);
}

void session_follow_timeouts(struct proxy_thread *thread)
{
	for (uint32_t i = 1; i < thread->n_touched; i++) {
		if (thread->sessions[i].is_armed)
			rearm(thread, i);
	}
}

void session_connect_elsewhere(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	session->active = thread->tick;
	connect_elsewhere(thread, index);
	if (session->phase == SESSION_CONNECTING)
		rearm(thread, index);
}

// ---- relaying ----------------------------------------------------------------------------------

static void queue(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	if (session->is_queued)
		return;
	session->is_queued = true;
	session->next = thread->resumed_head;
	thread->resumed_head = index;
}

// The receiver takes nothing more. What it has still to say is read until its error shows, for a
// server may answer early and close before it has read all.
static void break_off(struct session *session, unsigned sender)
{
	struct conn *receiver = &session->conns[!sender];
	session->streams[sender].is_over = true;
	receiver->is_readable = true;
	receiver->is_ending = true;
	receiver->has_failed = true;
}

static void count_bytes(struct proxy_thread *thread, const struct session *session, unsigned sender,
			uint64_t n_bytes)
{
	struct traffic_counters *frontend = &thread->frontends[session->frontend].traffic;
	struct traffic_counters *backend = &thread->backends[session->backend].traffic;
	counter_add(sender == CLIENT ? &frontend->bytes_tx : &frontend->bytes_rx, n_bytes);
	counter_add(sender == CLIENT ? &backend->bytes_tx : &backend->bytes_rx, n_bytes);
}

static enum relay_state move(struct proxy_thread *thread, struct session *session, unsigned sender)
{
	struct stream *stream = &session->streams[sender];
	uint64_t before = stream->n_bytes;
	enum relay_state state = relay_move(&thread->relay, stream, &session->conns[sender],
					    &session->conns[!sender]);
	if (stream->n_bytes == before)
		return state;
	session->active = thread->tick;
	count_bytes(thread, session, sender, stream->n_bytes - before);
	return state;
}

// One direction as far as it goes. False when the session has been ended.
static bool relay_stream(struct proxy_thread *thread, uint32_t index, unsigned sender)
{
	struct session *session = &thread->sessions[index];
	struct stream *stream = &session->streams[sender];
	if (stream->is_over)
		return true;
	switch (move(thread, session, sender)) {
	case RELAY_WAITING:
		return true;
	case RELAY_MORE:
		queue(thread, index);
		return true;
	case RELAY_ENDED:
		stream->is_over = true;
		session->active = thread->tick;
		// When both have ended, close() says so.
		if (!session->streams[!sender].is_over)
			(void)shutdown(session->conns[!sender].fd, SHUT_WR);
		return true;
	case RELAY_SINK_FAILED:
		break_off(session, sender);
		return true;
	case RELAY_LACK:
		session_end(thread, index, SESSION_END_RESOURCES);
		return false;
	default:
		session_end(thread, index,
			    sender == CLIENT ? SESSION_END_CLIENT_RESET
					     : SESSION_END_BACKEND_RESET);
		return false;
	}
}

static bool is_broken(const struct stream *stream)
{
	return stream->is_over && !stream->has_eof;
}

// Both directions are over: how did it go?
static enum session_end verdict_of(const struct session *session)
{
	if (is_broken(&session->streams[BACKEND]))
		return SESSION_END_CLIENT_RESET;
	if (is_broken(&session->streams[CLIENT]))
		return SESSION_END_BACKEND_RESET;
	return SESSION_END_COMPLETED;
}

static void relay(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	struct stream *up = &session->streams[CLIENT];
	struct stream *down = &session->streams[BACKEND];
	if (!relay_stream(thread, index, CLIENT) || !relay_stream(thread, index, BACKEND))
		return;
	// The way down may have shown that the client is gone; its error is to be read then.
	if (down->is_over && !up->is_over && !relay_stream(thread, index, CLIENT))
		return;
	if (up->is_over && down->is_over) {
		session_end(thread, index, verdict_of(session));
		return;
	}
	// Nobody waits for what the backend does not take.
	if (session->conns[CLIENT].has_failed && stream_is_blocked(up)) {
		session_end(thread, index, SESSION_END_CLIENT_RESET);
		return;
	}
	bool client_owes = stream_is_blocked(down) || (down->is_over && !up->is_over);
	if (client_owes && !session->client_owes) {
		session->client_owes = true;
		session->active = thread->tick; // it may be long ago that something moved
		rearm(thread, index);
	}
	session->client_owes = client_owes;
}

void session_resume(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	session->is_queued = false;
	if (session->phase == SESSION_RELAYING) {
		relay(thread, index);
		return;
	}
	session->next = thread->ended_head;
	thread->ended_head = index;
}

// ---- the beginning -----------------------------------------------------------------------------

// A client that speaks first has often spoken already. What there is to send goes out with the
// handshake.
static void start_connecting(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	session->active = thread->tick;
	int code = stream_read_early(&thread->relay, &session->streams[CLIENT],
				     &session->conns[CLIENT]);
	if (!code)
		code = client_header_send(thread, session);
	if (code) {
		session_end(thread, index,
			    code == -ENOMEM ? SESSION_END_RESOURCES : SESSION_END_CLIENT_RESET);
		return;
	}
	set_phase(thread, session, SESSION_CONNECTING);
	connect_start(thread, index);
	if (session->phase == SESSION_CONNECTING)
		rearm(thread, index);
}

static void start_relaying(struct proxy_thread *thread, uint32_t index)
{
	struct session *session = &thread->sessions[index];
	session->active = thread->tick;
	set_phase(thread, session, SESSION_RELAYING);
	if (thread->snapshot->config->flow_log.starts)
		write_down(thread, session, true, SESSION_END_COMPLETED);
	count_bytes(thread, session, CLIENT, stream_take_syn(&session->streams[CLIENT]));
	rearm(thread, index);
	relay(thread, index);
}

// A connection of a PROXY header's sender: nothing begins before the header is there.
static void read_header(struct proxy_thread *thread, uint32_t index)
{
	enum session_end end;
	switch (client_header_read(thread, &thread->sessions[index], &end)) {
	case CLIENT_HEADER_READ:
		start_connecting(thread, index);
		return;
	case CLIENT_HEADER_FAILED:
		session_end(thread, index, end);
		return;
	case CLIENT_HEADER_AWAITED:
		return;
	}
}

// There is one: the listener has looked.
static uint32_t allocate(struct proxy_thread *thread)
{
	uint32_t index = thread->free_head;
	if (!index)
		return thread->n_touched++;
	thread->free_head = thread->sessions[index].next;
	return index;
}

bool session_is_free(const struct proxy_thread *thread)
{
	return thread->free_head || thread->n_touched < thread->capacity;
}

static void fill(struct proxy_thread *thread, struct session *session,
		 const struct listener *listener, int fd)
{
	*session = (struct session){
		.conns = {{.fd = fd, .is_writable = true}, {.fd = -1}},
		.frontend = listener->frontend,
		.local = thread->snapshot->frontends[listener->frontend].endpoint,
		.accepted_ns = thread->now_ns,
		.active = thread->tick,
	};
}

void session_open(struct proxy_thread *thread, struct listener *listener, int fd,
		  const struct endpoint *client)
{
	struct traffic_counters *traffic = &thread->frontends[listener->frontend].traffic;
	uint32_t index = allocate(thread);
	struct session *session = &thread->sessions[index];
	fill(thread, session, listener, fd);
	session->client = *client;
	counter_add(&thread->n_sessions, 1);
	counter_add(&thread->accepted, 1);
	counter_add(&traffic->flows_opened, 1);
	counter_add(&traffic->flows_current, 1);
	if (proxy_thread_watch(thread, fd, index, CLIENT)) {
		session_end(thread, index, SESSION_END_RESOURCES);
		return;
	}
	if (client_header_is_due(thread, session)) {
		set_phase(thread, session, SESSION_HEADER);
		rearm(thread, index);
		return;
	}
	start_connecting(thread, index);
}

// ---- events ------------------------------------------------------------------------------------

static void note(struct conn *conn, uint32_t events)
{
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		conn->is_ending = true;
	if (events & EPOLLERR)
		conn->has_failed = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		conn->is_readable = true;
	if (events & EPOLLOUT)
		conn->is_writable = true;
	if (events & EPOLLPRI)
		conn->is_urgent = true;
}

static void on_event_connecting(struct proxy_thread *thread, uint32_t index, unsigned end,
				uint32_t events)
{
	struct session *session = &thread->sessions[index];
	if (end == CLIENT) {
		if (events & (EPOLLERR | EPOLLHUP)) // gone; to have said all is no reason to end
			session_end(thread, index, SESSION_END_CLIENT_RESET);
		return;
	}
	uint8_t n_tried = session->n_tried;
	if (connect_on_event(thread, index, events)) {
		start_relaying(thread, index);
	} else if (session->phase == SESSION_CONNECTING && session->n_tried != n_tried) {
		session->active = thread->tick;
		rearm(thread, index);
	}
}

void session_on_event(struct proxy_thread *thread, uint32_t index, unsigned end, uint32_t events)
{
	struct session *session = &thread->sessions[index];
	if (session->phase == SESSION_FREE) // ended in this round
		return;
	note(&session->conns[end], events);
	switch (session->phase) {
	case SESSION_HEADER:
		read_header(thread, index);
		return;
	case SESSION_CONNECTING:
		on_event_connecting(thread, index, end, events);
		return;
	default:
		// After its end nothing is read from it that could show the error.
		if (end == CLIENT && events & EPOLLERR && session->streams[CLIENT].is_over)
			session_end(thread, index, SESSION_END_CLIENT_RESET);
		else
			relay(thread, index);
		return;
	}
}
