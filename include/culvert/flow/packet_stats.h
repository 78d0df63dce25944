// SPDX-License-Identifier: Apache-2.0
// Totals over all threads of the packet path, gathered for people.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/flow/traffic.h"
#include "culvert/flow/verdict.h"

struct packet_stats {
	struct traffic total;
	struct traffic *frontends; // owned; by slot
	size_t n_frontends;
	struct traffic *backends; // owned; by slot
	size_t n_backends;
	uint64_t received;             // frames handed to the packet path
	uint64_t verdicts[N_VERDICTS]; // with `held` they sum to `received` when none is in flight
	uint64_t held;                 // fragments that wait for their first one
	uint64_t generated;            // resets and ICMP errors made here
	uint64_t suppressed;           // resets and ICMP errors not made: their rate was used up
	uint64_t kernel_dropped;       // frames the kernel could not queue for us: never received
	uint64_t flows;                // entries in all flow tables
	uint64_t flow_capacity;
	uint64_t fast_flows;      // of these: the kernel forwards their packets
	uint64_t fast_packets;    // of `received`: those that it forwarded
	uint64_t flows_reclaimed; // half-open or closing flows ended early to make room
	bool has_fast_path;       // the kernel forwards what it can: it may, and that works
};

void packet_stats_fini(struct packet_stats *stats); // frees the arrays
