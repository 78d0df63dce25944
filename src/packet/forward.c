// SPDX-License-Identifier: Apache-2.0
#include "packet/forward.h"

void forward_set_macs(struct packet *packet, const struct mac_addr *src, const struct mac_addr *dst)
{
	memcpy(packet->frame, dst->bytes, sizeof(dst->bytes));
	memcpy(packet->frame + 6, src->bytes, sizeof(src->bytes));
}

// What the largest packet on the wire will measure: a super-frame is cut into segments first.
static uint32_t wire_len(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	uint32_t headers = (uint32_t)view->payload - view->l3;
	if (packet->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return view->frame_len - view->l3;
	return headers + packet->vnet.gso_size;
}

enum verdict forward_check(const struct packet *packet, const struct snapshot_link *link)
{
	if (packet->view.ttl <= 1)
		return VERDICT_DROP_TTL_EXPIRED;
	return wire_len(packet) > link->mtu ? VERDICT_DROP_TOO_BIG : VERDICT_NONE;
}

enum verdict forward_check_hop(const struct snapshot_hop *hop)
{
	switch (hop->state) {
	case HOP_READY:
		return VERDICT_NONE;
	case HOP_UNRESOLVED:
		return VERDICT_DROP_NEIGHBOUR_UNRESOLVED;
	case HOP_NO_ROUTE:
		break;
	}
	return VERDICT_DROP_NO_ROUTE;
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
