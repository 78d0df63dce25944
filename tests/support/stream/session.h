// SPDX-License-Identifier: Apache-2.0
// One of stream_load's places: a connection after another, each with a conversation in which the
// server echoes. One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "bytes.h"

enum {
	SESSION_TICK_MS = 5,   // between two calls of session_tick()
	SESSION_RETRY_MS = 50, // after a failure
};

enum session_state {
	SESSION_WAITING, // to connect, until `due`
	SESSION_CONNECTING,
	SESSION_TALKING, // a message and its echo are under way
	SESSION_RESTING, // between messages, until `due`
	SESSION_CLOSING, // our FIN is sent, the server's is awaited
	SESSION_HELD,    // open and idle
	SESSION_OVER,
};

// Why a connection failed. SHORT: its end came before all that was due, or unasked.
enum failure {
	FAILURE_REFUSED,
	FAILURE_RESET,
	FAILURE_TIMEOUT,
	FAILURE_MISMATCH,
	FAILURE_SHORT,
	FAILURE_OTHER,
	N_FAILURES,
};

struct session {
	enum session_state state;
	int fd; // not when waiting or over
	uint32_t events;
	uint64_t due_ns;  // the end of waiting or resting; else when patience is
	uint64_t to_send; // of the message under way
	uint64_t to_receive;
	uint64_t n_messages; // to come
	uint64_t sent, received;
	struct stream_bytes out;
	struct stream_bytes in; // what `out` was that much earlier
};

struct load {
	struct sockaddr_storage dst;
	socklen_t dst_len;
	bool is_idle; // connections are held, and not repeated
	bool is_over; // conversations come to their end
	uint64_t max_message, max_messages, max_pause_ms, timeout_ms;
	uint64_t interval_ns;     // between two connections, at least
	uint64_t next_connect_ns; // not before
	struct session *sessions; // owned
	uint64_t n_sessions;
	uint64_t random;
	int epoll;
	uint64_t tried, completed, failed[N_FAILURES], messages, sent, received;
};

const char *failure_name(enum failure failure);

// Something has happened on the connection.
void session_event(struct load *load, struct session *session, uint32_t events);
// Time has passed, or load->is_over is new.
void session_tick(struct load *load, struct session *session, uint64_t now_ns);

// Say what the last system call has failed with, and exit.
_Noreturn void load_fail(const char *what);
