// SPDX-License-Identifier: Apache-2.0
// TCP told from the client's half alone: backends answer past us. What the client sends and what it
// acknowledges are its own word, so nobody's handshake is proved here; whoever does not see the
// connection still has to guess a number near those expected before anything moves.
//
// A SYN on a flow that has a connection may be the client's (the backend has reset the old one,
// which nobody saw) or somebody else's, and so may be the segment that goes on from it. The flow is
// then double: it has the numbers of both connections, follows whichever is spoken of, and the end
// of one is not the end of the other.
#include "flow/flow_table_private.h"

// ---- one connection or two ----------------------------------------------------------------------

// Does the segment go on where the client was, or acknowledge what it had acknowledged before (many
// segments may have been lost before us)? The end of the handshake carries the number after the
// SYN, and only the client knows that.
static bool is_of(const struct frame_view *view, uint32_t client_next, uint32_t backend_next)
{
	if (flow_is_near(view->seq, client_next))
		return true;
	return backend_next != 0 && (view->tcp_flags & TCP_FLAG_ACK) &&
	       flow_is_near(view->ack, backend_next);
}

// The other connection becomes the one that the flow is in.
static void switch_connection(struct flow *flow)
{
	uint32_t client_next = flow->client_next;
	uint32_t backend_next = flow->backend_next;
	flow->client_next = flow->other_client_next;
	flow->backend_next = flow->other_backend_next;
	flow->other_client_next = client_next;
	flow->other_backend_next = backend_next;
	flow->marks = FLOW_IS_DOUBLE;
}

// The connection is over, and the other one goes on.
static void leave_connection(struct flow *flow)
{
	switch_connection(flow);
	flow->marks = 0;
}

static bool has_other(const struct flow *flow)
{
	return (flow->marks & FLOW_IS_DOUBLE) && !(flow->marks & FLOW_OTHER_IS_OVER);
}

void flow_begin_again(struct flow *flow, uint32_t client_next)
{
	flow->other_client_next = client_next;
	flow->other_backend_next = 0;
	switch_connection(flow);
	flow->marks |= FLOW_OTHER_IS_OVER;
}

// The client goes on from the SYN that has come to the flow. A handshake that was under way before
// is given up.
static void begin_from_syn(struct flow *flow, const struct frame_view *view)
{
	bool is_given_up = flow->class == CLASS_HALF_OPEN;
	flow->other_backend_next = view->ack;
	switch_connection(flow);
	if (is_given_up)
		flow->marks |= FLOW_OTHER_IS_OVER;
}

static bool is_syn_confirmed(const struct flow *flow, const struct frame_view *view)
{
	return (flow->marks & FLOW_SYN_AGAIN) && (view->tcp_flags & TCP_FLAG_ACK) &&
	       view->seq == flow->other_client_next;
}

// Makes the flow follow the connection that the segment belongs to. False when there is none.
static bool find_connection(struct flow *flow, const struct frame_view *view)
{
	if (is_syn_confirmed(flow, view)) {
		begin_from_syn(flow, view);
		flow->state = FLOW_ESTABLISHED;
		return true;
	}
	if (is_of(view, flow->client_next, flow->backend_next))
		return true;
	if (!(flow->marks & FLOW_IS_DOUBLE) ||
	    !is_of(view, flow->other_client_next, flow->other_backend_next))
		return false;
	switch_connection(flow);
	flow->state = FLOW_ESTABLISHED;
	return true;
}

// ---- segments -----------------------------------------------------------------------------------

// A finished flow is reopened before it comes here. In any other the SYN's number is kept, and
// counts when the client goes on from there. Of two connections none gives way to a third, unless
// it was over before, or is no more than a SYN itself.
static bool track_syn(struct flow *flow, const struct frame_view *view, enum flow_state *state)
{
	uint32_t next = view->seq + frame_view_seq_len(view);
	bool is_half_open = flow->class == CLASS_HALF_OPEN;
	bool is_near = flow_is_near(next, flow->client_next);
	*state = (enum flow_state)flow->state;
	if ((view->tcp_flags & TCP_FLAG_ACK) || (has_other(flow) && !is_half_open))
		return false;
	if (is_half_open && (is_near || (flow->marks & FLOW_IS_DOUBLE))) {
		flow->client_next = next;
		flow->backend_next = 0;
		*state = FLOW_SYN_SENT;
	} else if (!is_near) {
		flow->marks &= (uint8_t) ~(FLOW_IS_DOUBLE | FLOW_OTHER_IS_OVER);
		flow->marks |= FLOW_SYN_AGAIN;
		flow->other_client_next = next;
	}
	return is_half_open;
}

// Only a live flow remembers who reset it, and can be found to be alive after all.
static bool track_rst(struct flow *flow, const struct frame_view *view, enum flow_state *state)
{
	if (!flow_is_near(view->seq, flow->client_next)) {
		if (!(flow->marks & FLOW_IS_DOUBLE) ||
		    !flow_is_near(view->seq, flow->other_client_next))
			return false;
		switch_connection(flow);
	}
	if (has_other(flow)) {
		leave_connection(flow);
		*state = FLOW_ESTABLISHED;
		return true;
	}
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
	if (!find_connection(flow, view))
		return false;
	// A client that was thought to have reset the connection speaks on: it was somebody else.
	if (flow->state == FLOW_RESET && (flow->marks & FLOW_RESET_BY_CLIENT)) {
		flow->marks &= FLOW_IS_DOUBLE | FLOW_OTHER_IS_OVER;
		flow->state = FLOW_ESTABLISHED;
	}
	if ((view->tcp_flags & TCP_FLAG_FIN) && has_other(flow)) {
		leave_connection(flow);
		*state = FLOW_ESTABLISHED;
		return true;
	}
	enum tcp_news news = track_numbers(flow, view);
	uint8_t flags = flags_but_old_fin(flow, view->tcp_flags);
	*state = tcp_state_next_one_sided((enum flow_state)flow->state, flags, news);
	return true;
}
