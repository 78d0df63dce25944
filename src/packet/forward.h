// SPDX-License-Identifier: Apache-2.0
// What to do with one packet of a flow, by mode and kind: one file each.
// Called by: the worker.
#pragma once

#include <arpa/inet.h>

#include "culvert/net/bytes.h"
#include "culvert/net/cut.h"
#include "culvert/net/ipip.h"
#include "packet/worker.h"

// Passthrough: address translation both ways.
void forward_nat(struct worker *worker, struct packet *packet);

// DSR: the client's half only, since backends answer clients themselves.
void forward_dsr(struct worker *worker, struct packet *packet);

// DSR, with the methods by which the backend gets what the client has sent: sending it.
void forward_dsr_unchanged(struct worker *worker, struct packet *packet,
			   const struct snapshot_backend *backend);
// By a tunnel to the backend.
void forward_ipip(struct worker *worker, struct packet *packet,
		  const struct snapshot_backend *backend);

// Does the backend get what the client has sent, addresses included?
static inline bool forward_is_unchanged(const struct worker *worker)
{
	return worker->config->mode == MODE_DSR && worker->config->dsr.method != DSR_NAT;
}

// A first fragment has been decided about: this is for those that follow. And one of these.
void forward_note_fragment(struct worker *worker, const struct packet *packet);
void forward_later_fragment(struct worker *worker, struct packet *packet);

// An ICMP error about a packet of a flow, in either direction.
void forward_icmp_error(struct worker *worker, struct packet *packet);

// From the backend: our own port that the packet is for (the quoted source, in an ICMP error).
static inline uint16_t forward_local_port(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	return ntohs(view->is_icmp_error ? view->src.port_be : view->dst.port_be);
}

