// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/proxy_stats.h"

#include <stdlib.h>

void proxy_stats_fini(struct proxy_stats *stats)
{
	free(stats->frontends);
	free(stats->backends);
	*stats = (struct proxy_stats){0};
}

void proxy_frontend_stats_subtract(struct proxy_frontend_stats *stats,
				   const struct proxy_frontend_stats *before)
{
	traffic_subtract(&stats->traffic, &before->traffic);
	histogram_subtract(&stats->session_time, &before->session_time);
	for (unsigned i = 0; i < N_SESSION_ENDS; i++)
		stats->ends[i] -= before->ends[i];
}

void proxy_backend_stats_subtract(struct proxy_backend_stats *stats,
				  const struct proxy_backend_stats *before)
{
	traffic_subtract(&stats->traffic, &before->traffic);
	histogram_subtract(&stats->connect_time, &before->connect_time);
	for (unsigned i = 0; i < N_CONNECT_RESULTS; i++)
		stats->connects[i] -= before->connects[i];
}
