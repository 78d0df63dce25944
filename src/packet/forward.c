// SPDX-License-Identifier: Apache-2.0
#include "packet/forward.h"

#include "culvert/balance/choice.h"
#include "culvert/net/bytes.h"
#include "culvert/net/mss.h"
#include "culvert/net/rewrite.h"

enum { V4_AND_TCP_HEADER_LEN = 40, V6_AND_TCP_HEADER_LEN = 60 };

// ---- flows --------------------------------------------------------------------------------------

// May the backend and port of a connection that is over serve the next one?
static bool is_reusable(const struct worker *worker, uint32_t index, uint32_t seq)
{
	const struct flow *flow = &worker->flows->flows[index];
	const struct snapshot_backend *backend = &worker->snapshot->backends[flow->backend];
	return worker->snapshot->frontends[flow->frontend].state == SLOT_ACTIVE &&
	       snapshot_takes_new(backend) && (backend->snat_mask >> flow->snat & 1) &&
	       flow_table_can_reopen(worker->flows, index, seq);
}

// A flow that has been found can still be of no use: its connection is over and a new one begins
// (by the same backend and port if they can be used), or it waits for a backend that went down.
enum flow_prospect forward_prospect(const struct worker *worker, uint32_t index, uint32_t seq)
{
	const struct flow *flow = &worker->flows->flows[index];
	const struct snapshot_backend *backend = &worker->snapshot->backends[flow->backend];
	// A client that begins anew has given up the old connection's last acknowledgement.
	if (flow->class == CLASS_FINISHED || flow->state == FLOW_LAST_ACK)
		return is_reusable(worker, index, seq) ? FLOW_BEGINS_AGAIN : FLOW_IS_REPLACED;
	bool is_waiting = flow->class == CLASS_HALF_OPEN ||
			  (flow->proto == IPPROTO_UDP && backend->resets_on_down);
	return is_waiting && !backend->is_up ? FLOW_IS_REPLACED : FLOW_GOES_ON;
}

// Returns the flow to go on with, or 0 for a new one.
static uint32_t renew_flow(struct worker *worker, const struct packet *packet, uint32_t index)
{
	uint32_t seq = packet->view.seq;
	if (!forward_opens_connection(&packet->view))
		return index;
	switch (forward_prospect(worker, index, seq)) {
	case FLOW_GOES_ON:
		break;
	case FLOW_BEGINS_AGAIN:
		flow_table_reopen(worker->flows, index, seq);
		break;
	case FLOW_IS_REPLACED:
		flow_table_end(worker->flows, index, FLOW_RENEWED);
		return 0;
	}
	return index;
}

// A handshake whose backend went down: sweep.c resets connections only. A SYN has been taken care
// of by renew_flow(); whoever sends anything else has got an answer and believes in a connection.
static void orphan_if_stranded(struct worker *worker, uint32_t index)
{
	const struct flow *flow = &worker->flows->flows[index];
	const struct snapshot_backend *backend = &worker->snapshot->backends[flow->backend];
	if (flow->class == CLASS_HALF_OPEN && flow->proto == IPPROTO_TCP && !backend->is_up &&
	    backend->resets_on_down)
		flow_table_orphan(worker->flows, index);
}

uint32_t forward_find_flow(struct worker *worker, const struct packet *packet)
{
	uint32_t index =
		flow_table_find(worker->flows, &packet->view.src, packet->frontend, packet->hash);
	if (index)
		index = renew_flow(worker, packet, index);
	if (index)
		orphan_if_stranded(worker, index);
	return index;
}

// ---- the choice of a backend --------------------------------------------------------------------

int32_t forward_pick_by_hash(const struct worker *worker, uint16_t frontend,
			     const struct endpoint *client, const struct endpoint *vip)
{
	const struct snapshot *snapshot = worker->snapshot;
	const struct snapshot_frontend *f = &snapshot->frontends[frontend];
	const struct maglev *table = snapshot->pools[f->pool].table;
	if (!forward_is_by_hash(worker, frontend) || table->size == 0)
		return SCHEDULER_NO_BACKEND;
	return maglev_lookup(table, choice_hash(f->hash, client, vip));
}

// More than any backend has flows: one that cannot be reached comes after all that can. Its flows
// would be refused, so that it would stay the one with the fewest.
static const uint64_t unreachable_load = UINT64_C(1) << 32;

static uint64_t load_of(const void *arg, uint32_t backend)
{
	const struct worker *worker = arg;
	if (worker->snapshot->backends[backend].hop.state != HOP_READY)
		return unreachable_load;
	return counter_read(&worker->flows->backends[backend].flows_current);
}

int32_t forward_pick_backend(struct worker *worker, const struct packet *packet)
{
	const struct snapshot_frontend *frontend = &worker->snapshot->frontends[packet->frontend];
	struct scheduler_pick pick = {
		.snapshot = worker->snapshot,
		.pool = frontend->pool,
		.hash = choice_hash(frontend->hash, &packet->view.src, &packet->view.dst),
		.load = load_of,
		.load_arg = worker,
	};
	struct scheduler *scheduler =
		generation_scheduler(worker->snapshot, worker->number, packet->frontend);
	return scheduler_pick(scheduler, &pick);
}

// ---- answers ------------------------------------------------------------------------------------

