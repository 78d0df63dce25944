// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/packet_stats.h"

#include <stdlib.h>
#include <string.h>

void packet_stats_fini(struct packet_stats *stats)
{
	free(stats->frontends);
	free(stats->backends);
	memset(stats, 0, sizeof(*stats));
}
