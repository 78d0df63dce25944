// SPDX-License-Identifier: Apache-2.0
// Moving bytes from one connection to another: each direction of a session is a stream of its own.
// Sockets are non-blocking and watched edge-triggered, so what is known of them is kept here.
//
// A stream copies through its thread's buffer. One that goes on delivering full buffers changes to
// splice(2), and back when it no longer does. What the receiver does not take is held, and nothing
// more is read until it has: at most one buffer or one pipe per stream.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/pipe_pool.h"

enum {
	RELAY_BUFFER = 64 * 1024,
	RELAY_BUDGET = 256 * 1024, // bytes of one stream in a row, while others wait
	RELAY_EARLY_MAX = 4096,    // read before there is a receiver
};

// One TCP connection (or one Unix stream), as the last events and calls have left it.
struct conn {
	int fd;           // -1: none
	bool is_readable; // reading may give something
	bool is_writable; // writing may be taken
	bool is_ending;   // FIN, reset or error has been announced: read on until it shows
	bool is_urgent;   // urgent data has been announced: it ends reads before their time
	bool has_failed; // reset or error: what it has said may be left to read, nothing more comes
};

struct stream {
	uint8_t *held; // owned; bytes that the receiver has not taken yet; NULL: none
	uint32_t held_at;
	uint32_t held_end;
	uint32_t n_in_syn;      // of what is held: sent with a SYN whose fate is not known yet
	struct pipe_ends *pipe; // owned while bytes are in it; else NULL
	uint32_t n_piped;
	uint8_t n_full;   // full buffers in a row, at most RELAY_SPLICE_AFTER
	bool is_spliced;  // by splice(2) just now
	bool has_eof;     // the sender has said its end
	bool is_corked;   // what was taken last waits for the end, to leave with it
	bool is_over;     // ended and passed on, or broken off
	uint64_t n_bytes; // taken by the receiver
};

// What the streams of one thread share.
struct relay {
	uint8_t *buffer; // owned; RELAY_BUFFER bytes
	struct pipe_pool pipes;
	bool may_splice;
};

enum relay_state {
	RELAY_WAITING,       // for an event of either connection
	RELAY_MORE,          // the budget is used up: call again, after the others
	RELAY_ENDED,         // the sender's end has come and all before it was taken
	RELAY_SOURCE_FAILED, // the sender's connection is broken, and all it gave was taken
	RELAY_SINK_FAILED,   // the receiver's is
	RELAY_LACK,          // neither is, but this host is short of memory
};

// By reset, the other side cannot take a broken transfer for a complete one. Harmless when there is
// none.
void conn_close(struct conn *conn, bool is_reset);

int relay_init(struct relay *relay, uint32_t max_pipes, bool may_splice);
void relay_fini(struct relay *relay);

// Move what can be moved. Called by: the thread that owns all four.
enum relay_state relay_move(struct relay *relay, struct stream *stream, struct conn *from,
			    struct conn *to);

// Hold what the sender has said already, for a receiver that is still to come. 0, -ENOMEM, or what
// has happened to the sender's connection.
int stream_read_early(struct relay *relay, struct stream *stream, struct conn *from);

// Put bytes in front of what is held, before any of it has been taken. 0 or -ENOMEM.
int stream_put_first(struct stream *stream, const uint8_t *bytes, size_t n);

// The SYN has arrived, and what went with it: so many bytes.
uint32_t stream_take_syn(struct stream *stream);

// Let go of what waits for an end to leave with. Before a receiver is reset, for that takes back
// whatever has not left.
void stream_push(struct stream *stream, const struct conn *to);

void stream_fini(struct relay *relay, struct stream *stream);

// Are bytes waiting for the receiver to take them?
static inline bool stream_is_blocked(const struct stream *stream)
{
	return stream->held || stream->pipe;
}
