// SPDX-License-Identifier: Apache-2.0
// Limits of connections, which all threads share.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct proxy_thread;

// Connections that count against a limit, of one frontend or of all. Both atomics w, r: all
// threads, sequentially consistent: of a thread that says it waits and one that gives a place back
// at the same time, one sees what the other has done.
struct quota {
	_Atomic uint32_t used;
	_Atomic uint64_t waiting; // by thread: clients are there for whom it had no place
	_Atomic uint32_t max;     // w: control (relaxed); changes with the configuration
};

bool quota_take(struct quota *quota); // false when it is used up

// As quota_take(); when it is used up, the thread is woken as soon as there is a place.
bool quota_take_or_wait(struct proxy_thread *thread, struct quota *quota);

// Give a place back, and wake one of the threads that wait for it, each in turn.
void quota_give(struct proxy_thread *thread, struct quota *quota);

// The thread was woken for a place and has nobody for it: wake another one.
void quota_pass_on(struct proxy_thread *thread, struct quota *quota);
