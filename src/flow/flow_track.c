// SPDX-License-Identifier: Apache-2.0
// What a packet that is passed on tells about its flow: the state of the connection, the sequence
// numbers, the time it may live, what it has carried.
#include <netinet/in.h>

#include "flow/flow_table_private.h"

enum {
	HANDSHAKE_WINDOW = 1 << 16, // what one side may have sent before the handshake ends
};

static bool is_handshaking(const struct flow *flow)
{
	return flow->state == FLOW_SYN_SENT || flow->state == FLOW_SYN_SENT_BOTH ||
	       flow->state == FLOW_SYN_RECEIVED;
}

// Does the backend's segment acknowledge a SYN that `next` follows? It takes all of the data that
// came with it, or some; the client may have sent it once more without.
static bool acknowledges(const struct frame_view *view, uint32_t next)
{
	return (view->tcp_flags & TCP_FLAG_ACK) &&
	       view->ack - next + HANDSHAKE_WINDOW <= 2U * HANDSHAKE_WINDOW;
}

// The other of two SYNs that wait for an answer is where the backend's number will be.
static bool acknowledges_other_syn(const struct flow *flow, const struct frame_view *view)
{
	return flow->state == FLOW_SYN_SENT && flow->backend_next != 0 &&
	       acknowledges(view, flow->backend_next);
}

static bool acknowledges_syn(const struct flow *flow, const struct frame_view *view)
{
	return acknowledges(view, flow->client_next) || acknowledges_other_syn(flow, view);
}

// Could this RST be the endpoint's own? It carries the sender's next number, or what the other
// side acknowledged, or answers a SYN (RFC 9293 section 3.10.7.3). In a handshake nothing has been
// lost: a client whose RST has any other number refuses an answer to an older SYN, and waits on.
static bool is_rst_plausible(const struct flow *flow, enum flow_dir dir,
			     const struct frame_view *view)
{
	if (flow->state == FLOW_SYN_SENT && dir == FROM_BACKEND)
		return view->ack == flow->client_next ||
		       (flow->backend_next != 0 && view->ack == flow->backend_next);
	if (is_handshaking(flow) && dir == FROM_CLIENT)
		return view->seq == flow->client_next;
	return flow_is_near(view->seq, dir == FROM_CLIENT ? flow->client_next : flow->backend_next);
}

// Before there is an answer: the client has a SYN to send and nothing else. What the backend of an
// older connection still says is not an answer.
static bool is_first_plausible(const struct flow *flow, enum flow_dir dir,
			       const struct frame_view *view)
{
	bool is_syn = view->tcp_flags & TCP_FLAG_SYN;
	if (dir == FROM_CLIENT || !(view->tcp_flags & TCP_FLAG_ACK))
		return is_syn;
	return (is_syn || flow->state == FLOW_SYN_SENT_BOTH) && acknowledges_syn(flow, view);
}

// A SYN in a handshake that another SYN has begun. Either may be invented: before there is an
// answer both numbers are kept, and the answer tells; later the last one's is expected next, and
// the end of the handshake tells.
static bool is_other_syn(const struct flow *flow, enum flow_dir dir, const struct frame_view *view)
{
	return is_handshaking(flow) && dir == FROM_CLIENT && (view->tcp_flags & TCP_FLAG_SYN) &&
	       !flow_is_near(view->seq, flow->client_next);
}

// It goes on where the sender was, or it acknowledges what the other side has sent (many segments
// may have been lost before us).
static bool is_near(const struct flow *flow, enum flow_dir dir, const struct frame_view *view)
{
	uint32_t own = dir == FROM_CLIENT ? flow->client_next : flow->backend_next;
	uint32_t other = dir == FROM_CLIENT ? flow->backend_next : flow->client_next;
	bool has_ack = view->tcp_flags & TCP_FLAG_ACK;
	return flow_is_near(view->seq, own) || (has_ack && flow_is_near(view->ack, other));
}

