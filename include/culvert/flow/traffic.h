// SPDX-License-Identifier: Apache-2.0
// What one worker has seen of a frontend or a backend. tx goes to backends, rx comes from them.
#pragma once

#include "culvert/base/counter.h"

struct traffic_counters { // w: worker, r: any
	counter_t flows_opened;
	counter_t flows_current; // half-open and live
	counter_t packets_tx;
	counter_t packets_rx;
	counter_t bytes_tx; // of IP packets
	counter_t bytes_rx;
};
