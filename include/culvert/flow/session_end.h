// SPDX-License-Identifier: Apache-2.0
// How a session of proxy mode can end, and how an attempt to reach a backend can: one counter each.
#pragma once

// Every accepted connection ends in exactly one of these, or is a session still.
// X(symbol, name in statistics and logs, what it means)
#define SESSION_END_LIST(X)                                                                    \
	X(COMPLETED, "completed", "both sides have said their end")                            \
	X(CLIENT_RESET, "client_reset", "the client reset it, or was lost")                    \
	X(BACKEND_RESET, "backend_reset", "the backend reset it, or was lost")                 \
	X(BACKEND_DOWN, "backend_down", "the backend was found dead, or put into maintenance") \
	X(DRAIN_TIMEOUT, "drain_timeout", "of what was removed, when drain_timeout was over")  \
	X(IDLE, "idle_timeout", "nothing moved for idle_timeout")                              \
	X(CLIENT_TIMEOUT, "client_timeout", "the client did not take or say what it had to")   \
	X(NO_BACKEND, "no_backend", "no backend took new connections")                         \
	X(CONNECT_FAILED, "connect_failed", "no backend that was tried could be connected to") \
	X(HEADER_INVALID, "header_invalid", "the client's PROXY header was wrong")             \
	X(HEADER_TIMEOUT, "header_timeout", "the client's PROXY header did not come in time")  \
	X(HEADER_ABORTED, "header_aborted", "the client closed within its PROXY header")       \
	X(LIMIT, "connection_limit", "refused beyond max_connections")                         \
	X(RESOURCES, "out_of_resources", "this host lacked descriptors or memory")             \
	X(SHUTDOWN, "shutdown", "still open when culvert stopped")

enum session_end {
#define X(symbol, name, text) SESSION_END_##symbol,
	SESSION_END_LIST(X)
#undef X
		N_SESSION_ENDS
};

// "completed", "client_reset", ...: names for people and for metrics. Static. Any thread.
const char *session_end_name(enum session_end end);
const char *session_end_text(enum session_end end);

#define CONNECT_RESULT_LIST(X)                                                      \
	X(CONNECTED, "connected")                                                   \
	X(REFUSED, "refused")                                                       \
	X(TIMEOUT, "timeout")         /* connect_timeout, or the kernel's own */    \
	X(UNREACHABLE, "unreachable") /* no route, or a router said so */           \
	X(NO_PORT, "no_source_port")  /* this host's ephemeral ports are used up */ \
	X(LACK, "out_of_resources")   /* descriptors or memory of this host */      \
	X(ABANDONED, "abandoned")     /* given up before it was decided */          \
	X(OTHER, "other")

enum connect_result {
#define X(name, text) CONNECT_##name,
	CONNECT_RESULT_LIST(X)
#undef X
		N_CONNECT_RESULTS
};

const char *connect_result_name(enum connect_result result);
