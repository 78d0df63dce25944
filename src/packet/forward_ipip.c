// SPDX-License-Identifier: Apache-2.0
// DSR by a tunnel: the client's packet, with one taken from its time to live (RFC 2003
// section 3.1), goes to the backend inside another one.
//
// No description of segmentation that a packet socket takes knows tunnels, so super-frames are cut
// here and checksums completed. What is too long for the tunnel and may be fragmented is fragmented
// first and wrapped then (RFC 4459 section 3.4): fragments of tunnel packets would need
// identifications that no other packet between the same two hosts has within minutes, and there are
// too few for those of all clients (RFC 4963), while fragments of the inner packet have their
// sender's. The backend puts both kinds together alike.
#include "culvert/net/bytes.h"
#include "culvert/net/cut.h"
#include "culvert/net/ipip.h"
#include "culvert/net/rewrite.h"
#include "packet/forward.h"

enum {
	ETHERTYPE_OFFSET = 12,
	ETHERTYPE_IPV4 = 0x0800,
	OUTER_LEN = ETH_HEADER_LEN + IPIP_HEADER_LEN,
};

static struct ipip_tunnel tunnel_to(struct worker *worker, const struct snapshot_backend *backend)
{
	return (struct ipip_tunnel){
		.src = backend->hop.source,
		.dst = backend->endpoint.addr,
		.id = worker->next_ip_id++,
	};
}

static void write_ethernet(uint8_t *frame, const struct snapshot *snapshot,
			   const struct snapshot_hop *hop)
{
	const struct mac_addr *own = &snapshot->links[hop->link].mac;
	memcpy(frame, hop->mac.bytes, sizeof(hop->mac.bytes));
	memcpy(frame + sizeof(hop->mac.bytes), own->bytes, sizeof(own->bytes));
	store_be16(frame + ETHERTYPE_OFFSET, ETHERTYPE_IPV4);
}

// ---- one packet into one ------------------------------------------------------------------------

static void wrap(struct worker *worker, struct packet *packet,
		 const struct snapshot_backend *backend)
{
	uint8_t *inner = packet->frame + packet->view.l3;
	uint32_t inner_len = packet->view.frame_len - packet->view.l3;
	struct ipip_tunnel tunnel = tunnel_to(worker, backend);
	forward_complete_checksum(packet);
	packet->vnet = (struct virtio_net_hdr){0};
	ipip_write_header(inner - IPIP_HEADER_LEN, &tunnel, inner, inner_len);
	packet->frame -= IPIP_HEADER_LEN;
	write_ethernet(packet->frame, worker->snapshot, &backend->hop);
	forward_send(packet, backend->hop.link, OUTER_LEN + inner_len);
}

// ---- one packet into several --------------------------------------------------------------------

// How to cut a packet so that no piece is larger than `room`. False when it need not be, or, with
// the packet dropped, when it cannot be.
static bool choose_cut(struct packet *packet, uint32_t room, struct cut *cut)
{
	const struct frame_view *view = &packet->view;
	const struct virtio_net_hdr *vnet = &packet->vnet;
	uint8_t gso_type = packet_gso_type(packet);
	uint32_t headers = (uint32_t)view->payload - view->l3;
	bool is_planned;
	if (gso_type == VIRTIO_NET_HDR_GSO_TCPV4 && view->src.proto == IPPROTO_TCP) {
		uint32_t most = room > headers ? room - headers : 0;
		uint32_t len = vnet->gso_size < most ? vnet->gso_size : most;
		is_planned = cut_plan(cut, CUT_TCP_SEGMENTS, view, len);
	} else if (forward_is_of_datagrams(packet) && headers + vnet->gso_size <= room) {
		is_planned = cut_plan(cut, CUT_UDP_DATAGRAMS, view, vnet->gso_size);
	} else if (view->frame_len - view->l3 > room) {
		is_planned = forward_plan_fragments(cut, packet, room);
	} else {
		return false;
	}
	if (!is_planned)
		packet_drop(packet, VERDICT_DROP_TOO_BIG);
	return is_planned;
}

static void write_headers(struct worker *worker, const struct packet *packet,
			  const struct snapshot_backend *backend, const struct cut *cut)
{
	for (uint32_t i = 0; i < cut->n; i++) {
		struct packet_frame frame = packet_frame_at(packet, i);
		uint8_t *header = frame.header;
		uint8_t *inner = header + OUTER_LEN;
		uint32_t inner_len = frame.header_len + frame.piece_len - OUTER_LEN;
		struct ipip_tunnel tunnel = tunnel_to(worker, backend);
		write_ethernet(header, worker->snapshot, &backend->hop);
		cut_write_headers(cut, packet->frame, &packet->view, i, inner);
		ipip_write_header(header + ETH_HEADER_LEN, &tunnel, inner, inner_len);
	}
}

static void wrap_pieces(struct worker *worker, struct packet *packet,
			const struct snapshot_backend *backend, const struct cut *cut)
{
	if (cut->kind == CUT_FRAGMENTS)
		forward_complete_checksum(packet);
	if (!forward_begin_train(worker, packet, cut, OUTER_LEN))
		return;
	write_headers(worker, packet, backend, cut);
	forward_send(packet, backend->hop.link, packet->view.frame_len);
}

void forward_ipip(struct worker *worker, struct packet *packet,
		  const struct snapshot_backend *backend)
{
	uint32_t room = forward_room(worker, backend);
	struct cut cut;
	packet->verdict = VERDICT_NONE;
	bool is_cut = choose_cut(packet, room, &cut);
	if (packet->verdict != VERDICT_NONE)
		return;
	rewrite_ttl(packet->frame, &packet->view);
	// Only a client's SYN comes this way: what it announces is the limit of the backend's
	// segments.
	forward_clamp_mss(packet, worker->config->dsr.mss_clamp, room);
	if (is_cut)
		wrap_pieces(worker, packet, backend, &cut);
	else
		wrap(worker, packet, backend);
}
