// SPDX-License-Identifier: Apache-2.0
// What has gone through a frontend or to a backend: as one thread counts it, and as a sum for
// people. tx goes to backends, rx comes from them. The packet modes count flows and bytes of IP
// packets, headers included; proxy mode counts sessions and the bytes that it relayed.
#pragma once

#include "culvert/base/counter.h"

struct traffic_counters { // w: its thread, r: any
	counter_t flows_opened;
	counter_t flows_current; // half-open and live
	counter_t flows_held;    // entries, finished ones too; packet modes only
	counter_t packets_tx;
	counter_t packets_rx;
	counter_t bytes_tx;
	counter_t bytes_rx;
};

struct traffic {
	uint64_t total_connections; // ever made
	uint64_t current_connections;
	uint64_t held_connections; // finished ones as well; packet modes only
	uint64_t bytes_tx;
	uint64_t bytes_rx;
	uint64_t packets_tx; // packet modes only
	uint64_t packets_rx;
};

void traffic_add(struct traffic *sum, const struct traffic *part);

// Take away what was there before; the sum is no less in any of its parts.
void traffic_subtract(struct traffic *sum, const struct traffic *before);

// Add what one thread has counted to a sum. Any thread.
void traffic_gather(struct traffic *sum, const struct traffic_counters *counters);
