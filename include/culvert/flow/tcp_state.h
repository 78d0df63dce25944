// SPDX-License-Identifier: Apache-2.0
// What a middlebox knows about a TCP connection. When it sees both directions, the states and
// transitions are those of a connection tracker (as in Linux's nf_conntrack_proto_tcp). When
// backends answer past it, it has the client's half to go by. The endpoints judge the segments
// themselves, so a segment that fits no transition changes nothing and is still passed on.
// Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum flow_state {
	FLOW_FREE, // no flow
	FLOW_SYN_SENT,
	FLOW_SYN_SENT_BOTH, // simultaneous open
	FLOW_SYN_RECEIVED,
	FLOW_ESTABLISHED,
	FLOW_FIN_WAIT,   // one side has sent FIN
	FLOW_CLOSE_WAIT, // and the other has acknowledged it
	FLOW_LAST_ACK,   // both have sent FIN
	FLOW_TIME_WAIT,
	FLOW_RESET,         // a RST has passed
	FLOW_PICKED_UP,     // the client's half alone: begun in mid-connection, not confirmed yet
	FLOW_UDP_UNREPLIED, // only the client has spoken
	FLOW_UDP_REPLIED,   // and the backend has answered
	FLOW_UDP,           // and the client has spoken again: it is really there
	N_FLOW_STATES
};

enum flow_dir { FROM_CLIENT, FROM_BACKEND, N_FLOW_DIRS };

// A flow's class decides what may be done to it when room is short: half-open flows have a budget
// of their own and make way for one another, finished ones make way for new ones, live ones for
// nobody.
enum flow_class { CLASS_HALF_OPEN, CLASS_LIVE, CLASS_FINISHED, N_FLOW_CLASSES };

// The state after a segment with `tcp_flags` (one of the combinations parse_frame() accepts).
enum flow_state tcp_state_next(enum flow_state state, enum flow_dir dir, uint8_t tcp_flags);

// What else a segment of the client tells when nothing else is seen.
enum tcp_news {
	TCP_NEWS_NONE,     // sent or acknowledged before
	TCP_NEWS,          // new data, or more of the backend's acknowledged
	TCP_NEWS_ANSWERED, // more of it than a FIN: the backend sends data
};

// As tcp_state_next(), of the client's segments alone. A client that has sent FIN counts as
// finished, since the backend's FIN is never seen, unless it goes on acknowledging data.
enum flow_state tcp_state_next_one_sided(enum flow_state state, uint8_t tcp_flags,
					 enum tcp_news news);

static inline enum flow_class flow_state_class(enum flow_state state)
{
	switch (state) {
	case FLOW_SYN_SENT:
	case FLOW_SYN_SENT_BOTH:
	case FLOW_SYN_RECEIVED:
	case FLOW_PICKED_UP:
	case FLOW_UDP_UNREPLIED:
	case FLOW_UDP_REPLIED:
		return CLASS_HALF_OPEN;
	case FLOW_TIME_WAIT:
	case FLOW_RESET:
		return CLASS_FINISHED;
	default:
		return CLASS_LIVE;
	}
}
const char *flow_state_name(enum flow_state state); // "syn_sent", "established"
