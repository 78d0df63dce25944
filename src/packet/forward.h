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

// The Ethernet header for the next hop.
void forward_set_macs(struct packet *packet, const struct mac_addr *src,
		      const struct mac_addr *dst);

// Drop, and tell the sender so if the rate of answers allows it.
void forward_refuse(struct worker *worker, struct packet *packet, enum verdict verdict);

// VERDICT_NONE when the packet may go on: time to live, the link's MTU.
enum verdict forward_check(const struct packet *packet, const struct snapshot_link *link);
// VERDICT_NONE when the backend can be reached.
enum verdict forward_check_hop(const struct snapshot_hop *hop);
