// SPDX-License-Identifier: Apache-2.0
// One backend put to the test for one frontend: some SYNs, and a plain connection beside them.
// Called by: control.
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>

#include "control/packet_tap.h"
#include "control/probe.h"
#include "culvert/control/dsr_check.h"

struct trial;

// The result is there. Called once, from the event loop and from nothing of the trial's: the callee
// may free it.
typedef void (*trial_over_fn)(struct trial *trial);

// Outside: read only, but for `next`.
struct trial {
	struct trial *next;        // for the owner's use
	void *owner;               // borrowed, as the next two
	struct netwatch *netwatch; // the backend is tracked
	struct packet_tap *tap;    // replies that it hears go to trial_take()
	trial_over_fn on_over;
	struct event timer; // the next try, or the end
	struct probe probe;
	struct dsr_result result; // the evidence of it grows; reason, when the trial was given up
	uint64_t begun_ns;
	uint64_t sent_ns; // the last SYN
	uint32_t seq;
	uint16_t port_be; // that the SYNs come from
	unsigned n_tried; // SYNs, those included that could not be sent
	bool is_begun;
	bool is_heard;     // no more is sent or awaited
	bool is_connected; // or has failed to
	bool is_given_up;
};

// The caller fills owner, netwatch, tap, on_over, and result but for the verdict first, all else
// zero.
void trial_init(struct trial *trial, struct event_base *base);
void trial_begin(struct trial *trial, uint16_t port_be);
// A reply to `port_be`, which may be to another packet than the trial's.
void trial_take(struct trial *trial, const struct dsr_reply *reply);
// Nothing can be learnt, for this reason: it ends with DSR_UNKNOWN. Legal before it has begun.
void trial_give_up(struct trial *trial, const char *reason);
// Stop without an end; legal in any state.
void trial_stop(struct trial *trial);
