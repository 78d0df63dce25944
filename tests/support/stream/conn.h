// SPDX-License-Identifier: Apache-2.0
// A connection of stream_peer, and what it does about it. One thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

enum { CONN_BUFFER_BYTES = 64 << 10 };

struct conn {
	int fd;
	bool is_open;
	bool is_ended;     // the client's FIN has come
	bool is_shut;      // ours has been sent
	bool is_finishing; // closes when nothing is pending
	uint32_t events;   // what epoll waits for
	uint64_t received;
	uint64_t made;              // bytes, by a source
	uint32_t crc;               // of what was received, or made
	struct stream_bytes source; // of the bytes made
	uint64_t slow_until;        // nothing is read before; 0: no limit
	uint8_t *pending;           // owned: what the socket has not taken yet
	size_t n_pending;
};

// How a connection ended: in order, by our reset, or by an error, as a rule the client's reset.
enum conn_end { CONN_CLOSED, CONN_RESET, CONN_LOST, N_CONN_ENDS };

struct peer {
	const struct behaviour *behaviour;
	uint64_t number;    // the behaviour's
	struct conn *conns; // owned: by descriptor
	unsigned n_conns;
	int epoll;
	int listener;
	int signals;
	uint64_t accepted, received, sent, ends[N_CONN_ENDS];
	uint64_t n_open, most_open;
	uint8_t buffer[CONN_BUFFER_BYTES];
};

// Functions return false when the connection is gone; where one is NULL, nothing happens.
struct behaviour {
	const char *name;
	bool takes_number;
	bool is_echo; // reads no faster than what it returns is taken
	bool is_slow;
	bool is_one_byte;
	bool (*opened)(struct peer *peer, struct conn *conn);
	bool (*came)(struct peer *peer, struct conn *conn, const uint8_t *bytes, size_t n);
	bool (*ended)(struct peer *peer, struct conn *conn);  // by the client's FIN
	bool (*refill)(struct peer *peer, struct conn *conn); // nothing is pending
};

// NULL when there is none of that name.
const struct behaviour *behaviour_find(const char *name);
// From 0 on; NULL behind the last.
const struct behaviour *behaviour_at(size_t index);

void conn_end(struct peer *peer, struct conn *conn, enum conn_end end);
// Send, and keep what the socket does not take yet.
bool conn_send(struct peer *peer, struct conn *conn, const uint8_t *bytes, size_t n);
// Send what has been kept.
bool conn_flush(struct peer *peer, struct conn *conn);
// Send a FIN.
void conn_shut(struct conn *conn);

// Say what the last system call has failed with, and exit.
_Noreturn void peer_fail(const char *what);
