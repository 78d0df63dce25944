// SPDX-License-Identifier: Apache-2.0
// evhttp tells when it opens a connection (it asks for a bufferevent), but not when it closes one
// that has sent no request. So each connection gets one of a fixed number of places, which holds a
// reference to the bufferevent and thereby keeps the descriptor open and its own. A place is given
// up when a connection closes that had a request, when its life ends, or when a newer connection
// needs it; in the latter cases a shutdown makes evhttp see the end of the stream and let go too.
#include "conn_gate.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "culvert/base/clock.h"

enum {
	N_PLACES = 64,
	LIFE_S = 10,
	SWEEP_MS = 500,
	// After a place was taken from a connection, so that evhttp has let go of the descriptor
	// before the next one comes.
	PAUSE_MS = 10,
};

struct place {
	struct bufferevent *bufev;      // shared with evhttp; NULL: the place is free
	struct evhttp_connection *conn; // borrowed; NULL: no request yet
	uint64_t since_ns;
	bool is_held; // lives until it is released
};

struct conn_gate {
	struct evconnlistener *listener; // borrowed
	size_t read_ahead_max;
	// Pending: nobody is here, and accepting works; the first client wakes it.
	struct event arrival;
	struct event sweep; // every SWEEP_MS while it is not
	struct event pause; // pending: no accepts until then
	struct place places[N_PLACES];
};

static const struct timeval sweep_interval = {.tv_usec = (suseconds_t)SWEEP_MS * 1000};

static struct timeval to_timeval(unsigned ms)
{
	return (struct timeval){.tv_sec = (time_t)(ms / 1000),
				.tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static void give_up(struct place *place)
{
	struct bufferevent *bufev = place->bufev;
	if (place->conn)
		evhttp_connection_set_closecb(place->conn, NULL, NULL);
	place->bufev = NULL;
	place->conn = NULL;
	place->is_held = false;
	bufferevent_decref(bufev);
}

static void cut_off(struct place *place)
{
	int fd = bufferevent_getfd(place->bufev);
	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
	give_up(place);
}

static void on_close(struct evhttp_connection *conn, void *arg)
{
	(void)conn;
	give_up(arg);
}

// Those that are held come last.
static bool is_older(const struct place *a, const struct place *b)
{
	if (a->is_held != b->is_held)
		return b->is_held;
	return a->since_ns < b->since_ns;
}

// A free place, or that of the oldest connection.
static struct place *choose_place(struct conn_gate *gate)
{
	struct place *oldest = &gate->places[0];
	for (unsigned i = 0; i < N_PLACES; i++) {
		if (!gate->places[i].bufev)
			return &gate->places[i];
		if (is_older(&gate->places[i], oldest))
			oldest = &gate->places[i];
	}
	return oldest;
}

static void pause_accepting(struct conn_gate *gate)
{
	struct timeval duration = to_timeval(PAUSE_MS);
	if (event_add(&gate->pause, &duration) == 0)
		evconnlistener_disable(gate->listener);
}

static struct bufferevent *open_conn(struct event_base *base, void *arg)
{
	struct conn_gate *gate = arg;
	struct bufferevent *bufev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!bufev)
		return NULL; // evhttp tries, and most likely fails too
	// What a client sends after evhttp has let go is not read by anybody: bound it.
	bufferevent_setwatermark(bufev, EV_READ, 0, gate->read_ahead_max);
	struct place *place = choose_place(gate);
	if (place->bufev) {
		cut_off(place);
		pause_accepting(gate);
	}
	bufferevent_incref(bufev);
	place->bufev = bufev;
	place->since_ns = clock_now_ns();
	return bufev;
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct conn_gate *gate = arg;
	evconnlistener_enable(gate->listener);
}

// Returns whether any are left.
static bool cut_off_overdue(struct conn_gate *gate)
{
	bool is_any_left = false;
	uint64_t now = clock_now_ns();
	for (unsigned i = 0; i < N_PLACES; i++) {
		struct place *place = &gate->places[i];
		if (place->bufev && !place->is_held && now - place->since_ns > LIFE_S * NS_PER_SEC)
			cut_off(place);
		is_any_left |= place->bufev != NULL;
	}
	return is_any_left;
}

// Also ends a pause that a failed accept began: who waits then is an arrival as before.
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct conn_gate *gate = arg;
	bool is_anybody_here = cut_off_overdue(gate);
	if (!event_pending(&gate->pause, EV_TIMEOUT, NULL))
		evconnlistener_enable(gate->listener);
	if (is_anybody_here || event_add(&gate->arrival, NULL))
		event_add(&gate->sweep, &sweep_interval);
}

