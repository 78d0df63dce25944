// SPDX-License-Identifier: Apache-2.0
// Fragments, in any order, put together again: what their receiver would make of them.
#pragma once

#include "wire.h"

enum { PUZZLE_HEADER_MAX = 200, PUZZLE_DATA_MAX = 8192 };

struct puzzle {
	uint8_t header[PUZZLE_HEADER_MAX];
	uint8_t data[PUZZLE_DATA_MAX];
	bool has_unit[PUZZLE_DATA_MAX / 8 + 1];
	uint32_t header_len; // 0: the first fragment has not come
	uint32_t data_len;   // 0: the last one has not
	uint8_t packet[PUZZLE_HEADER_MAX + PUZZLE_DATA_MAX];
};

// `wire` is of the fragment at `ip`. What does not fit is left out.
void puzzle_add(struct puzzle *puzzle, const uint8_t *ip, const struct wire *wire);

// The whole packet, borrowed, and its length; NULL as long as something is missing.
const uint8_t *puzzle_packet(struct puzzle *puzzle, uint32_t *len);
