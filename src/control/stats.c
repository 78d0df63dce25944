// SPDX-License-Identifier: Apache-2.0
#include "culvert/control/stats.h"

void stats_fini(struct stats *stats)
{
	packet_stats_fini(&stats->packets);
	proxy_stats_fini(&stats->sessions);
}
