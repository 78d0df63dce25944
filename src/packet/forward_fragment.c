// SPDX-License-Identifier: Apache-2.0
// Fragments after the first. The first fragment of a datagram goes the way of any packet, and what
// became of it is noted; the others, which have no ports and no checksum, go after it. Where the
// backend gets new addresses they get the same, and the same identification.
#include "culvert/net/rewrite.h"
#include "packet/forward.h"

// The flow that a first fragment has gone on by, or 0.
static uint32_t find_flow(const struct worker *worker, const struct packet *packet)
{
	if (packet->from == FROM_BACKEND)
		return flow_table_find_reply(worker->flows, packet->nat_pool,
					     forward_local_port(packet));
	return flow_table_find(worker->flows, &packet->view.src, packet->frontend, packet->hash);
}

void forward_note_fragment(struct worker *worker, const struct packet *packet)
{
	struct fragment_way *way = &worker->ways[packet->datagram];
	*way = (struct fragment_way){
		.serial = packet->datagram_serial,
		.verdict = packet->verdict,
		.link = packet->tx_link,
		.frontend = packet->frontend,
		.backend = packet->backend,
	};
	if (packet->verdict != VERDICT_FORWARDED)
		return;
	way->flow = find_flow(worker, packet);
	way->flow_hash = worker->flows->flows[way->flow].hash;
	if (forward_is_unchanged(worker))
		return;
	way->src = frame_outer_src(packet->frame, &packet->view);
	way->dst = frame_outer_dst(packet->frame, &packet->view);
	way->id = frame_id(packet->frame, &packet->view);
	memcpy(way->next_hop.bytes, packet->frame, sizeof(way->next_hop.bytes));
}

static void follow_unchanged(struct worker *worker, struct packet *packet, uint16_t backend)
{
	const struct snapshot_backend *to = &worker->snapshot->backends[backend];
	if (forward_can_reach(worker, packet, to))
		forward_dsr_unchanged(worker, packet, to);
}

static void follow_translated(struct worker *worker, struct packet *packet,
			      const struct fragment_way *way)
{
	if (!forward_can_leave(worker, packet, worker->snapshot->links[way->link].mtu))
		return;
	rewrite_fragment(packet->frame, &packet->view, &way->src, &way->dst);
	rewrite_id(packet->frame, &packet->view, way->id);
	forward_finish(worker, packet, way->link, &way->next_hop);
}

static void count(struct worker *worker, const struct packet *packet,
		  const struct fragment_way *way)
{
	enum flow_dir dir = (enum flow_dir)packet->from;
	struct flow *flow = &worker->flows->flows[way->flow];
	bool is_there = way->flow && flow->state != FLOW_FREE && flow->hash == way->flow_hash;
	flow_table_count(worker->flows, dir, way->frontend, way->backend, &packet->view);
	if (is_there)
		flow_count_bytes(flow, dir, &packet->view);
}

void forward_later_fragment(struct worker *worker, struct packet *packet)
{
	const struct fragment_way *way = &worker->ways[packet->datagram];
	bool has_first = way->serial == packet->datagram_serial; // or it was lost before us
	if (!has_first || way->verdict != VERDICT_FORWARDED) {
		packet_drop(packet, VERDICT_DROP_FRAGMENT);
		return;
	}
	packet->backend = way->backend;
	if (forward_is_unchanged(worker))
		follow_unchanged(worker, packet, way->backend);
	else
		follow_translated(worker, packet, way);
	if (packet->verdict == VERDICT_FORWARDED)
		count(worker, packet, way);
}
