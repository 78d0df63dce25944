// SPDX-License-Identifier: Apache-2.0
// The last step of a packet that stays one packet, or becomes several because the next link carries
// no more and its sender has not forbidden it (RFC 791 section 2.3, RFC 4787 REQ-13).
#include "packet/forward.h"

void forward_complete_checksum(struct packet *packet)
{
	const struct virtio_net_hdr *vnet = &packet->vnet;
	if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		(void)cut_complete_checksum(packet->frame, packet->view.frame_len, vnet->csum_start,
					    vnet->csum_offset);
}

bool forward_begin_train(struct worker *worker, struct packet *packet, const struct cut *cut,
			 uint32_t wrap_len)
{
	if (cut->n * (wrap_len + cut->header_len) > PACKET_FRAME_MAX) {
		packet_drop(packet, VERDICT_DROP_TOO_BIG);
		return false;
	}
	if (worker->n_spares == 0) {
		packet_drop(packet, VERDICT_DROP_NO_BUFFER);
		return false;
	}
	packet->vnet = (struct virtio_net_hdr){0};
	packet->train = (struct packet_train){
		.headers = worker->spares[--worker->n_spares],
		.wrap_len = (uint16_t)wrap_len,
		.cut = *cut,
	};
	return true;
}

// ---- too long -----------------------------------------------------------------------------------

bool forward_plan_fragments(struct cut *cut, const struct packet *packet, uint32_t room)
{
	const struct frame_view *view = &packet->view;
	uint32_t ip_header = (uint32_t)view->l4 - view->l3;
	if (room <= ip_header)
		return false;
	if (forward_is_of_datagrams(packet))
		return cut_plan_datagrams(cut, view, packet->vnet.gso_size, room - ip_header);
	return cut_plan(cut, CUT_FRAGMENTS, view, room - ip_header);
}

static void write_headers(const struct packet *packet, const struct cut *cut)
{
	for (uint32_t i = 0; i < cut->n; i++) {
		uint8_t *header = packet_frame_at(packet, i).header;
		memcpy(header, packet->frame, ETH_HEADER_LEN);
		cut_write_headers(cut, packet->frame, &packet->view, i, header + ETH_HEADER_LEN);
	}
}

// Never a part of its caller: nearly every packet goes by it, and would pay for its locals.
__attribute__((noinline)) static void send_fragments(struct worker *worker, struct packet *packet,
						     uint32_t link, uint32_t room)
{
	struct cut cut;
	if (!forward_plan_fragments(&cut, packet, room)) {
		packet_drop(packet, VERDICT_DROP_TOO_BIG);
		return;
	}
	if (cut.kind == CUT_FRAGMENTS)
		forward_complete_checksum(packet);
	if (!forward_begin_train(worker, packet, &cut, ETH_HEADER_LEN))
		return;
	write_headers(packet, &cut);
	forward_send(packet, link, packet->view.frame_len);
}

// ---- the step -----------------------------------------------------------------------------------

void forward_finish(struct worker *worker, struct packet *packet, uint32_t link,
		    const struct mac_addr *next_hop)
{
	const struct snapshot_link *out = &worker->snapshot->links[link];
	memcpy(packet->frame, next_hop->bytes, sizeof(next_hop->bytes));
	memcpy(packet->frame + sizeof(next_hop->bytes), out->mac.bytes, sizeof(out->mac.bytes));
	if (forward_wire_len(packet) <= out->mtu)
		forward_send(packet, link, packet->view.frame_len);
	else
		send_fragments(worker, packet, link, out->mtu);
}
