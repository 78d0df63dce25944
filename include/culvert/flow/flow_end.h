// SPDX-License-Identifier: Apache-2.0
// How a flow of the packet modes can end, for people.
#pragma once

#include <stdbool.h>

struct flow;

#define FLOW_END_LIST(X)                                                     \
	X(CLOSED, "closed") /* both sides have sent FIN */                   \
	X(CLIENT_RESET, "client_reset")                                      \
	X(BACKEND_RESET, "backend_reset") /* after it was connected */       \
	X(REFUSED, "refused")             /* by the backend, at once */      \
	X(BACKEND_DOWN, "backend_down")   /* on_backend_down = "reset" */    \
	X(IDLE, "idle_timeout")           /* UDP: the usual end */           \
	X(UNANSWERED, "unanswered")       /* or a handshake not completed */ \
	X(RECLAIMED, "reclaimed")         /* made room for another */        \
	X(RENEWED, "renewed")             /* its client has begun anew */    \
	X(REMOVED, "removed")             /* by a reload; not connected */   \
	X(SHUTDOWN, "shutdown")           /* culvert stopped */

enum flow_end {
#define X(name, text) FLOW_END_##name,
	FLOW_END_LIST(X)
#undef X
		N_FLOW_ENDS
};

// What happens to an entry of a flow table.
enum flow_event {
	FLOW_OPENED,
	FLOW_LIVE, // the first time that it is
	// Its connection is over; what follows is forgetting it, or FLOW_OPENED.
	FLOW_EXPIRED,
	FLOW_RECLAIMED,
	FLOW_RENEWED,
	FLOW_REMOVED, // its frontend or backend is no more
	FLOW_STOPPED, // with the table
};

// How a flow ended that one of the last five has happened to. `is_one_sided`: flow_table.h.
enum flow_end flow_end_of(const struct flow *flow, bool is_one_sided, enum flow_event event);

const char *flow_end_name(enum flow_end end); // "closed", "idle_timeout"; static
