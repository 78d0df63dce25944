// SPDX-License-Identifier: Apache-2.0
// Totals over all threads of proxy mode, gathered for people.
#pragma once

#include <stddef.h>

#include "culvert/base/histogram.h"
#include "culvert/flow/session_end.h"
#include "culvert/flow/traffic.h"

struct proxy_frontend_stats {
	struct traffic traffic;
	uint64_t ends[N_SESSION_ENDS];
	struct histogram_sum session_time; // from accept to the end
};

struct proxy_backend_stats {
	struct traffic traffic;
	uint64_t connects[N_CONNECT_RESULTS];
	struct histogram_sum connect_time; // of those that were connected
};

struct proxy_stats {
	struct traffic total;
	struct proxy_frontend_stats *frontends; // owned; by slot
	size_t n_frontends;
	struct proxy_backend_stats *backends; // owned; by slot
	size_t n_backends;
	uint64_t accepted;             // connections taken from clients
	uint64_t ends[N_SESSION_ENDS]; // with the sessions of now these sum to `accepted`
	uint64_t accept_pauses;        // times that accepting stopped: limit, descriptors, memory
};

// Take away what was there before.
void proxy_frontend_stats_subtract(struct proxy_frontend_stats *stats,
				   const struct proxy_frontend_stats *before);
void proxy_backend_stats_subtract(struct proxy_backend_stats *stats,
				  const struct proxy_backend_stats *before);

void proxy_stats_fini(struct proxy_stats *stats); // frees the arrays