// In the same round in which the listener accepts, or fails to.
static void on_arrival(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct conn_gate *gate = arg;
	if (event_add(&gate->sweep, &sweep_interval))
		event_add(&gate->arrival, NULL);
}

// EMFILE or the like: the waiting client would wake the loop again at once, and for nothing. The
// argument is evhttp's, so the gate cannot be told; its next sweep ends the pause.
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	(void)arg;
	evconnlistener_disable(listener);
}

struct conn_gate *conn_gate_create(struct event_base *base, struct evhttp *http,
				   struct evconnlistener *listener, size_t read_ahead_max)
{
	struct conn_gate *gate = calloc(1, sizeof(*gate));
	if (!gate)
		return NULL;
	gate->listener = listener;
	gate->read_ahead_max = read_ahead_max;
	event_assign(&gate->arrival, base, evconnlistener_get_fd(listener), EV_READ, on_arrival,
		     gate);
	evtimer_assign(&gate->sweep, base, on_sweep, gate);
	evtimer_assign(&gate->pause, base, on_pause_over, gate);
	if (event_add(&gate->arrival, NULL)) {
		free(gate);
		return NULL;
	}
	evhttp_set_bevcb(http, open_conn, gate);
	evconnlistener_set_error_cb(listener, on_accept_error);
	return gate;
}

void conn_gate_destroy(struct conn_gate *gate)
{
	if (!gate)
		return;
	event_del(&gate->arrival);
	event_del(&gate->sweep);
	event_del(&gate->pause);
	for (unsigned i = 0; i < N_PLACES; i++) {
		gate->places[i].conn = NULL; // evhttp has freed it
		if (gate->places[i].bufev)
			give_up(&gate->places[i]);
	}
	free(gate);
}

static struct place *find_place(struct conn_gate *gate, struct evhttp_request *request)
{
	struct evhttp_connection *conn = evhttp_request_get_connection(request);
	struct bufferevent *bufev = conn ? evhttp_connection_get_bufferevent(conn) : NULL;
	for (unsigned i = 0; bufev && i < N_PLACES; i++) {
		if (gate->places[i].bufev == bufev)
			return &gate->places[i];
	}
	return NULL;
}

void conn_gate_on_request(struct conn_gate *gate, struct evhttp_request *request)
{
	struct place *place = find_place(gate, request);
	if (!place)
		return;
	place->conn = evhttp_request_get_connection(request);
	evhttp_connection_set_closecb(place->conn, on_close, place);
}

void conn_gate_hold(struct conn_gate *gate, struct evhttp_request *request)
{
	struct place *place = find_place(gate, request);
	if (!place)
		return;
	place->is_held = true;
	bufferevent_set_timeouts(place->bufev, NULL, NULL);
}

void conn_gate_release(struct conn_gate *gate, struct evhttp_request *request)
{
	struct place *place = find_place(gate, request);
	if (!place)
		return;
	place->is_held = false;
	place->since_ns = clock_now_ns();
}

size_t conn_gate_unsent_bytes(const struct conn_gate *gate)
{
	size_t sum = 0;
	for (unsigned i = 0; i < N_PLACES; i++) {
		struct bufferevent *bufev = gate->places[i].bufev;
		if (bufev)
			sum += evbuffer_get_length(bufferevent_get_output(bufev));
	}
	return sum;
}
