// SPDX-License-Identifier: Apache-2.0
// The whole packet path under test: a scene, an engine over the driver in memory, and a clock that
// stands still until it is moved. Clock and driver are one per process.
// Called by: the thread of the test.
#pragma once

#include "culvert/packet/engine.h"
#include "mem_io.h"
#include "scene.h"

struct rig {
	struct scene *scene; // borrowed
	struct engine *engine;
	struct io *io;     // of the driver in memory
	uint64_t n_pushed; // frames let in
	uint64_t seconds;  // the clock without nudges
};

// Start an engine over a scene that has been built.
void rig_start(struct rig *rig, struct scene *scene);
// As rig_start(), over another driver. Then `io` is NULL, and rig_push() is not to be called:
// whoever lets frames in counts them.
void rig_start_over(struct rig *rig, struct scene *scene, const struct io_driver *driver,
		    const struct io_link *links);
// Stop the engine and check its ledger. NULL when it balances, or what is wrong.
const char *rig_stop(struct rig *rig);

void rig_push(struct rig *rig, uint32_t link, const uint8_t *frame, uint32_t len,
	      const struct virtio_net_hdr *vnet);
// Has every frame let in its verdict, or is held?
bool rig_is_settled(const struct rig *rig);
// Wait until every frame let in has its verdict, or is held. What was sent on account of it can be
// taken from the driver then.
void rig_settle(struct rig *rig);
// As rig_settle(), and returns the verdict of the only frame let in since `before`: VERDICT_NONE
// when it is held.
enum verdict rig_verdict_since(struct rig *rig, const struct packet_stats *before);

// A new snapshot; when this returns, nobody decides by the one before, and everybody has seen what
// the clock showed at the call.
void rig_publish(struct rig *rig);
void rig_move_clock(struct rig *rig, uint64_t seconds);
// Enough of a second for workers to ask what the fast path has counted meanwhile, and they do. The
// next rig_move_clock() makes up for it.
void rig_nudge(struct rig *rig);

// For engine_params.now_ns.
uint64_t rig_now_ns(void);
// NULL or what is wrong with the sums.
const char *rig_check_ledger(const struct packet_stats *stats);
