// SPDX-License-Identifier: Apache-2.0
// ICMP errors about packets that culvert has sent on (RFC 5508): the sender of the quoted packet
// gets them as if the path in between were one. Without this, path-MTU discovery ends here.
//
// An error changes no flow: neither its state nor its timer (RFC 5382 REQ-10, RFC 4787 REQ-12).
#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"
#include "culvert/net/ipip.h"
#include "culvert/net/rewrite.h"
#include "packet/forward.h"

enum { IP_MTU_MIN = 68 }; // RFC 791 section 3.2: every link carries that much

static bool is_checksum_right(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	uint32_t len = view->frame_len - view->l4;
	uint64_t sum = 0;
	if (view->is_v6)
		sum = frame_pseudo_sum(packet->frame, view, IPPROTO_ICMPV6, len);
	return csum_fold(csum_add_bytes(sum, packet->frame + view->l4, len)) == 0xffff;
}

// Of the quoted IPv4 header (RFC 5508 REQ-3). What follows it is not looked at: rarely is it whole.
static bool is_quote_right(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	uint32_t len = (uint32_t)view->quoted_l4 - view->quoted_l3;
	const uint8_t *ip = packet->frame + view->quoted_l3;
	return view->is_v6 || csum_fold(csum_add_bytes(0, ip, len)) == 0xffff;
}

// False with the error dropped under the reason.
static bool has_right_checksums(struct packet *packet)
{
	if (!is_checksum_right(packet))
		packet_drop(packet, VERDICT_DROP_BAD_ICMP_CHECKSUM);
	else if (!is_quote_right(packet))
		packet_drop(packet, VERDICT_DROP_BAD_IP_CHECKSUM);
	else
		return true;
	return false;
}

static uint32_t find_flow(const struct worker *worker, const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	if (packet->from == FROM_BACKEND)
		return flow_table_find_reply(worker->flows, packet->nat_pool,
					     forward_local_port(packet));
	const struct endpoint *client = view->is_tunnel_error ? &view->src : &view->dst;
	return flow_table_find(worker->flows, client, packet->frontend, packet->hash);
}

// About a packet to the backend: its sender was the client, its destination the VIP.
static void tell_client(struct worker *worker, const struct flow *flow, struct packet *packet)
{
	const struct snapshot *snapshot = worker->snapshot;
	const struct endpoint *vip = &snapshot->frontends[flow->frontend].endpoint;
	struct endpoint client = {flow->client, flow->client_port_be, flow->proto, 0};
	if (!forward_can_leave(worker, packet, snapshot->links[flow->client_link].mtu))
		return;
	rewrite_icmp_error(packet->frame, &packet->view, &client, vip, &vip->addr, &client.addr);
	forward_renew_id(worker, packet, &vip->addr, &client.addr);
	forward_finish(worker, packet, flow->client_link, &flow->client_mac);
}

static void tell_client_of_backend(struct worker *worker, struct packet *packet, uint32_t index)
{
	if (packet->view.is_unreachable)
		flow_table_unreachable(worker->flows, index, &packet->view);
	tell_client(worker, &worker->flows->flows[index], packet);
}

// About a packet to the client: its sender was the backend, its destination our NAT port.
static void tell_backend(struct worker *worker, const struct flow *flow, struct packet *packet)
{
	const struct snapshot *snapshot = worker->snapshot;
	const struct snapshot_backend *backend = &snapshot->backends[flow->backend];
	struct endpoint local = {
		snapshot->snats[flow->snat],
		htons(flow->nat_port),
		flow->proto,
		0,
	};
	if (!forward_can_reach(worker, packet, backend))
		return;
	rewrite_icmp_error(packet->frame, &packet->view, &backend->endpoint, &local, &local.addr,
			   &backend->endpoint.addr);
	forward_renew_id(worker, packet, &local.addr, &backend->endpoint.addr);
	forward_finish(worker, packet, backend->hop.link, &backend->hop.mac);
}

// The backend that a flow or, in DSR mode, the hash names for what the client sends. Or
// SCHEDULER_NO_BACKEND.
static int32_t find_backend(const struct worker *worker, const struct packet *packet,
			    uint32_t index)
{
	const struct frame_view *view = &packet->view;
	if (index)
		return worker->flows->flows[index].backend;
	if (worker->config->mode != MODE_DSR)
		return SCHEDULER_NO_BACKEND;
	return forward_pick_by_hash(worker, packet->frontend, &view->dst, &view->src);
}

