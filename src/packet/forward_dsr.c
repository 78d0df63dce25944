// SPDX-License-Identifier: Apache-2.0
// DSR. What a client sends to a VIP goes on to a backend; the backend answers the client itself, so
// nothing ever comes back this way.
//
// The hash alone names the backend, so a packet without a flow goes where its connection has always
// gone: after a restart, or when the flow table is full. A flow keeps a connection where it is
// while backends come and go.
#include "culvert/net/rewrite.h"
#include "packet/forward.h"

// Where a packet goes, and the flow that says so, or 0.
struct target {
	uint32_t flow;
	uint16_t backend;
};

// ---- the way there -----------------------------------------------------------------------------

// A gateway takes one from the time to live (RFC 1812 section 5.3.1), and here more than custom
// depends on it: a backend that forwards packets and does not hold the VIP sends them back to us.
void forward_dsr_unchanged(struct worker *worker, struct packet *packet,
			   const struct snapshot_backend *backend)
{
	if (worker->config->dsr.method == DSR_IPIP) {
		forward_ipip(worker, packet, backend);
		return;
	}
	rewrite_ttl(packet->frame, &packet->view);
	forward_finish(worker, packet, backend->hop.link, &backend->hop.mac);
}

// ---- which backend -----------------------------------------------------------------------------

// Returns the new flow, or 0 when there is no room for one.
static uint32_t open_flow(struct worker *worker, const struct packet *packet, uint16_t id)
{
	const struct snapshot_backend *backend = &worker->snapshot->backends[id];
	const struct frame_view *view = &packet->view;
	bool is_picked_up = !forward_opens_connection(view);
	struct flow_request request = {
		.client = view->src.addr,
		.client_port_be = view->src.port_be,
		.frontend = packet->frontend,
		.backend = id,
		.proto = view->src.proto,
		.hash = packet->hash,
		.seq = is_picked_up ? view->seq + frame_view_seq_len(view) : view->seq,
		.ack = view->ack,
		.is_picked_up = is_picked_up,
		.first_pool = snapshot_nat_pool(worker->snapshot, backend->endpoint_id, 0),
		.snat_mask = backend->snat_mask,
	};
	uint32_t index = 0;
	if (flow_table_open(worker->flows, &request, &index) != FLOW_MADE)
		return 0;
	struct flow *flow = &worker->flows->flows[index];
	forward_remember_path(flow, packet);
	flow->deltas = rewrite_deltas(&view->src, &view->dst, &view->src, &backend->endpoint);
	return index;
}

// Until every backend of a pool has been checked, the hash may name one that takes over from
// another only for want of knowing it; and for a frontend that is new to the pool all are checked
// once more. What is in mid-connection waits: its sender will try again.
static bool is_too_early(const struct worker *worker, const struct packet *packet)
{
	const struct snapshot *snapshot = worker->snapshot;
	const struct snapshot_frontend *frontend = &snapshot->frontends[packet->frontend];
	return snapshot->pools[frontend->pool].n_unknown != 0 || frontend->gate == GATE_AWAITED;
}

// Whether a packet without a flow is worth one. A connection that ends needs none; a datagram does
// not tell whether it is the first, so that too early a flow could hold it to a wrong backend.
static bool is_worth_a_flow(const struct worker *worker, const struct packet *packet, bool has_hash)
{
	const struct frame_view *view = &packet->view;
	if (view->src.proto == IPPROTO_UDP)
		return !has_hash || !is_too_early(worker, packet);
	return !(view->tcp_flags & (TCP_FLAG_FIN | TCP_FLAG_RST));
}

// Drop what belongs to no flow and cannot be given one. In mid-connection nobody is told that there
// is no backend: the one that knows the connection may be up again soon.
static void drop_unplaced(struct worker *worker, struct packet *packet, bool is_new)
{
	if (is_new && !is_too_early(worker, packet))
		forward_refuse(worker, packet, VERDICT_DROP_NO_BACKEND);
	else
		packet_drop(packet, VERDICT_DROP_NO_BACKEND);
}