// Does the client begin something new: a SYN, or any datagram?
static inline bool forward_opens_connection(const struct frame_view *view)
{
	return view->src.proto == IPPROTO_UDP ||
	       (view->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
}

// Where the client was last seen, so that answers made here find it.
static inline void forward_remember_path(struct flow *flow, const struct packet *packet)
{
	flow->client_link = packet->rx_link;
	memcpy(flow->client_mac.bytes, packet->frame + 6, sizeof(flow->client_mac.bytes));
}

// Around the tracking of a packet that is passed on: fast_path.h.
static inline void forward_catch_up(struct worker *worker, uint32_t index)
{
	if (worker->flows->flows[index].is_aside)
		fast_path_catch_up(worker, index);
}
static inline void forward_settle(struct worker *worker, uint32_t index)
{
	if (!worker->fast.maps)
		return;
	pressure_of_flow(&worker->pressure, index);
	fast_path_settle(worker, index);
}

// What the flow is to a SYN of its client with the number `seq`, or to a datagram.
enum flow_prospect forward_prospect(const struct worker *worker, uint32_t index, uint32_t seq);

// The flow of a packet from the client, or 0. One that is over or has lost its backend is renewed
// or ended when the packet begins anew, and marked an orphan when it does not.
uint32_t forward_find_flow(struct worker *worker, const struct packet *packet);

// Who takes the new flow that the client's packet opens: a backend's slot, or
// SCHEDULER_NO_BACKEND. Loads are the live flows of this worker.
int32_t forward_pick_backend(struct worker *worker, const struct packet *packet);

// Does Maglev alone say which backend takes what?
static inline bool forward_is_by_hash(const struct worker *worker, uint16_t frontend)
{
	return worker->snapshot->frontends[frontend].scheduler == SCHEDULER_MAGLEV;
}

// The backend that the hash alone names for what `client` sends to `vip`: the same in every run and
// for every balancer, as long as the same backends are up. SCHEDULER_NO_BACKEND when none is, or
// when the frontend's scheduler goes by something else.
int32_t forward_pick_by_hash(const struct worker *worker, uint16_t frontend,
			     const struct endpoint *client, const struct endpoint *vip);

// Drop, and tell the sender so in the name of whom the packet was for, if the rate of answers
// allows it.
void forward_refuse(struct worker *worker, struct packet *packet, enum verdict verdict);

// What the largest packet on the wire will measure: a super-frame is cut into segments first.
static inline uint32_t forward_wire_len(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	uint32_t whole = view->frame_len - view->l3;
	uint32_t segment = (uint32_t)view->payload - view->l3 + packet->vnet.gso_size;
	if (packet->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return whole;
	return segment < whole ? segment : whole;
}

// What fits through the way to a backend as it is, in bytes of IP packet.
static inline uint32_t forward_room(const struct worker *worker,
				    const struct snapshot_backend *backend)
{
	uint32_t mtu = worker->snapshot->links[backend->hop.link].mtu;
	const struct config *config = worker->config;
	bool is_wrapped = config->mode == MODE_DSR && config->dsr.method == DSR_IPIP;
	return is_wrapped && mtu > IPIP_HEADER_LEN ? mtu - IPIP_HEADER_LEN : mtu;
}

// Can the packet leave where no more than `room` bytes fit at once: is its time to live not used
// up, and may it be cut if it is longer? Is there a next hop towards `backend`, and can the packet
// go there? If not it is dropped under the reason, and the sender is told as a router would tell
// it. What takes more than a look is left to the functions with the longer names.
bool forward_can_leave_changed(struct worker *worker, struct packet *packet, uint32_t room);
static inline bool forward_can_leave(struct worker *worker, struct packet *packet, uint32_t room)
{
	return (packet->view.ttl > 1 && forward_wire_len(packet) <= room) ||
	       forward_can_leave_changed(worker, packet, room);
}
void forward_drop_without_hop(struct packet *packet, const struct snapshot_backend *backend);
static inline bool forward_can_reach(struct worker *worker, struct packet *packet,
				     const struct snapshot_backend *backend)
{
	if (backend->hop.state == HOP_READY)
		return forward_can_leave(worker, packet, forward_room(worker, backend));
	forward_drop_without_hop(packet, backend);
	return false;
}

// The packet has been given these addresses: if it may be fragmented, or is a fragment, it gets an
// identification that no other packet between them has had lately.
void forward_give_id(struct worker *worker, struct packet *packet, const struct ip_addr *src,
		     const struct ip_addr *dst);
static inline void forward_renew_id(struct worker *worker, struct packet *packet,
				    const struct ip_addr *src, const struct ip_addr *dst)
{
	const struct frame_view *view = &packet->view;
	bool may_be_cut =
		!view->is_v6 &&
		!(load_be16(packet->frame + view->l3 + IP_FRAGMENT_OFFSET) & IP_DONT_FRAGMENT);
	if (may_be_cut || view->fragment.is_part)
		forward_give_id(worker, packet, src, dst);
}

// Lower the segment size that a SYN announces, to what fits in `room` bytes of IP packet or to what
// the setting says (config.h).
void forward_clamp_mss(struct packet *packet, int setting, uint32_t room);
static inline bool forward_is_syn(const struct frame_view *view)
{
	return view->src.proto == IPPROTO_TCP && (view->tcp_flags & TCP_FLAG_SYN);
}

// A frame of `len` bytes is ready.
static inline void forward_send(struct packet *packet, uint32_t link, uint32_t len)
{
	packet->len = len;
	packet->tx_link = (uint8_t)link;
	packet->verdict = VERDICT_FORWARDED;
	packet->is_to_send = true;
}

// The last step, after the rewriting: from our address on the link to the next hop, padding left
// out, in fragments where the link carries no more. For want of a buffer for these, or where they
// would be too many, the packet is dropped under the reason.
void forward_finish(struct worker *worker, struct packet *packet, uint32_t link,
		    const struct mac_addr *next_hop);

// Does it fill a super-frame with several datagrams? Each is one to be fragmented by itself, as by
// a router that has split them up first.
static inline bool forward_is_of_datagrams(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	return packet_gso_type(packet) == PACKET_GSO_UDP_L4 && view->src.proto == IPPROTO_UDP &&
	       !view->is_icmp_error && !packet->is_fragment;
}

// How to cut a packet that is no super-frame of TCP into fragments that measure `room` at most.
// False when there is no way.
bool forward_plan_fragments(struct cut *cut, const struct packet *packet, uint32_t room);

// Make the packet a train of the pieces that `cut` has planned. Their headers, with `wrap_len`
// bytes in front, are to be written by the caller, where packet_frame_at() has them. False, with
// the packet dropped under the reason, when they find no room.
bool forward_begin_train(struct worker *worker, struct packet *packet, const struct cut *cut,
			 uint32_t wrap_len);
// Fill in the checksum if it was left to the hardware.
void forward_complete_checksum(struct packet *packet);
