// SPDX-License-Identifier: Apache-2.0
// The options of a TCP header (RFC 9293 section 3.1).
// Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/parse.h"

enum tcp_option {
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
	TCP_OPTION_TIMESTAMPS = 8, // RFC 7323 section 3.2
};

// The first option of that kind in the TCP segment that `view` describes, if it has `len` bytes in
// all, or NULL. Options that overrun the header end the search.
uint8_t *tcp_option_find(uint8_t *frame, const struct frame_view *view, enum tcp_option kind,
			 uint32_t len);

// Overwrite `len` bytes, at most TCP_OPTION_WRITE_MAX, at a place among the options; the checksum
// follows. With `is_partial` it is still the hardware's to fill in.
enum { TCP_OPTION_WRITE_MAX = 10 };
void tcp_option_write(uint8_t *frame, const struct frame_view *view, uint8_t *at,
		      const uint8_t *bytes, size_t len, bool is_partial);

// Take the timestamps out of a SYN: the option becomes padding, so that nothing else moves.
void tcp_option_hide_timestamps(uint8_t *frame, const struct frame_view *view, bool is_partial);
