// SPDX-License-Identifier: Apache-2.0
// ICMP errors about packets that culvert has sent on (RFC 5508): the sender of the quoted packet
// gets them as if the path in between were one. Without this, path-MTU discovery ends here.
//
// An error changes no flow: neither its state nor its timer (RFC 5382 REQ-10, RFC 4787 REQ-12).
#include "culvert/net/checksum.h"
#include "culvert/net/rewrite.h"
#include "packet/forward.h"

static bool is_checksum_right(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	uint64_t sum = csum_add_bytes(0, packet->frame + view->l4, view->frame_len - view->l4);
	return csum_fold(sum) == 0xffff;
}

static uint32_t find_flow(const struct worker *worker, const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	if (packet->from == FROM_BACKEND)
		return flow_table_find_reply(worker->flows, packet->nat_pool,
					     forward_local_port(packet));
	return flow_table_find(worker->flows, &view->dst, packet->frontend, packet->hash);
}

// About a packet to the backend: its sender was the client, its destination the VIP.
static void tell_client(const struct snapshot *snapshot, const struct flow *flow,
			struct packet *packet)
{
	const struct endpoint *vip = &snapshot->frontends[flow->frontend].endpoint;
	struct endpoint client = {flow->client, flow->client_port_be, flow->proto, 0};
	if (!forward_can_leave(packet, &snapshot->links[flow->client_link]))
		return;
	rewrite_icmp_error(packet->frame, &packet->view, &client, vip, &vip->addr, &client.addr);
	forward_finish(packet, snapshot, flow->client_link, &flow->client_mac);
}

// About a packet to the client: its sender was the backend, its destination our NAT port.
static void tell_backend(const struct snapshot *snapshot, const struct flow *flow,
			 struct packet *packet)
{
	const struct snapshot_backend *backend = &snapshot->backends[flow->backend];
	struct endpoint local = {
		snapshot->snats[flow->snat],
		htons(flow->nat_port),
		flow->proto,
		0,
	};
	if (!forward_can_reach(packet, snapshot, backend))
		return;
	rewrite_icmp_error(packet->frame, &packet->view, &backend->endpoint, &local, &local.addr,
			   &backend->endpoint.addr);
	forward_finish(packet, snapshot, backend->hop.link, &backend->hop.mac);
}

// Errors about flows that are not ours may be about the host's own connections: the kernel has
// them too, and they stay its business.
void forward_icmp_error(struct worker *worker, struct packet *packet)
{
	uint32_t index = find_flow(worker, packet);
	if (!index) {
		packet_drop(packet, VERDICT_PASSED);
		return;
	}
	if (!is_checksum_right(packet)) {
		packet_drop(packet, VERDICT_DROP_BAD_ICMP_CHECKSUM);
		return;
	}
	const struct flow *flow = &worker->flows->flows[index];
	if (packet->from == FROM_BACKEND)
		tell_client(worker->snapshot, flow, packet);
	else
		tell_backend(worker->snapshot, flow, packet);
}