// A backend that calls the VIP and is chosen itself: it would get packets from its own address,
// which no host takes from outside, and could not answer them past us.
static bool is_its_own_client(const struct packet *packet, const struct snapshot_backend *backend)
{
	return ip_addr_equal(&packet->view.src.addr, &backend->endpoint.addr);
}

// False with the packet dropped under its reason.
static bool place(struct worker *worker, struct packet *packet, struct target *target)
{
	const struct frame_view *view = &packet->view;
	bool is_new = forward_opens_connection(view);
	bool has_hash = forward_is_by_hash(worker, packet->frontend);
	// A SYN that is an answer is to nobody here, and other schedulers forget whom they chose.
	if (!is_new && (!has_hash || (view->tcp_flags & TCP_FLAG_SYN))) {
		forward_refuse(worker, packet, VERDICT_DROP_NO_FLOW);
		return false;
	}
	if (!is_new && is_too_early(worker, packet)) {
		packet_drop(packet, VERDICT_DROP_NO_FLOW);
		return false;
	}
	int32_t id = forward_pick_backend(worker, packet);
	if (id == SCHEDULER_NO_BACKEND) {
		drop_unplaced(worker, packet, is_new);
		return false;
	}
	if (is_its_own_client(packet, &worker->snapshot->backends[id])) {
		forward_refuse(worker, packet, VERDICT_DROP_BAD_SOURCE);
		return false;
	}
	if (!forward_can_reach(worker, packet, &worker->snapshot->backends[id]))
		return false;
	target->backend = (uint16_t)id;
	if (is_worth_a_flow(worker, packet, has_hash))
		target->flow = open_flow(worker, packet, target->backend);
	if (target->flow || has_hash)
		return true;
	forward_refuse(worker, packet, VERDICT_DROP_FLOW_TABLE_FULL);
	return false;
}

static bool find_target(struct worker *worker, struct packet *packet, struct target *target)
{
	uint32_t index = forward_find_flow(worker, packet);
	if (!index)
		return place(worker, packet, target);
	const struct flow *flow = &worker->flows->flows[index];
	if (flow->marks & FLOW_IS_ORPHAN) {
		forward_refuse(worker, packet, VERDICT_DROP_BACKEND_DOWN);
		return false;
	}
	*target = (struct target){.flow = index, .backend = flow->backend};
	return forward_can_reach(worker, packet, &worker->snapshot->backends[flow->backend]);
}

// ---- sending -----------------------------------------------------------------------------------

static void track(struct worker *worker, const struct packet *packet, uint32_t index)
{
	forward_catch_up(worker, index);
	if (flow_table_track(worker->flows, index, FROM_CLIENT, &packet->view))
		forward_remember_path(&worker->flows->flows[index], packet);
	forward_settle(worker, index);
}

static void count(struct worker *worker, const struct packet *packet, const struct target *target)
{
	if (!target->flow)
		flow_table_count(worker->flows, FROM_CLIENT, packet->frontend, target->backend,
				 &packet->view);
	else
		track(worker, packet, target->flow);
}

// The destination becomes the backend's, the source stays the client's.
static void translate(struct worker *worker, struct packet *packet, const struct target *target)
{
	const struct frame_view *view = &packet->view;
	const struct snapshot_hop *hop = &worker->snapshot->backends[target->backend].hop;
	const struct endpoint *backend = &worker->snapshot->backends[target->backend].endpoint;
	struct rewrite rewrite = {.src = &view->src, .dst = backend};
	rewrite.deltas = target->flow ? worker->flows->flows[target->flow].deltas
				      : rewrite_deltas(&view->src, &view->dst, &view->src, backend);
	rewrite_packet(packet->frame, view, &rewrite, packet_is_partial(packet));
	forward_finish(worker, packet, hop->link, &hop->mac);
}

void forward_dsr(struct worker *worker, struct packet *packet)
{
	struct target target = {0};
	if (!find_target(worker, packet, &target))
		return;
	packet->backend = target.backend;
	count(worker, packet, &target);
	if (worker->config->dsr.method == DSR_NAT)
		translate(worker, packet, &target);
	else
		forward_dsr_unchanged(worker, packet, &worker->snapshot->backends[target.backend]);
}
