// SPDX-License-Identifier: Apache-2.0
// How a session of proxy mode can end, and how an attempt to reach a backend can: one counter each.
#pragma once

// Every accepted connection ends in exactly one of these, or is a session still.
#define SESSION_END_LIST(X)                                                      \
	X(COMPLETED, "completed")           /* both sides have said their end */ \
	X(CLIENT_RESET, "client_reset")     /* or lost: any socket error */      \
	X(BACKEND_RESET, "backend_reset")   /* after it was connected */         \
	X(BACKEND_DOWN, "backend_down")     /* on_backend_down = "reset" */      \
	X(IDLE, "idle_timeout")             /* nothing moved */                  \
	X(CLIENT_TIMEOUT, "client_timeout") /* it owed something */              \
	X(NO_BACKEND, "no_backend")         /* none was up */                    \
	X(CONNECT_FAILED, "connect_failed") /* every one that was tried */       \
	X(HEADER_INVALID, "header_invalid") /* not a PROXY header */             \
	X(HEADER_TIMEOUT, "header_timeout") /* nor one in time */                \
	X(HEADER_ABORTED, "header_aborted") /* closed in the middle of it */     \
	X(LIMIT, "connection_limit")        /* on_full = "refuse" */             \
	X(RESOURCES, "out_of_resources")    /* descriptors or memory */          \
	X(SHUTDOWN, "shutdown")             /* culvert stopped */

enum session_end {
#define X(name, text) SESSION_END_##name,
	SESSION_END_LIST(X)
#undef X
		N_SESSION_ENDS
};

// "completed", "client_reset", ...: names for people and for metrics. Static. Any thread.
const char *session_end_name(enum session_end end);

#define CONNECT_RESULT_LIST(X)                                                      \
	X(CONNECTED, "connected")                                                   \
	X(REFUSED, "refused")                                                       \
	X(TIMEOUT, "timeout")         /* connect_timeout, or the kernel's own */    \
	X(UNREACHABLE, "unreachable") /* no route, or a router said so */           \
	X(NO_PORT, "no_source_port")  /* this host's ephemeral ports are used up */ \
	X(LACK, "out_of_resources")   /* descriptors or memory of this host */      \
	X(ABANDONED, "abandoned")     /* the session ended first */                 \
	X(OTHER, "other")

enum connect_result {
#define X(name, text) CONNECT_##name,
	CONNECT_RESULT_LIST(X)
#undef X
		N_CONNECT_RESULTS
};

const char *connect_result_name(enum connect_result result);
