// SPDX-License-Identifier: Apache-2.0
#include "packet/forward.h"

// What the largest packet on the wire will measure: a super-frame is cut into segments first.
static uint32_t wire_len(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	uint32_t headers = (uint32_t)view->payload - view->l3;
	if (packet->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return view->frame_len - view->l3;
	return headers + packet->vnet.gso_size;
}

bool forward_can_leave(struct packet *packet, const struct snapshot_link *link)
{
	if (packet->view.ttl <= 1)
		packet_drop(packet, VERDICT_DROP_TTL_EXPIRED);
	else if (wire_len(packet) > link->mtu)
		packet_drop(packet, VERDICT_DROP_TOO_BIG);
	else
		return true;
	return false;
}

bool forward_can_reach(struct packet *packet, const struct snapshot *snapshot,
		       const struct snapshot_backend *backend)
{
	switch (backend->hop.state) {
	case HOP_READY:
		return forward_can_leave(packet, &snapshot->links[backend->hop.link]);
	case HOP_UNRESOLVED:
		packet_drop(packet, VERDICT_DROP_NEIGHBOUR_UNRESOLVED);
		return false;
	case HOP_NO_ROUTE:
		break;
	}
	packet_drop(packet, VERDICT_DROP_NO_ROUTE);
	return false;
}

void forward_finish(struct packet *packet, const struct snapshot *snapshot, uint32_t link,
		    const struct mac_addr *next_hop)
{
	const struct mac_addr *own = &snapshot->links[link].mac;
	memcpy(packet->frame, next_hop->bytes, sizeof(next_hop->bytes));
	memcpy(packet->frame + sizeof(next_hop->bytes), own->bytes, sizeof(own->bytes));
	packet->len = packet->view.frame_len;
	packet->tx_link = (uint8_t)link;
	packet->verdict = VERDICT_FORWARDED;
	packet->is_to_send = true;
}

void forward_refuse(struct worker *worker, struct packet *packet, enum verdict verdict)
{
	const struct mac_addr *mac = &worker->snapshot->links[packet->rx_link].mac;
	packet_drop(packet, verdict);
	if (!answer_may_be_due(packet))
		return;
	if (worker->answers_left == 0) {
		counter_add(&worker->suppressed, 1);
		return;
	}
	if (answer_refuse(&worker->templates, packet, mac))
		worker->answers_left--;
}
