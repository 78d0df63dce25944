// SPDX-License-Identifier: Apache-2.0
// What a mode has counted, for the API.
// Called by: control.
#pragma once

#include "culvert/config/config.h"
#include "culvert/flow/flow_journal.h"
#include "culvert/flow/packet_stats.h"
#include "culvert/flow/proxy_stats.h"

struct stats { // the one or the other
	enum mode mode;
	struct packet_stats packets; // packet modes
	struct proxy_stats sessions; // proxy mode
	struct flow_log_stats flow_log;
};

void stats_fini(struct stats *stats);

// Fill *stats, which is zero (for stats_fini() by the caller). Called once per request.
typedef int (*stats_gather_fn)(void *arg, struct stats *stats);
