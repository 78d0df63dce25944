// SPDX-License-Identifier: Apache-2.0
// TCP told from the client's half alone: backends answer past us. What the client sends and what it
// acknowledges are its own word, so nobody's handshake is proved here; whoever does not see the
// connection still has to guess a number near those expected before anything moves.
#include "flow/flow_table_private.h"

// The end of the handshake carries the number after the SYN, and only the client knows it. Later on
// a segment goes on where the client was, or it acknowledges what the client had acknowledged
// before (many segments may have been lost before us).
static bool is_plausible(const struct flow *flow, const struct frame_view *view)
{
	if (flow_is_near(view->seq, flow->client_next))
		return true;
	return flow->state != FLOW_SYN_SENT && (view->tcp_flags & TCP_FLAG_ACK) &&
	       flow_is_near(view->ack, flow->backend_next);
}

static void begin_anew(struct flow *flow, const struct frame_view *view)
{
	flow->client_next = view->seq + frame_view_seq_len(view);
	flow->backend_next = view->ack;
	flow->marks = 0;
}

// A handshake that is under way may begin again; a finished flow is reopened before it comes here.
// A live connection may have ended by the backend's RST, which nobody saw, or somebody invents a
// SYN: its number is kept, and counts when the client goes on from there.
static bool track_syn(struct flow *flow, const struct frame_view *view, enum flow_state *state)
{
	if (flow->class == CLASS_LIVE) {
		flow->marks |= FLOW_SYN_AGAIN;
		flow->syn_next = view->seq + frame_view_seq_len(view);
	}
	if (flow->class != CLASS_HALF_OPEN || (view->tcp_flags & TCP_FLAG_ACK))
		return false;
	begin_anew(flow, view);
	*state = FLOW_SYN_SENT;
	return true;
}

static bool is_syn_confirmed(const struct flow *flow, const struct frame_view *view)
{
	return (flow->marks & FLOW_SYN_AGAIN) && (view->tcp_flags & TCP_FLAG_ACK) &&
	       view->seq == flow->syn_next;
}

// Only a live flow remembers who reset it, and can be found to be alive after all.
static bool track_rst(struct flow *flow, const struct frame_view *view, enum flow_state *state)
{
	if (!flow_is_near(view->seq, flow->client_next))
		return false;
	if (flow->class == CLASS_LIVE)
		flow->marks |= FLOW_RESET_BY_CLIENT;
	*state = FLOW_RESET;
	return true;
}

// Takes the segment's numbers into the flow.
static enum tcp_news track_numbers(struct flow *flow, const struct frame_view *view)
{
	uint32_t end = view->seq + frame_view_seq_len(view);
	enum tcp_news news = TCP_NEWS_NONE;
	if (flow_is_after(end, flow->client_next)) {
		flow->client_next = end;
		news = TCP_NEWS;
	}
	if (!(view->tcp_flags & TCP_FLAG_ACK))
		return news;
	bool is_first = flow->state == FLOW_SYN_SENT;
	if (is_first || flow_is_after(view->ack, flow->backend_next)) {
		bool is_more_than_fin = view->ack - flow->backend_next > 1;
		news = is_more_than_fin && !is_first ? TCP_NEWS_ANSWERED : TCP_NEWS;
		flow->backend_next = view->ack;
	}
	return news;
}

// The flags without a FIN that has been there before: a retransmission.
static uint8_t flags_but_old_fin(struct flow *flow, uint8_t flags)
{
	if (!(flags & TCP_FLAG_FIN))
		return flags;
	if (flow->marks & FLOW_FIN_BY_CLIENT)
		return flags & (uint8_t)~TCP_FLAG_FIN;
	flow->marks |= FLOW_FIN_BY_CLIENT;
	return flags;
}

bool flow_track_tcp_client(struct flow *flow, const struct frame_view *view, enum flow_state *state)
{
	if (view->tcp_flags & TCP_FLAG_RST)
		return track_rst(flow, view, state);
	if (view->tcp_flags & TCP_FLAG_SYN)
		return track_syn(flow, view, state);
	if (is_syn_confirmed(flow, view)) {
		begin_anew(flow, view);
		flow->state = FLOW_ESTABLISHED;
	}
	if (!is_plausible(flow, view))
		return false;
	// A client that was thought to have reset the connection speaks on: it was somebody else.
	if (flow->state == FLOW_RESET && (flow->marks & FLOW_RESET_BY_CLIENT)) {
		flow->marks = 0;
		flow->state = FLOW_ESTABLISHED;
	}
	enum tcp_news news = track_numbers(flow, view);
	uint8_t flags = flags_but_old_fin(flow, view->tcp_flags);
	*state = tcp_state_next_one_sided((enum flow_state)flow->state, flags, news);
	return true;
}
