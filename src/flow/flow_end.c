// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/flow_end.h"

#include "culvert/flow/flow.h"

static enum flow_end end_of_reset(const struct flow *flow, bool is_one_sided)
{
	if (is_one_sided || (flow->marks & FLOW_RESET_BY_CLIENT))
		return FLOW_END_CLIENT_RESET;
	if (flow->marks & FLOW_RESET_BY_BACKEND)
		return FLOW_END_BACKEND_RESET;
	// Not live: the backend's answer to a SYN, or a client that has given up before there was
	// one.
	return flow->bytes_rx ? FLOW_END_REFUSED : FLOW_END_CLIENT_RESET;
}

// Whoever has closed answers what comes late, a FIN sent once more, with a RST: that ends nothing.
static bool is_closed(const struct flow *flow, bool is_one_sided)
{
	uint8_t fins = FLOW_FIN_BY_CLIENT | (is_one_sided ? 0 : FLOW_FIN_BY_BACKEND);
	return flow->state == FLOW_TIME_WAIT ||
	       (flow->state == FLOW_RESET && (flow->marks & fins) == fins);
}

enum flow_end flow_end_of(const struct flow *flow, bool is_one_sided, enum flow_event event)
{
	if (flow->marks & FLOW_IS_ORPHAN)
		return FLOW_END_BACKEND_DOWN;
	if (is_closed(flow, is_one_sided))
		return FLOW_END_CLOSED;
	if (flow->state == FLOW_RESET)
		return end_of_reset(flow, is_one_sided);
	switch (event) {
	case FLOW_RECLAIMED:
		return FLOW_END_RECLAIMED;
	case FLOW_RENEWED:
		return FLOW_END_RENEWED;
	case FLOW_REMOVED:
		return FLOW_END_REMOVED;
	case FLOW_STOPPED:
		return FLOW_END_SHUTDOWN;
	default:
		break;
	}
	bool is_answered = flow->class != CLASS_HALF_OPEN || flow->state == FLOW_UDP_REPLIED;
	return is_answered ? FLOW_END_IDLE : FLOW_END_UNANSWERED;
}

const char *flow_end_name(enum flow_end end)
{
	static const char *const names[N_FLOW_ENDS] = {
#define X(name, text) text,
		FLOW_END_LIST(X)
#undef X
	};
	return names[end];
}
