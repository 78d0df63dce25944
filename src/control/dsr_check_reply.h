// SPDX-License-Identifier: Apache-2.0
// What came back: from the bytes of a frame to a reply, and from all that is known to a verdict.
// Pure; any thread.
#pragma once

#include "culvert/control/dsr_check.h"

// What a frame says about a SYN that was sent from `source`. `is_partial`: its TCP checksum is not
// computed yet. False: nothing; *reply is untouched then.
bool dsr_reply_parse(const uint8_t *frame, uint32_t len, bool is_partial,
		     const struct ip_addr *source, struct dsr_reply *reply);

// Whether it is about the SYN with number `seq` that was sent on this evidence.
bool dsr_reply_is_to(const struct dsr_reply *reply, const struct dsr_evidence *evidence,
		     uint32_t seq);

enum dsr_verdict dsr_judge(const struct dsr_evidence *evidence);
