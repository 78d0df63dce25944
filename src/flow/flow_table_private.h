// SPDX-License-Identifier: Apache-2.0
// What flow_table.c offers to flow_track.c. Called by: the worker that owns the table.
#pragma once

#include "culvert/flow/flow_table.h"

// Is sequence number, or second, `a` after `b`? Both wrap around.
static inline bool flow_is_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

// The flow's class, its list and the sums follow.
void flow_table_set_state(struct flow_table *table, uint32_t index, enum flow_state state);

// Give the flow the whole timeout of its state. The timer is linked anew only when the flow may end
// earlier than it would look; a later end is found when the timer fires.
void flow_table_refresh(struct flow_table *table, uint32_t index);
