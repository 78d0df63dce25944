// SPDX-License-Identifier: Apache-2.0
// Copies of packets that are dropped for a reason that control wants to see. Every thread that ends
// packets has a tap; while it is not armed it costs a drop one look at a number, and other packets
// nothing.
//
// DESIGN. A sample belongs to whoever has taken its address out of a tap: a thread takes it for the
// time that a copy takes, and control takes it for good. So nobody waits: control, finding that a
// thread has it, comes again.
#pragma once

#include <stdatomic.h>

#include "packet/packet.h"

struct sample;

struct sample_tap {
	_Atomic uint32_t reason; // w: control, r: the thread; relaxed; VERDICT_NONE: not armed
	_Atomic(struct sample *) sample; // w: both, by exchange; acquire and release
};

// Called by: the thread that has the tap.
void sample_take(struct sample_tap *tap, const struct packet *packet);

// A packet ends in `verdict`.
static inline void sample_packet(struct sample_tap *tap, const struct packet *packet,
				 enum verdict verdict)
{
	if (verdict > VERDICT_PASSED && !packet->is_sampled &&
	    atomic_load_explicit(&tap->reason, memory_order_relaxed) == verdict)
		sample_take(tap, packet);
}

// It may be turned into an answer, which is not what was dropped.
static inline void sample_before_answer(struct sample_tap *tap, struct packet *packet)
{
	sample_packet(tap, packet, (enum verdict)packet->verdict);
	packet->is_sampled = true;
}