// Could this segment be the endpoint's own? Whoever does not see the connection must guess one of
// the numbers that are near; the endpoints will ignore the segment, and so do we.
static bool is_segment_plausible(const struct flow *flow, enum flow_dir dir,
				 const struct frame_view *view)
{
	if (flow->state == FLOW_SYN_SENT || flow->state == FLOW_SYN_SENT_BOTH)
		return is_first_plausible(flow, dir, view);
	// The backend may have forgotten its first answer (SYN cookies).
	bool is_answer = dir == FROM_BACKEND && (view->tcp_flags & TCP_FLAG_SYN);
	if (flow->state == FLOW_SYN_RECEIVED && is_answer)
		return acknowledges_syn(flow, view);
	return is_near(flow, dir, view);
}

// The end of a handshake acknowledges a number that only the backend and the client know. A client
// whose address is not its own must guess it, and a guess makes no flow live.
static bool ends_handshake(const struct flow *flow, const struct frame_view *view)
{
	return (view->tcp_flags & TCP_FLAG_ACK) &&
	       flow->backend_next - view->ack < HANDSHAKE_WINDOW;
}

static bool is_handshake_guessed(const struct flow *flow, enum flow_dir dir,
				 const struct frame_view *view)
{
	return flow->state == FLOW_SYN_RECEIVED && dir == FROM_CLIENT &&
	       (view->tcp_flags & TCP_FLAG_ACK) && !ends_handshake(flow, view);
}

// A side that was thought to have reset the connection speaks on: the RST was somebody else's.
static bool is_rst_refuted(const struct flow *flow, enum flow_dir dir,
			   const struct frame_view *view)
{
	uint8_t mark = dir == FROM_CLIENT ? FLOW_RESET_BY_CLIENT : FLOW_RESET_BY_BACKEND;
	return flow->state == FLOW_RESET && (flow->marks & mark) &&
	       (!(flow->marks & FLOW_RESET_IN_HANDSHAKE) || ends_handshake(flow, view));
}

// What the sender is expected to send next. A SYN says where to begin, and until there is a
// connection the last one counts; if that was not seen, so does what the handshake ends with.
static void track_numbers(struct flow *flow, enum flow_dir dir, const struct frame_view *view)
{
	uint32_t *next = dir == FROM_CLIENT ? &flow->client_next : &flow->backend_next;
	uint32_t end = view->seq + frame_view_seq_len(view);
	bool begins = is_handshaking(flow) &&
		      ((view->tcp_flags & TCP_FLAG_SYN) || !flow_is_near(end, *next));
	if (begins || flow_is_after(end, *next))
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

// A live flow remembers who reset it, and can be found to be alive after all; so does one whose
// handshake only the client's last word is missing from.
static bool track_rst(struct flow *flow, enum flow_dir dir, const struct frame_view *view,
		      enum flow_state *state)
{
	if (!is_rst_plausible(flow, dir, view))
		return false;
	if (flow->state == FLOW_SYN_RECEIVED && dir == FROM_CLIENT)
		flow->marks |= FLOW_RESET_BY_CLIENT | FLOW_RESET_IN_HANDSHAKE;
	if (flow->class == CLASS_LIVE)
		flow->marks |= dir == FROM_CLIENT ? FLOW_RESET_BY_CLIENT : FLOW_RESET_BY_BACKEND;
	*state = FLOW_RESET;
	return true;
}

// Nearly every segment by far: of a connection that stands, and about nothing but how far it is.
static bool is_ordinary(const struct flow *flow, const struct frame_view *view)
{
	return flow->state == FLOW_ESTABLISHED &&
	       !(view->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST));
}

static bool track_ordinary(struct flow *flow, enum flow_dir dir, const struct frame_view *view)
{
	uint32_t *next = dir == FROM_CLIENT ? &flow->client_next : &flow->backend_next;
	uint32_t end = view->seq + (view->frame_len - view->payload);
	if (!is_near(flow, dir, view))
		return false;
	if (flow_is_after(end, *next))
		*next = end;
	return true;
}

