// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/snapshot.h"

#include <stdlib.h>

void snapshot_destroy(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	for (uint32_t i = 0; snapshot->pools && i < snapshot->n_pools; i++)
		maglev_unref(snapshot->pools[i].table);
	free(snapshot->pools);
	free(snapshot->backends);
	free(snapshot->frontends);
	free(snapshot);
}
