// SPDX-License-Identifier: Apache-2.0
// What has become of the connections that were opened to a backend: as one thread counts it, and
// as a sum. Health takes it for a sign (control/open_watch.h).
#pragma once

#include "culvert/base/counter.h"

struct open_counters {      // w: its thread, r: any
	counter_t answered; // SYNs by a SYN-ACK, first datagrams by any
	counter_t refused;  // SYNs by a RST, both by an ICMP message that nobody is there
};

struct opens {
	uint64_t asked; // flows made
	uint64_t answered;
	uint64_t refused;
	uint64_t heard; // packets of any kind from the backend
};