// The state that the segment leads to. False when it says nothing about the connection.
static bool track_tcp(struct flow *flow, enum flow_dir dir, const struct frame_view *view,
		      enum flow_state *state)
{
	if (is_ordinary(flow, view)) {
		*state = FLOW_ESTABLISHED;
		return track_ordinary(flow, dir, view);
	}
	if (view->tcp_flags & TCP_FLAG_RST)
		return track_rst(flow, dir, view, state);
	if (is_other_syn(flow, dir, view)) {
		bool is_answered = flow->state != FLOW_SYN_SENT;
		*(is_answered ? &flow->client_next : &flow->backend_next) =
			view->seq + frame_view_seq_len(view);
		return false;
	}
	if (is_handshake_guessed(flow, dir, view) || !is_segment_plausible(flow, dir, view))
		return false;
	if (is_rst_refuted(flow, dir, view)) {
		if (flow->marks & FLOW_RESET_IN_HANDSHAKE)
			flow->client_next = view->seq;
		flow->marks = 0;
		flow->state = FLOW_ESTABLISHED;
	}
	if (dir == FROM_BACKEND && acknowledges_other_syn(flow, view) &&
	    !acknowledges(view, flow->client_next))
		flow->client_next = flow->backend_next;
	track_numbers(flow, dir, view);
	uint8_t flags = flags_but_old_fin(flow, dir, view->tcp_flags);
	*state = tcp_state_next((enum flow_state)flow->state, dir, flags);
	return true;
}

// An answer does not show that the client is there: its address may be invented, and the backend
// answers that too. That it speaks again does.
static enum flow_state track_udp(const struct flow *flow, enum flow_dir dir)
{
	if (flow->state == FLOW_UDP_UNREPLIED && dir == FROM_BACKEND)
		return FLOW_UDP_REPLIED;
	if (flow->state == FLOW_UDP_REPLIED && dir == FROM_CLIENT)
		return FLOW_UDP;
	return (enum flow_state)flow->state;
}

// Where answers are not seen: a client that speaks on in a later second. Several datagrams at once
// are a question more often than a conversation, and most floods use no address twice.
static enum flow_state track_udp_client(const struct flow_table *table, const struct flow *flow)
{
	uint32_t last = flow->expires - table->params.timeouts[flow->state];
	if (flow->state == FLOW_UDP_UNREPLIED && flow_is_after(table->now, last))
		return FLOW_UDP;
	return (enum flow_state)flow->state;
}

// The state that the packet leads to. False when it says nothing about the flow.
static bool track(const struct flow_table *table, struct flow *flow, enum flow_dir dir,
		  const struct frame_view *view, enum flow_state *state)
{
	if (flow->proto == IPPROTO_TCP)
		return table->params.is_one_sided ? flow_track_tcp_client(flow, view, state)
						  : track_tcp(flow, dir, view, state);
	*state = table->params.is_one_sided ? track_udp_client(table, flow) : track_udp(flow, dir);
	return true;
}

static inline void count_tx(struct traffic_counters *traffic, uint64_t packets, uint64_t bytes)
{
	counter_add(&traffic->packets_tx, packets);
	counter_add(&traffic->bytes_tx, bytes);
}

static inline void count_rx(struct traffic_counters *traffic, uint64_t packets, uint64_t bytes)
{
	counter_add(&traffic->packets_rx, packets);
	counter_add(&traffic->bytes_rx, bytes);
}

static inline void count(struct flow_table *table, enum flow_dir dir, uint16_t frontend,
			 uint16_t backend, uint64_t packets, uint64_t bytes)
{
	if (dir == FROM_CLIENT) {
		count_tx(&table->frontends[frontend], packets, bytes);
		count_tx(&table->backends[backend], packets, bytes);
	} else {
		count_rx(&table->frontends[frontend], packets, bytes);
		count_rx(&table->backends[backend], packets, bytes);
	}
}

