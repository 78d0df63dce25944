// SPDX-License-Identifier: Apache-2.0
// A frame out of one line in the notation of tests/golden, without the link. What cannot be read
// aborts the test.
#pragma once

#include "frame.h"

struct text_frame {
	uint8_t *bytes; // owned; as long as it says, so that address checkers see every byte too
			// many
	uint32_t len;
	struct virtio_net_hdr vnet;
};

struct text_frame frame_from_text(const char *text);
void text_frame_fini(struct text_frame *frame);

// The first `len` bytes in memory of their own, to be freed with free().
uint8_t *text_frame_cut(const struct text_frame *frame, uint32_t len);
