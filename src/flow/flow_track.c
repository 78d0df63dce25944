// SPDX-License-Identifier: Apache-2.0
// What a packet that is passed on tells about its flow: the state of the connection, the sequence
// numbers, the time it may live, what it has carried.
#include <netinet/in.h>

#include "flow/flow_table_private.h"

enum {
	RST_WINDOW = 1 << 20,       // how far a RST may be from the number expected
	HANDSHAKE_WINDOW = 1 << 16, // what a backend may have sent before the handshake ends
};

// Could this RST be the endpoint's own? It carries the sender's next number, or what the other
// side acknowledged, or answers a SYN (RFC 9293 section 3.10.7.3).
static bool is_rst_plausible(const struct flow *flow, enum flow_dir dir,
			     const struct frame_view *view)
{
	if (flow->state == FLOW_SYN_SENT && dir == FROM_BACKEND)
		return view->ack == flow->client_next;
	uint32_t expected = dir == FROM_CLIENT ? flow->client_next : flow->backend_next;
	uint32_t distance = view->seq - expected;
	return distance + RST_WINDOW <= 2U * RST_WINDOW;
}

// A side that was thought to have reset the connection speaks on: the RST was somebody else's.
static bool is_rst_refuted(const struct flow *flow, enum flow_dir dir)
{
	uint8_t mark = dir == FROM_CLIENT ? FLOW_RESET_BY_CLIENT : FLOW_RESET_BY_BACKEND;
	return flow->state == FLOW_RESET && (flow->marks & mark);
}

// The end of a handshake acknowledges a number that only the backend and the client know. A client
// whose address is not its own must guess it, and a guess makes no flow live.
static bool is_handshake_guessed(const struct flow *flow, enum flow_dir dir,
				 const struct frame_view *view)
{
	return flow->state == FLOW_SYN_RECEIVED && dir == FROM_CLIENT &&
	       (view->tcp_flags & TCP_FLAG_ACK) &&
	       flow->backend_next - view->ack >= HANDSHAKE_WINDOW;
}

// Only a live flow remembers who reset it, and can be found to be alive after all.
static enum flow_state track_rst(struct flow *flow, enum flow_dir dir,
				 const struct frame_view *view)
{
	if (!is_rst_plausible(flow, dir, view))
		return (enum flow_state)flow->state;
	if (flow->class == CLASS_LIVE)
		flow->marks |= dir == FROM_CLIENT ? FLOW_RESET_BY_CLIENT : FLOW_RESET_BY_BACKEND;
	return FLOW_RESET;
}

// Where both sides begin to count. A backend that answers a SYN again may have forgotten its first
// answer (SYN cookies).
static void track_numbers(struct flow *flow, enum flow_dir dir, const struct frame_view *view)
{
	uint32_t *next = dir == FROM_CLIENT ? &flow->client_next : &flow->backend_next;
	uint32_t end = view->seq + frame_view_seq_len(view);
	bool is_first = flow->state == FLOW_SYN_SENT ||
			(flow->state == FLOW_SYN_RECEIVED && (view->tcp_flags & TCP_FLAG_SYN));
	if ((dir == FROM_BACKEND && is_first) || flow_is_after(end, *next))
		*next = end;
}

// The flags without a FIN that this side has sent before: a retransmission is not the other side's.
static uint8_t flags_but_old_fin(struct flow *flow, enum flow_dir dir, uint8_t flags)
{
	uint8_t mark = dir == FROM_CLIENT ? FLOW_FIN_BY_CLIENT : FLOW_FIN_BY_BACKEND;
	bool has_begun = flow->state != FLOW_SYN_SENT && flow->state != FLOW_SYN_SENT_BOTH;
	if (!(flags & TCP_FLAG_FIN) || !has_begun)
		return flags;
	if (flow->marks & mark)
		return flags & (uint8_t)~TCP_FLAG_FIN;
	flow->marks |= mark;
	return flags;
}

static enum flow_state track_tcp(struct flow *flow, enum flow_dir dir,
				 const struct frame_view *view)
{
	if (view->tcp_flags & TCP_FLAG_RST)
		return track_rst(flow, dir, view);
	if (is_handshake_guessed(flow, dir, view))
		return FLOW_SYN_RECEIVED;
	if (is_rst_refuted(flow, dir)) {
		flow->marks = 0;
		flow->state = FLOW_ESTABLISHED;
	}
	track_numbers(flow, dir, view);
	uint8_t flags = flags_but_old_fin(flow, dir, view->tcp_flags);
	return tcp_state_next((enum flow_state)flow->state, dir, flags);
}

static void count_packet(struct traffic_counters *traffic, enum flow_dir dir, uint32_t bytes)
{
	counter_add(dir == FROM_CLIENT ? &traffic->packets_tx : &traffic->packets_rx, 1);
	counter_add(dir == FROM_CLIENT ? &traffic->bytes_tx : &traffic->bytes_rx, bytes);
}

void flow_table_track(struct flow_table *table, uint32_t index, enum flow_dir dir,
		      const struct frame_view *view)
{
	struct flow *flow = &table->flows[index];
	uint32_t bytes = view->frame_len - view->l3;
	if (flow->proto == IPPROTO_TCP)
		flow_table_set_state(table, index, track_tcp(flow, dir, view));
	else if (dir == FROM_BACKEND)
		flow_table_set_state(table, index, FLOW_UDP);
	flow_table_refresh(table, index);

	*(dir == FROM_CLIENT ? &flow->bytes_tx : &flow->bytes_rx) += bytes;
	count_packet(&table->frontends[flow->frontend], dir, bytes);
	count_packet(&table->backends[flow->backend], dir, bytes);
}

void flow_table_orphan(struct flow_table *table, uint32_t index)
{
	struct flow *flow = &table->flows[index];
	flow->marks |= FLOW_IS_ORPHAN;
	flow_table_set_state(table, index, FLOW_RESET);
	flow_table_refresh(table, index);
}
