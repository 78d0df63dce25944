// SPDX-License-Identifier: Apache-2.0
// What forward_nat.c and forward_dsr.c do with a packet of an established flow, as entries of the
// fast path. Called by: the worker.
#pragma once

#include "packet/fast_entry.h"
#include "packet/worker.h"

// Is nothing to be found out about the flow any more but how far it is? A tunnel is more than a
// rewriting, and stays with the worker.
bool fast_is_eligible(const struct worker *worker, const struct flow *flow);

// By the snapshot at hand, for packets that come from the client, or from the backend. Nothing is
// counted yet.
struct fast_entry fast_decide(const struct worker *worker, uint32_t index, enum flow_dir way);
