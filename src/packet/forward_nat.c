// SPDX-License-Identifier: Apache-2.0
// Passthrough. client → VIP becomes our address and a NAT port → backend, and back.
//
// A flow is made by a SYN or a first datagram and by nothing else, before its packet leaves, so
// the fastest answer finds it. It stays with its backend until it ends.
#include "culvert/net/rewrite.h"
#include "culvert/net/tcp_option.h"
#include "packet/forward.h"

static struct endpoint snat_endpoint(const struct snapshot *snapshot, const struct flow *flow)
{
	return (struct endpoint){
		.addr = snapshot->snats[flow->snat],
		.port_be = htons(flow->nat_port),
		.proto = flow->proto,
	};
}

// What each side announces is the limit of the other's segments, which go through both links.
static void clamp_mss(const struct worker *worker, struct packet *packet, uint32_t link)
{
	if (!forward_is_syn(&packet->view))
		return;
	uint32_t in = worker->snapshot->links[packet->rx_link].mtu;
	uint32_t out = worker->snapshot->links[link].mtu;
	forward_clamp_mss(packet, worker->config->passthrough.mss_clamp, in < out ? in : out);
}

// ---- the client's half -------------------------------------------------------------------------

static enum verdict verdict_of_refusal(enum flow_refusal refusal)
{
	return refusal == FLOW_NO_NAT_PORT ? VERDICT_DROP_NO_NAT_PORT
					   : VERDICT_DROP_FLOW_TABLE_FULL;
}

// Returns the new flow, or 0 with the packet dropped under its reason.
static uint32_t open_flow(struct worker *worker, struct packet *packet)
{
	const struct snapshot *snapshot = worker->snapshot;
	const struct frame_view *view = &packet->view;
	int32_t id = forward_pick_backend(worker, packet);
	if (id == SCHEDULER_NO_BACKEND) {
		forward_refuse(worker, packet, VERDICT_DROP_NO_BACKEND);
		return 0;
	}

	const struct snapshot_backend *backend = &snapshot->backends[id];
	if (!forward_can_reach(worker, packet, backend))
		return 0;
	struct flow_request request = {
		.client = view->src.addr,
		.client_port_be = view->src.port_be,
		.frontend = packet->frontend,
		.backend = (uint16_t)id,
		.proto = view->src.proto,
		.hash = packet->hash,
		.seq = view->seq,
		.first_pool = snapshot_nat_pool(snapshot, backend->endpoint_id, 0),
		.snat_mask = backend->snat_mask,
	};
	uint32_t index = 0;
	enum flow_refusal refusal = flow_table_open(worker->flows, &request, &index);
	if (refusal != FLOW_MADE) {
		forward_refuse(worker, packet, verdict_of_refusal(refusal));
		return 0;
	}
	struct flow *flow = &worker->flows->flows[index];
	struct endpoint local = snat_endpoint(snapshot, flow);
	forward_remember_path(flow, packet);
	flow->deltas = rewrite_deltas(&view->src, &view->dst, &local, &backend->endpoint);
	return index;
}

// A backend in TIME_WAIT takes a SYN by its sequence number, unless its timestamp is older than the
// last connection's (RFC 7323 section 5.3), and every client has a clock of its own.
static void hide_timestamps(const struct flow *flow, struct packet *packet)
{
	if ((flow->marks & FLOW_HIDES_TIMESTAMPS) && forward_is_syn(&packet->view))
		tcp_option_hide_timestamps(packet->frame, &packet->view, packet_is_partial(packet));
}

static void send_to_backend(struct worker *worker, struct packet *packet, uint32_t index)
{
	const struct snapshot *snapshot = worker->snapshot;
	struct flow *flow = &worker->flows->flows[index];
	const struct snapshot_backend *backend = &snapshot->backends[flow->backend];
	if (!forward_can_reach(worker, packet, backend))
		return;
	struct endpoint local = snat_endpoint(snapshot, flow);
	struct rewrite rewrite = {
		.src = &local,
		.dst = &backend->endpoint,
		.deltas = flow->deltas,
	};
	forward_catch_up(worker, index);
	// Only who knows the connection may say which way its answers go.
	if (flow_table_track(worker->flows, index, FROM_CLIENT, &packet->view))
		forward_remember_path(flow, packet);
	clamp_mss(worker, packet, backend->hop.link);
	hide_timestamps(flow, packet);
	rewrite_packet(packet->frame, &packet->view, &rewrite, packet_is_partial(packet));
	forward_renew_id(worker, packet, &local.addr, &backend->endpoint.addr);
	forward_settle(worker, index);
	packet->backend = flow->backend;
	forward_finish(worker, packet, backend->hop.link, &backend->hop.mac);
}

static void from_client(struct worker *worker, struct packet *packet)
{
	uint32_t index = forward_find_flow(worker, packet);
	if (index && (worker->flows->flows[index].marks & FLOW_IS_ORPHAN)) {
		forward_refuse(worker, packet, VERDICT_DROP_BACKEND_DOWN);
		return;
	}
	if (!index) {
		if (!forward_opens_connection(&packet->view)) {
			forward_refuse(worker, packet, VERDICT_DROP_NO_FLOW);
			return;
		}
		index = open_flow(worker, packet);
	}
	if (index)
		send_to_backend(worker, packet, index);
}

// ---- the backend's half ------------------------------------------------------------------------

static void send_to_client(struct worker *worker, struct packet *packet, uint32_t index)
{
	const struct snapshot *snapshot = worker->snapshot;
	struct flow *flow = &worker->flows->flows[index];
	if (!forward_can_leave(worker, packet, snapshot->links[flow->client_link].mtu))
		return;
	struct endpoint client = {flow->client, flow->client_port_be, flow->proto, 0};
	struct rewrite rewrite = {
		.src = &snapshot->frontends[flow->frontend].endpoint,
		.dst = &client,
		.deltas = csum_negate_both(flow->deltas),
	};
	clamp_mss(worker, packet, flow->client_link);
	rewrite_packet(packet->frame, &packet->view, &rewrite, packet_is_partial(packet));
	forward_renew_id(worker, packet, &rewrite.src->addr, &client.addr);
	packet->frontend = flow->frontend;
	packet->backend = flow->backend;
	forward_catch_up(worker, index);
	flow_table_track(worker->flows, index, FROM_BACKEND, &packet->view);
	forward_settle(worker, index);
	forward_finish(worker, packet, flow->client_link, &flow->client_mac);
}

// The NAT port names the flow; that the packet came from this flow's backend to this flow's
// address is settled by the pool it was looked up in.
static void from_backend(struct worker *worker, struct packet *packet)
{
	uint32_t index =
		flow_table_find_reply(worker->flows, packet->nat_pool, forward_local_port(packet));
	if (!index)
		forward_refuse(worker, packet, VERDICT_DROP_NO_FLOW);
	else if (worker->flows->flows[index].marks & FLOW_IS_ORPHAN)
		forward_refuse(worker, packet, VERDICT_DROP_BACKEND_DOWN);
	else
		send_to_client(worker, packet, index);
}

void forward_nat(struct worker *worker, struct packet *packet)
{
	if (packet->from == FROM_CLIENT)
		from_client(worker, packet);
	else
		from_backend(worker, packet);
}
