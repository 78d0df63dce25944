// SPDX-License-Identifier: Apache-2.0
// The stages of the packet path without threads: what plan_inline.c does, one round at a time, in
// the caller's thread, with everything open to inspection.
#pragma once

#include "mem_io.h"
#include "packet/capture.h"
#include "packet/transmit.h"
#include "packet/worker.h"
#include "scene.h"

struct pump {
	struct scene *scene; // borrowed
	struct snapshot *snapshot;
	struct capture capture;
	struct worker worker;
	struct transmit transmit;
	struct io *io;
	uint64_t now_ns;
};

void pump_open(struct pump *pump, struct scene *scene);
// The same over another driver than that in memory, borrowed: its links are a scene's.
void pump_open_over(struct pump *pump, struct scene *scene, const struct io_driver *driver);
void pump_close(struct pump *pump);

// One round over all links; what has been pushed into pump->io comes in.
void pump_round(struct pump *pump);
// A new snapshot of the scene for the rounds to come.
void pump_publish(struct pump *pump);

// NULL, or why the sums of the rounds so far do not balance.
const char *pump_check_ledger(const struct pump *pump);