static bool is_opening(const struct flow *flow)
{
	return flow->state == FLOW_SYN_SENT || flow->state == FLOW_UDP_UNREPLIED;
}

// The flow leaves a state in which nothing had answered its client. A client that gives up says
// nothing about the backend.
static void count_open(struct flow_table *table, const struct flow *flow, enum flow_dir dir,
		       enum flow_state state)
{
	struct open_counters *opens = &table->opens[flow->backend];
	if (!is_opening(flow) || state == flow->state)
		return;
	if (state != FLOW_RESET)
		counter_add(&opens->answered, 1);
	else if (dir == FROM_BACKEND)
		counter_add(&opens->refused, 1);
}

// Whoever makes such a message up would have to guess the SYN's number (RFC 5927 section 4.1).
void flow_table_unreachable(struct flow_table *table, uint32_t index, const struct frame_view *view)
{
	const struct flow *flow = &table->flows[index];
	bool is_quote_right =
		flow->proto != IPPROTO_TCP || flow_is_near(view->seq, flow->client_next);
	if (is_opening(flow) && is_quote_right)
		counter_add(&table->opens[flow->backend].refused, 1);
}

void flow_table_count(struct flow_table *table, enum flow_dir dir, uint16_t frontend,
		      uint16_t backend, const struct frame_view *view)
{
	count(table, dir, frontend, backend, 1, view->frame_len - view->l3);
}

void flow_table_count_traffic(struct flow_table *table, enum flow_dir dir, uint16_t frontend,
			      uint16_t backend, const struct flow_traffic *traffic)
{
	count(table, dir, frontend, backend, traffic->packets, traffic->bytes);
}

void flow_count_bytes(struct flow *flow, enum flow_dir dir, const struct frame_view *view)
{
	*(dir == FROM_CLIENT ? &flow->bytes_tx : &flow->bytes_rx) += view->frame_len - view->l3;
}

static void catch_up_way(struct flow_table *table, uint32_t index, enum flow_dir dir,
			 const struct flow_traffic *traffic)
{
	struct flow *flow = &table->flows[index];
	if (traffic->packets == 0)
		return;
	*(dir == FROM_CLIENT ? &flow->bytes_tx : &flow->bytes_rx) += traffic->bytes;
	flow_table_count_traffic(table, dir, flow->frontend, flow->backend, traffic);
	if (traffic->is_known)
		flow_table_refresh(table, index);
}

void flow_table_catch_up(struct flow_table *table, uint32_t index,
			 const struct flow_progress *progress)
{
	struct flow *flow = &table->flows[index];
	for (int dir = 0; dir < N_FLOW_DIRS; dir++)
		catch_up_way(table, index, (enum flow_dir)dir, &progress->traffic[dir]);
	if (flow_is_after(progress->client_next, flow->client_next))
		flow->client_next = progress->client_next;
	if (flow_is_after(progress->backend_next, flow->backend_next))
		flow->backend_next = progress->backend_next;
}

bool flow_table_track(struct flow_table *table, uint32_t index, enum flow_dir dir,
		      const struct frame_view *view)
{
	struct flow *flow = &table->flows[index];
	enum flow_state state = FLOW_FREE;
	bool is_plausible = track(table, flow, dir, view, &state);
	if (is_plausible) {
		count_open(table, flow, dir, state);
		flow_table_set_state(table, index, state);
		flow_table_refresh(table, index);
	}
	flow_count_bytes(flow, dir, view);
	flow_table_count(table, dir, flow->frontend, flow->backend, view);
	return is_plausible;
}

void flow_table_orphan(struct flow_table *table, uint32_t index)
{
	struct flow *flow = &table->flows[index];
	flow->marks |= FLOW_IS_ORPHAN;
	flow_table_set_state(table, index, FLOW_RESET);
	flow_table_refresh(table, index);
}
