// SPDX-License-Identifier: Apache-2.0
// What flow_table.c and flow_track.c offer to one another. Called by: the worker that owns the
// table.
#pragma once

#include "culvert/flow/flow_table.h"

// Is sequence number, or second, `a` after `b`? Both wrap around.
static inline bool flow_is_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static inline bool flow_is_near(uint32_t number, uint32_t expected)
{
	return number - expected + FLOW_SEQ_WINDOW <= 2U * FLOW_SEQ_WINDOW;
}

// flow_track_client.c: the state that a segment of the client leads to when the backend's are not
// seen. False when it says nothing about the connection.
bool flow_track_tcp_client(struct flow *flow, const struct frame_view *view,
			   enum flow_state *state);

// flow_track_client.c: a SYN on a finished flow. Whoever invented it does not take the flow from a
// client that still reads what the backend sends.
void flow_begin_again(struct flow *flow, uint32_t client_next);

// The flow leaves its class: its list and the sums follow.
void flow_table_set_class(struct flow_table *table, uint32_t index, enum flow_class class);

static inline void flow_table_set_state(struct flow_table *table, uint32_t index,
					enum flow_state state)
{
	struct flow *flow = &table->flows[index];
	enum flow_class class = flow_state_class(state);
	flow->state = (uint8_t)state;
	if (class != flow->class)
		flow_table_set_class(table, index, class);
}

// Give the flow the whole timeout of its state. The timer is linked anew only when the flow may end
// earlier than it would look; a later end is found when the timer fires.
static inline void flow_table_refresh(struct flow_table *table, uint32_t index)
{
	struct flow *flow = &table->flows[index];
	flow->expires = table->now + table->params.timeouts[flow->state];
	if (flow_is_after(flow->timer.due, flow->expires)) {
		wheel_remove(&table->timers, index);
		wheel_add(&table->timers, index, flow->expires);
	}
}