static bool has_answer_left(struct worker *worker, uint32_t left)
{
	if (left == 0)
		counter_add(&worker->suppressed, 1);
	return left != 0;
}

void forward_refuse(struct worker *worker, struct packet *packet, enum verdict verdict)
{
	const struct mac_addr *mac = &worker->snapshot->links[packet->rx_link].mac;
	packet_drop(packet, verdict);
	sample_before_answer(&worker->tap, packet);
	if (answer_may_be_due(packet) && has_answer_left(worker, worker->answers_left) &&
	    answer_refuse(&worker->templates, packet, mac))
		worker->answers_left--;
}

// Clients see the address of the link where they come in, as with any router (RFC 1812 section
// 4.3.2.4): the VIP is the end of the way and not a hop on it, but better than nothing. Backends
// know this host by the address that they answer to.
static struct ip_addr router_address(const struct worker *worker, const struct packet *packet)
{
	const struct snapshot_link *link = &worker->snapshot->links[packet->rx_link];
	const struct ip_addr *own = packet->view.is_v6 ? &link->own_v6 : &link->own_v4;
	if (packet->from == FROM_BACKEND || ip_addr_is_unspecified(own))
		return packet->view.dst.addr;
	return *own;
}

// `mtu` is 0 when it is not about length. Unlike a refusal this may be about a RST.
static void refuse_as_router(struct worker *worker, struct packet *packet, enum verdict verdict,
			     uint32_t mtu)
{
	uint32_t *left = mtu ? &worker->lengths_left : &worker->answers_left;
	packet_drop(packet, verdict);
	sample_before_answer(&worker->tap, packet);
	if (packet->view.is_icmp_error || packet_is_later_fragment(packet) ||
	    !has_answer_left(worker, *left))
		return;
	struct router_error error = {
		.kind = mtu ? ROUTER_TOO_BIG : ROUTER_EXPIRED,
		.mtu = mtu,
		.router = router_address(worker, packet),
		.link_mac = worker->snapshot->links[packet->rx_link].mac,
	};
	if (answer_as_router(&worker->templates, packet, &error))
		(*left)--;
}

// ---- the way out --------------------------------------------------------------------------------

static bool may_be_cut(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	uint16_t field = load_be16(packet->frame + view->l3 + IP_FRAGMENT_OFFSET);
	return !view->is_v6 && !(field & IP_DONT_FRAGMENT) &&
	       (packet_gso_type(packet) != PACKET_GSO_UDP_L4 || forward_is_of_datagrams(packet));
}

void forward_drop_without_hop(struct packet *packet, const struct snapshot_backend *backend)
{
	bool is_unresolved = backend->hop.state == HOP_UNRESOLVED;
	packet_drop(packet,
		    is_unresolved ? VERDICT_DROP_NEIGHBOUR_UNRESOLVED : VERDICT_DROP_NO_ROUTE);
}

// A super-frame of segments becomes one of shorter segments.
static void shorten_segments(struct packet *packet, uint32_t room)
{
	const struct frame_view *view = &packet->view;
	uint32_t headers = (uint32_t)view->payload - view->l3;
	if (packet_gso_type(packet) == VIRTIO_NET_HDR_GSO_TCPV4 && view->src.proto == IPPROTO_TCP &&
	    room > headers)
		packet->vnet.gso_size = (uint16_t)(room - headers);
}

bool forward_can_leave_changed(struct worker *worker, struct packet *packet, uint32_t room)
{
	bool is_too_big = forward_wire_len(packet) > room;
	if (packet->view.ttl <= 1) {
		refuse_as_router(worker, packet, VERDICT_DROP_TTL_EXPIRED, 0);
		return false;
	}
	if (is_too_big && !may_be_cut(packet)) {
		refuse_as_router(worker, packet, VERDICT_DROP_TOO_BIG, room);
		return false;
	}
	if (is_too_big)
		shorten_segments(packet, room);
	return true;
}

static uint32_t n_segments(const struct packet *packet)
{
	uint32_t len = packet->view.frame_len - packet->view.payload;
	uint32_t size = packet->vnet.gso_size;
	bool is_whole = packet->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE || size == 0;
	return is_whole || len == 0 ? 1 : (len - 1) / size + 1;
}

void forward_give_id(struct worker *worker, struct packet *packet, const struct ip_addr *src,
		     const struct ip_addr *dst)
{
	uint32_t id = packet->view.is_v6
			      ? ip_ids_take_v6(&worker->ids, src, dst)
			      : ip_ids_take_v4(&worker->ids, src, dst, n_segments(packet));
	rewrite_id(packet->frame, &packet->view, id);
}

void forward_clamp_mss(struct packet *packet, int setting, uint32_t room)
{
	const struct frame_view *view = &packet->view;
	if (!forward_is_syn(view) || view->is_icmp_error || setting == MSS_CLAMP_OFF)
		return;
	int headers = view->is_v6 ? V6_AND_TCP_HEADER_LEN : V4_AND_TCP_HEADER_LEN;
	int max = setting == MSS_CLAMP_AUTO ? (int)room - headers : setting;
	if (max > 0 && max <= UINT16_MAX)
		mss_clamp(packet->frame, view, (uint16_t)max, packet_is_partial(packet));
}