// Who tells the backend: the error's own sender, but for a neighbour that has spoken from an
// address of the link alone, which goes no further (RFC 4007 section 9). For that one we speak, as
// for our own errors. False: we have no address to do so.
static bool find_teller(const struct worker *worker, const struct packet *packet,
			struct ip_addr *teller)
{
	*teller = frame_outer_src(packet->frame, &packet->view);
	if (packet->view.is_v6 && ip_addr_is_link_local(teller))
		*teller = worker->snapshot->links[packet->rx_link].own_v6;
	return !ip_addr_is_unspecified(teller);
}

// DSR, about a packet to the client: the backend sent it, with the VIP for its source.
static void tell_backend_directly(struct worker *worker, struct packet *packet, int32_t id)
{
	const struct snapshot *snapshot = worker->snapshot;
	const struct snapshot_backend *backend = &snapshot->backends[id];
	const struct frame_view *view = &packet->view;
	bool is_translated = worker->config->dsr.method == DSR_NAT;
	const struct endpoint *server = is_translated ? &backend->endpoint : &view->src;
	struct ip_addr sender = frame_outer_src(packet->frame, view);
	struct ip_addr teller;
	if (!find_teller(worker, packet, &teller)) {
		packet_drop(packet, VERDICT_DROP_BAD_SOURCE);
		return;
	}
	if (!forward_can_reach(worker, packet, backend))
		return;
	if (!is_translated && ip_addr_equal(&teller, &sender)) {
		forward_dsr_unchanged(worker, packet, backend);
		return;
	}
	rewrite_icmp_error(packet->frame, view, server, &view->dst, &teller, &server->addr);
	forward_finish(worker, packet, backend->hop.link, &backend->hop.mac);
}

// About a packet in a tunnel to the flow's backend: nobody unpacks it there. The kernel has the
// error too, and sees to it; here it is taken for a sign only.
static void note_dead_tunnel(struct worker *worker, const struct packet *packet, uint32_t index)
{
	const struct flow *flow = &worker->flows->flows[index];
	const struct endpoint *end = &worker->snapshot->backends[flow->backend].endpoint;
	if (index && packet->view.is_unreachable &&
	    ip_addr_equal(&end->addr, &packet->view.tunnel_end) && is_checksum_right(packet) &&
	    is_quote_right(packet))
		flow_table_unreachable(worker->flows, index, &packet->view);
}

// About a packet in a tunnel to a backend, that was too big somewhere on the way (RFC 2003 section
// 4.1): the client must send smaller ones. Other errors from in there are the kernel's to see.
static void tell_tunnels_client(struct worker *worker, struct packet *packet, uint32_t index)
{
	const struct snapshot *snapshot = worker->snapshot;
	const struct frame_view *view = &packet->view;
	const struct flow *flow = &worker->flows->flows[index];
	bool is_tunnelling =
		worker->config->mode == MODE_DSR && worker->config->dsr.method == DSR_IPIP;
	if (!index || !is_tunnelling || view->icmp_mtu < IP_MTU_MIN + IPIP_HEADER_LEN ||
	    !ip_addr_equal(&snapshot->backends[flow->backend].endpoint.addr, &view->tunnel_end)) {
		packet_drop(packet, VERDICT_PASSED);
		return;
	}
	if (!has_right_checksums(packet))
		return;
	answer_tunnel_too_big(&worker->templates, packet, view->icmp_mtu - IPIP_HEADER_LEN);
	packet->view.frame_len = packet->len;
	forward_finish(worker, packet, flow->client_link, &flow->client_mac);
}

// Errors about flows that are not ours may be about the host's own connections: the kernel has
// them too, and they stay its business.
void forward_icmp_error(struct worker *worker, struct packet *packet)
{
	uint32_t index = find_flow(worker, packet);
	if (packet->view.is_tunnel_error) {
		note_dead_tunnel(worker, packet, index);
		tell_tunnels_client(worker, packet, index);
		return;
	}
	int32_t backend = find_backend(worker, packet, index);
	if (backend == SCHEDULER_NO_BACKEND) {
		packet_drop(packet, VERDICT_PASSED);
		return;
	}
	if (!has_right_checksums(packet))
		return;
	if (worker->config->mode == MODE_DSR)
		tell_backend_directly(worker, packet, backend);
	else if (packet->from == FROM_BACKEND)
		tell_client_of_backend(worker, packet, index);
	else
		tell_backend(worker, &worker->flows->flows[index], packet);
}
