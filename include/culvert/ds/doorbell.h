// SPDX-License-Identifier: Apache-2.0
// Sleeping on rings without a system call per push. A consumer that has found its rings empty for
// a while announces that it will wait; only then does a producer write the eventfd.
//
//	consumer:                                 producer:
//		doorbell_arm(&bell);                      ring_push(ring, ...);
//		if (all my rings are empty)               doorbell_ring(&bell);
//			poll(bell.fd and others, ...);
//		doorbell_disarm(&bell);
//		pop from the rings;
//
// One consumer per doorbell; any number of producers, each with its own ring. A wake-up for nothing
// may happen; a lost one may not.
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "culvert/base/err.h"

struct doorbell {
	int fd;                      // owned; an eventfd, non-blocking; poll it for reading
	_Atomic uint32_t is_waiting; // w: consumer sets, either side clears
};

// 0 or -errno.
int doorbell_open(struct doorbell *bell, struct err *err);
void doorbell_close(struct doorbell *bell); // when neither side runs any more

// Why nothing is lost. Producer and consumer each write their own variable and then read the
// other's (the ring's tail; is_waiting), which is safe only if one of them is sure to see the
// other's write. Here both sides exchange is_waiting, and exchanges of one variable happen in one
// order that all threads agree on:
//  * the producer's comes later: it reads 1 and rings;
//  * the consumer's comes later: its acquire reads from the producer's release, hence its look at
//    the rings after doorbell_arm() sees what was pushed before.
// The same argument covers doorbell_disarm(): a ring whose write it drains had its exchange before
// the one there, so the pop that follows finds the item. An exchange rather than a fence between
// plain accesses: it costs the same (one locked instruction), it names its partner, and thread
// checkers understand it.

void doorbell_wake(struct doorbell *bell);

// After a push, once per batch. Called by: a producer.
static inline void doorbell_ring(struct doorbell *bell)
{
	// Acquire-release, pairs with those in doorbell_arm() and doorbell_disarm(). Taking the
	// announcement away leaves one write per sleep, however many producers follow.
	if (atomic_exchange_explicit(&bell->is_waiting, 0, memory_order_acq_rel))
		doorbell_wake(bell);
}

// Announce the wait; look at the rings once more before the sleep. Called by: the consumer.
static inline void doorbell_arm(struct doorbell *bell)
{
	// Pairs with doorbell_ring().
	atomic_exchange_explicit(&bell->is_waiting, 1, memory_order_acq_rel);
}

// Take the announcement back and drain the eventfd; the rings must be looked at after it.
// Called by: the consumer, after each doorbell_arm(), slept or not.
void doorbell_disarm(struct doorbell *bell);
