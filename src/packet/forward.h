// SPDX-License-Identifier: Apache-2.0
// What to do with one packet of a flow, by mode and kind: one file each.
// Called by: the worker.
#pragma once

#include <arpa/inet.h>

#include "packet/worker.h"

// Passthrough: address translation both ways.
void forward_nat(struct worker *worker, struct packet *packet);

// An ICMP error about a packet of a flow, in either direction.
void forward_icmp_error(struct worker *worker, struct packet *packet);

// From the backend: our own port that the packet is for (the quoted source, in an ICMP error).
static inline uint16_t forward_local_port(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	return ntohs(view->is_icmp_error ? view->src.port_be : view->dst.port_be);
}

// Drop, and tell the sender so if the rate of answers allows it.
void forward_refuse(struct worker *worker, struct packet *packet, enum verdict verdict);

// Can the packet leave by `link` (time to live, MTU), or go to `backend` (a route and a neighbour
// as well)? If not it is dropped under the reason.
bool forward_can_leave(struct packet *packet, const struct snapshot_link *link);
bool forward_can_reach(struct packet *packet, const struct snapshot *snapshot,
		       const struct snapshot_backend *backend);

// The last step, after the rewriting: from our address on the link to the next hop, padding left
// out.
void forward_finish(struct packet *packet, const struct snapshot *snapshot, uint32_t link,
		    const struct mac_addr *next_hop);
