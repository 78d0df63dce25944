// SPDX-License-Identifier: Apache-2.0
// One stream of proxy/relay.h between two connections, with the far ends in the hands of the test:
//
//   sender ──► from │ relay │ to ──► receiver
//
// The connections are watched as a thread of proxy mode watches them, edge-triggered: what the
// relay forgets to do, no event does for it. What cannot fail in a test aborts it.
#pragma once

#include <stddef.h>

#include "proxy/relay.h"

struct relay_bench {
	struct relay *relay; // borrowed
	struct stream stream;
	struct conn from;
	struct conn to;
	int sender;   // the test's
	int receiver; // likewise
	int epoll_fd;
	uint64_t n_sent;     // by the sender
	uint64_t n_received; // by the receiver
	bool is_spoilt;      // a byte was not what it should have been
};

void relay_bench_init(struct relay_bench *bench, struct relay *relay, bool is_tcp);
void relay_bench_fini(struct relay_bench *bench);

// As many of the next bytes as are taken at once, at most `n`. Returns how many.
size_t relay_bench_write(struct relay_bench *bench, size_t n);
// As many as are there, at most `n`, and compares them. Returns how many.
size_t relay_bench_read(struct relay_bench *bench, size_t n);
// Write until nothing more is taken, all the way to the receiver's buffer.
void relay_bench_fill(struct relay_bench *bench);

// Note the events of now, and move.
enum relay_state relay_bench_move(struct relay_bench *bench);
// Move by events until that is the answer; false when it does not come.
bool relay_bench_await(struct relay_bench *bench, enum relay_state state);
// Move by events until the receiver's side has taken so many bytes in all.
bool relay_bench_await_taken(struct relay_bench *bench, uint64_t n);
// Move by events and read until so many bytes have come out in all.
bool relay_bench_await_received(struct relay_bench *bench, uint64_t n);
