// SPDX-License-Identifier: Apache-2.0
// Listening sockets on their way from control, which opens them, to the threads, which own them
// from then on: one for each thread, in their order, for that is the order that affinity.c counts
// in. All that a new configuration needs are open before it is taken over, so that one that cannot
// be had changes nothing; whom the kernel greets meanwhile waits in the queue.
//
// A thread takes its own when it sees the snapshot in which the frontend is (follow.c).
// Called by: control.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/config/config.h"

struct proxy;
struct snapshot;

struct offer {
	struct offer *next;
	struct endpoint endpoint;
	bool is_v6_only;
	bool is_tentative; // its configuration has not been taken over yet
	int fds[];         // owned; by thread
};

// What control knows of a slot's listeners.
struct listening {
	struct endpoint endpoint;
	bool is_v6_only;
	bool is_wanted; // by the last snapshot
};

// Could every frontend of `config` that is not listened on yet be? 0 or -errno, naming the first
// that could not.
int offers_check(struct proxy *proxy, const struct config *config, struct err *err);

// Has every thread closed what no snapshot wants any more?
bool offers_are_settled(const struct proxy *proxy);

// Open what offers_check() looks at. 0, or -errno, and then nothing is left open.
int offers_open(struct proxy *proxy, const struct config *config, struct err *err);

// The configuration has been taken over; or it has not, and what was opened for it is closed.
void offers_keep(struct proxy *proxy);
void offers_drop(struct proxy *proxy);

// Before the threads see the snapshot.
void offers_hand_over(struct proxy *proxy, const struct snapshot *snapshot);

// When the threads are gone.
void offers_close_all(struct proxy *proxy);
