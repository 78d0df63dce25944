// SPDX-License-Identifier: Apache-2.0
// One client's connection and the one to a backend that serves it. A session lives and dies on the
// thread that accepted it, in that thread's array, named by its index there; 0 names none.
//
//   accepted → (HEADER: a PROXY header is awaited) → CONNECTING → RELAYING → ended
#pragma once

#include "culvert/ds/wheel.h"
#include "culvert/flow/session_end.h"
#include "culvert/net/addr.h"
#include "proxy/relay.h"

struct listener;
struct proxy_thread;

enum { CLIENT, BACKEND }; // the two ends of a session; streams are named by who sends

enum session_phase { SESSION_FREE, SESSION_HEADER, SESSION_CONNECTING, SESSION_RELAYING };

enum { SESSION_TRIES_MAX = 17 }; // the first backend and CONFIG_RETRIES_MAX others

struct session {
	struct conn conns[2];
	struct stream streams[2]; // [CLIENT]: from the client to the backend
	struct wheel_node timer;
	uint32_t active;  // tick at which something moved last
	uint32_t next;    // of the list that it is on: free, ended, or to be resumed
	uint8_t phase;    // enum session_phase
	bool is_armed;    // in the timer wheel
	bool is_queued;   // to be resumed after the others
	bool awaits_room; // of a Unix socket's queue: asked for again at every tick
	bool client_owes; // the client has to take something, or to say its end
	uint8_t n_tried;
	uint16_t frontend;
	uint16_t backend; // slot; of the last connect
	uint16_t tried[SESSION_TRIES_MAX];
	struct endpoint client; // as accepted, or as the PROXY header says
	struct endpoint local;  // what the client connected to, likewise
	uint64_t accepted_ns;
	uint64_t connect_ns; // start of the last connect
};

// Is there a place for one more?
bool session_is_free(const struct proxy_thread *thread);

// Take over a client's connection, when there is a place for it.
void session_open(struct proxy_thread *thread, struct listener *listener, int fd,
		  const struct endpoint *client);

// What epoll has said of one end (CLIENT or BACKEND).
void session_on_event(struct proxy_thread *thread, uint32_t index, unsigned end, uint32_t events);

// Go on with one whose budget had run out.
void session_resume(struct proxy_thread *thread, uint32_t index);

// Its timer. For the wheel.
void session_on_timer(void *thread, uint32_t index);

// A client that found no room and was refused: for the flow log.
void session_note_refused(struct proxy_thread *thread, uint16_t frontend,
			  const struct endpoint *client);

// The tick at which it ends if nothing happens; sooner, it looks again.
uint32_t session_deadline(const struct proxy_thread *thread, const struct session *session);

// Timeouts have changed: they count for what there is already.
void session_follow_timeouts(struct proxy_thread *thread);

// The backend that it is connecting to is not to be used any more.
void session_connect_elsewhere(struct proxy_thread *thread, uint32_t index);

// Close both ends, by reset unless both sides have said their end, and count how it ended.
void session_end(struct proxy_thread *thread, uint32_t index, enum session_end end);
