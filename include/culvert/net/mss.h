// SPDX-License-Identifier: Apache-2.0
// The maximum segment size that a SYN announces (RFC 9293 section 3.7.1).
// Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/parse.h"

// Lower the MSS option of the TCP SYN that `view` describes to `max`; one that is lower already,
// and a SYN without, stay as they are. With `is_partial` the checksum is still the hardware's to
// fill in.
void mss_clamp(uint8_t *frame, const struct frame_view *view, uint16_t max, bool is_partial);
