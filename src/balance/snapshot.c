// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/snapshot.h"

#include <stdlib.h>

#include "balance/snapshot_maps.h"
#include "culvert/balance/generation.h"

struct snapshot_maps *snapshot_maps_ref(struct snapshot_maps *maps)
{
	maps->n_refs++;
	return maps;
}

void snapshot_maps_unref(struct snapshot_maps *maps)
{
	if (!maps || maps->n_refs-- > 0)
		return;
	endpoint_map_fini(&maps->vips);
	endpoint_map_fini(&maps->vip_addrs);
	endpoint_map_fini(&maps->backend_ids);
	free(maps);
}

void snapshot_destroy(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	for (uint32_t i = 0; snapshot->pools && i <= snapshot->n_pools; i++)
		maglev_unref(snapshot->pools[i].table);
	for (uint32_t i = 0; snapshot->backends && i < snapshot->n_backends; i++)
		config_unref(snapshot->backends[i].owner);
	for (uint32_t i = 0; snapshot->frontends && i < snapshot->n_frontends; i++)
		config_unref(snapshot->frontends[i].owner);
	snapshot_maps_unref(snapshot->maps);
	generation_unref(snapshot->generation);
	free(snapshot->pools);
	free(snapshot->backends);
	free(snapshot->frontends);
	free(snapshot);
}
