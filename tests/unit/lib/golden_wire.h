// SPDX-License-Identifier: Apache-2.0
// Cases of packet tables over the drivers for interfaces: the links are veth pairs, and what comes
// in and leaves goes through the kernel.
// Called by: the thread of the test.
#pragma once

#include "../../support/lib/cables.h"
#include "golden_run.h"

// Why a case says nothing about this way: all that a wire cannot show.
enum wire_reason {
	WIRE_FITS,
	WIRE_DRIVER_STEP, // what becomes of frames that the driver refuses to send
	WIRE_NOT_SENT,    // the kernel sends no such frame: too long for the link, or too short
	WIRE_TAGGED,      // tags are the kernel's, and so is what becomes of frames of VLANs
	WIRE_CUT,         // a super-frame that no such link brings whole
	WIRE_N_REASONS,
};

struct golden_wire {
	struct cables cables;
	const struct io_driver *driver;
	enum fast_path_use fast_path;
	uint64_t n_cases;
	uint64_t n_left_out[WIRE_N_REASONS];
	uint64_t n_fast; // packets that the kernel forwarded
};

// Skips the test without the privileges.
void golden_wire_open(struct golden_wire *wire, const struct io_driver *driver,
		      enum fast_path_use fast_path);
// Cases that were left out.
uint64_t golden_wire_left_out(const struct golden_wire *wire);
// Says how many, and why.
void golden_wire_close(struct golden_wire *wire);
void golden_wire_run(struct golden_wire *wire, const struct golden_table *table,
		     const struct golden_case *test, int workers);
