// SPDX-License-Identifier: Apache-2.0
// Look again before sleeping: waking a thread costs more than working on a few packets, and in a
// virtual machine a processor that has gone to sleep is slow to come back.
//
// A thread looks on only while what it waits for tends to come soon, and only for so long; between
// two looks it lets others have the processor, of whom one may be about to send the next packet.
// When little comes it sleeps at once, and at rest it takes no processor time at all.
//
// Each thread has its own.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct busy_poll {
	uint64_t limit_ns;    // how long to look at most; 0: never
	uint64_t idle_since;  // ns; 0: not idle
	uint64_t mean_gap_ns; // how long it took of late until something came
};

void busy_poll_init(struct busy_poll *poll, uint32_t limit_us);

// Something has come. `now_ns` is never 0.
void busy_poll_found(struct busy_poll *poll, uint64_t now_ns);

// Nothing has come. True: look again; others have had their turn. False: sleep.
bool busy_poll_goes_on(struct busy_poll *poll, uint64_t now_ns);
