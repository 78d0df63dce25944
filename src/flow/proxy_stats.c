// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/proxy_stats.h"

#include <stdlib.h>

void proxy_stats_fini(struct proxy_stats *stats)
{
	free(stats->frontends);
	free(stats->backends);
	*stats = (struct proxy_stats){0};
}
