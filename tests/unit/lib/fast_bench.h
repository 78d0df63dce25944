// SPDX-License-Identifier: Apache-2.0
// A fast_lab whose entries are those of the kernel's programs, in a network namespace with links of
// its own: frames can be run through both programs as they would be on their arrival. What goes
// wrong fails the test.
#pragma once

#include <linux/bpf.h>

#include "fast_lab.h"

enum {
	FAST_TO_CULVERT = 0,
	FAST_TO_NOBODY = 1,
	FAST_LEFT_ALONE = -1, // TC_ACT_UNSPEC
	FAST_REDIRECTED = 7,  // TC_ACT_REDIRECT
	FAST_NOTE_ENTRY = 0,  // words of __sk_buff.cb
	FAST_NOTE_TOKEN = 4,
};

struct fast_bench {
	struct fast_lab lab;
	struct fast_program program;
	unsigned ifindexes[SCENE_N_LINKS];
	uint32_t gso_size; // of what comes in next; 0: an ordinary frame
};

// What the programs have made of a frame.
struct fast_run {
	int divert;
	int forward;
	uint8_t frame[4096];
	uint32_t len;
};

// Skips the test without root.
void fast_bench_open(struct fast_bench *bench, enum fast_lab_way way);
void fast_bench_close(struct fast_bench *bench);

// Through the first program and, with the note that it has left, the second.
void fast_bench_run(const struct fast_bench *bench, uint32_t link, const struct frame_spec *spec,
		    struct fast_run *run);
// The same for a frame that is there: what arrives, then what becomes of it, *len bytes of it.
int fast_bench_divert(const struct fast_bench *bench, uint32_t link, const uint8_t *frame,
		      uint32_t len, uint32_t note[5]);
int fast_bench_forward(const struct fast_bench *bench, uint32_t link, const uint32_t note[5],
		       struct fast_run *run);
