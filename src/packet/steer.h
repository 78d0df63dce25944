// SPDX-License-Identifier: Apache-2.0
// Whose packet is this, and which worker's? Read the headers, match them with a frontend (the
// client's half of a flow) or with a backend and a NAT port (its half), and name the worker: by a
// keyed hash for the one, by who owns the port for the other, so both halves meet.
// Called by: capture.
#pragma once

#include "culvert/balance/snapshot.h"
#include "packet/packet.h"

struct steering {
	uint64_t secret; // random per start
	uint32_t n_workers;
	uint32_t n_ports;      // of the NAT range; 0 in DSR mode
	uint16_t nat_port_min; // host byte order
};

// Which worker a client's half of a flow meets, and the hash that it is found by there.
struct steer_client {
	uint32_t hash;
	uint8_t worker;
};

void steering_init(struct steering *steering, const struct config *config, uint32_t n_workers,
		   uint64_t secret);

// A worker's slice of the NAT range: the first port and how many.
void steering_slice(const struct steering *steering, uint32_t worker, uint16_t *first_port,
		    uint32_t *n_ports);

// Any thread.
struct steer_client steering_of_client(const struct steering *steering,
				       const struct ip_addr *client, uint16_t port_be,
				       uint16_t frontend);

// Sets packet->view, and either verdict (dropped or passed) or from, worker and what a lookup
// needs. A fragment after the first has no ports to go by, so that fragments.h must say the rest.
// `packet` has frame, len and rx_link.
void steer_packet(const struct steering *steering, const struct snapshot *snapshot,
		  struct packet *packet);
