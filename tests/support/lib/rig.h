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
};

// Start an engine over a scene that has been built.
void rig_start(struct rig *rig, struct scene *scene);
// Stop the engine and check its ledger. NULL when it balances, or what is wrong.
const char *rig_stop(struct rig *rig);

void rig_push(struct rig *rig, uint32_t link, const uint8_t *frame, uint32_t len,
	      const struct virtio_net_hdr *vnet);
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

// For engine_params.now_ns.
uint64_t rig_now_ns(void);
// NULL or what is wrong with the sums.
const char *rig_check_ledger(const struct packet_stats *stats);
