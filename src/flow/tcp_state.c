// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/tcp_state.h"

#include "culvert/net/parse.h"

enum tcp_event { EVENT_SYN, EVENT_SYN_ACK, EVENT_FIN, EVENT_ACK, N_TCP_EVENTS };

// Short names, for the width of the tables below.
enum {
	NO = FLOW_FREE,
	SS = FLOW_SYN_SENT,
	S2 = FLOW_SYN_SENT_BOTH,
	SR = FLOW_SYN_RECEIVED,
	ES = FLOW_ESTABLISHED,
	FW = FLOW_FIN_WAIT,
	CW = FLOW_CLOSE_WAIT,
	LA = FLOW_LAST_ACK,
	TW = FLOW_TIME_WAIT,
	RS = FLOW_RESET,
};

// Columns are the present state, in the order of enum flow_state. A state that stands in its own
// column means that the segment changes nothing.
static const uint8_t next_from_client[N_TCP_EVENTS][FLOW_RESET + 1] = {
	//                NO  SS  S2  SR  ES  FW  CW  LA  TW  RS
	[EVENT_SYN] = {NO, SS, S2, SR, ES, FW, CW, LA, SS, SS},
	[EVENT_SYN_ACK] = {NO, SS, SR, SR, ES, FW, CW, LA, TW, RS},
	[EVENT_FIN] = {NO, SS, S2, FW, FW, LA, LA, LA, TW, RS},
	[EVENT_ACK] = {NO, SS, S2, ES, ES, CW, CW, TW, TW, RS},
};
static const uint8_t next_from_backend[N_TCP_EVENTS][FLOW_RESET + 1] = {
	//                NO  SS  S2  SR  ES  FW  CW  LA  TW  RS
	[EVENT_SYN] = {NO, S2, S2, SR, ES, FW, CW, LA, TW, RS},
	[EVENT_SYN_ACK] = {NO, SR, SR, SR, ES, FW, CW, LA, TW, RS},
	[EVENT_FIN] = {NO, SS, S2, FW, FW, LA, LA, LA, TW, RS},
	[EVENT_ACK] = {NO, SS, S2, SR, ES, CW, CW, TW, TW, RS},
};

static enum tcp_event event_of(uint8_t tcp_flags)
{
	if (tcp_flags & TCP_FLAG_SYN)
		return tcp_flags & TCP_FLAG_ACK ? EVENT_SYN_ACK : EVENT_SYN;
	return tcp_flags & TCP_FLAG_FIN ? EVENT_FIN : EVENT_ACK;
}

enum flow_state tcp_state_next(enum flow_state state, enum flow_dir dir, uint8_t tcp_flags)
{
	if (tcp_flags & TCP_FLAG_RST)
		return FLOW_RESET;
	const uint8_t(*table)[FLOW_RESET + 1] =
		dir == FROM_CLIENT ? next_from_client : next_from_backend;
	return (enum flow_state)table[event_of(tcp_flags)][state];
}

// A SYN leads nowhere here: whether it begins anew is decided by its numbers (flow_track_client.c).
enum flow_state tcp_state_next_one_sided(enum flow_state state, uint8_t tcp_flags,
					 enum tcp_news news)
{
	enum tcp_event event = event_of(tcp_flags);
	if (tcp_flags & TCP_FLAG_RST)
		return FLOW_RESET;
	if (event == EVENT_SYN || event == EVENT_SYN_ACK)
		return state;
	if (event == EVENT_FIN)
		return state == FLOW_RESET ? FLOW_RESET : FLOW_TIME_WAIT;
	switch (state) {
	case FLOW_SYN_SENT:
		return FLOW_ESTABLISHED;
	case FLOW_PICKED_UP:
		return news == TCP_NEWS_NONE ? FLOW_PICKED_UP : FLOW_ESTABLISHED;
	case FLOW_TIME_WAIT:
		return news == TCP_NEWS_ANSWERED ? FLOW_FIN_WAIT : FLOW_TIME_WAIT;
	default:
		return state;
	}
}

const char *flow_state_name(enum flow_state state)
{
	static const char *const names[N_FLOW_STATES] = {
		[FLOW_FREE] = "free",
		[FLOW_SYN_SENT] = "syn_sent",
		[FLOW_SYN_SENT_BOTH] = "syn_sent_both",
		[FLOW_SYN_RECEIVED] = "syn_received",
		[FLOW_ESTABLISHED] = "established",
		[FLOW_FIN_WAIT] = "fin_wait",
		[FLOW_CLOSE_WAIT] = "close_wait",
		[FLOW_LAST_ACK] = "last_ack",
		[FLOW_TIME_WAIT] = "time_wait",
		[FLOW_RESET] = "reset",
		[FLOW_PICKED_UP] = "picked_up",
		[FLOW_UDP_UNREPLIED] = "udp_unreplied",
		[FLOW_UDP_REPLIED] = "udp_replied",
		[FLOW_UDP] = "udp",
	};
	return names[state];
}
