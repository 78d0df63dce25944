// SPDX-License-Identifier: Apache-2.0
// Runs a case of a packet table through the whole packet path, and fails the test where packets,
// verdicts or sums are others than the table says.
// Called by: the thread of the test.
#pragma once

#include "../../support/lib/frame.h"
#include "../../support/lib/frame_log.h"
#include "../../support/lib/golden.h"
#include "../../support/lib/rig.h"

enum { GOLDEN_RUN_OUTPUTS = 512 };

struct golden_run;

// What frames come in by and leave by.
struct golden_way {
	void (*start)(struct golden_run *run); // the rig
	// Lets a frame in and waits for its end: `verdict`, and `outputs` for what was sent.
	void (*bring)(struct golden_run *run, uint32_t link, const uint8_t *frame, uint32_t len,
		      const struct virtio_net_hdr *vnet);
	// A new snapshot, on whose account so many frames are sent: into `outputs`.
	void (*publish)(struct golden_run *run, unsigned n_sent);
	void (*refuse)(struct golden_run *run, enum verdict verdict); // from now on: mem_io.h
	bool completes_sums; // what was left to hardware is completed before frames are compared
	bool is_by_link;     // frames have an order for each link only
};

// A case on its way.
struct golden_run {
	const struct golden_way *way;     // borrowed
	void *arg;                        // the way's own; borrowed
	const struct golden_table *table; // borrowed
	const struct golden_case *test;   // borrowed
	struct frame_log *log;            // borrowed; NULL: nobody wants to see the frames
	struct scene scene;
	struct names names;
	struct rig rig;
	struct mem_frame *outputs[GOLDEN_RUN_OUTPUTS]; // of the last step, not matched yet
	size_t n_outputs;
	enum verdict verdict; // of the last frame
	bool has_failed;
	bool is_left_out; // by its way, in the middle: the rest is nobody's business
	bool has_verdict; // the last frame's was checked
	unsigned line;
};

// ---- a case ------------------------------------------------------------------------------------

// Step by step, over the driver in memory.
void golden_run_case(const struct golden_table *table, const struct golden_case *test, int workers,
		     struct frame_log *log);
// From capture files. Legal for cases that are replayable: their packets are known before the run,
// and nothing happens between them.
void golden_replay_case(const struct golden_table *table, const struct golden_case *test,
			int workers, struct frame_log *log);
bool golden_is_replayable(const struct golden_case *test);

// ---- what both are made of ---------------------------------------------------------------------

void golden_run_complain(struct golden_run *run, const char *what);
// The case's scene. False when there are fewer NAT ports than workers, which a configuration must
// not say, or when the table is about fewer workers.
bool golden_run_open(struct golden_run *run, int workers);
// Its steps, by `way`, and the end: everything is as the table says, or there are complaints.
void golden_run_steps(struct golden_run *run);
// The frame of a line, and its link. 0 when it makes none.
uint32_t golden_run_build(struct golden_run *run, const char *text, uint8_t *frame,
			  struct virtio_net_hdr *vnet, uint32_t *link);
// One of the packets sent is what the line says: "any out".
void golden_run_match(struct golden_run *run, const char *text);
// Before the next step: nothing may be left over from the one before.
void golden_run_end_step(struct golden_run *run);
