// SPDX-License-Identifier: Apache-2.0
#include "cover.h"

#include <errno.h>
#include <stdlib.h>

static size_t n_of(const struct endpoint_map *map, size_t n_also)
{
	return map->n + n_also + 1;
}

// Those of the map, and what it does not have of the others. Returns how many.
static size_t collect(struct endpoint *to, const struct endpoint_map *map,
		      const struct endpoint *also, size_t n_also)
{
	size_t n = 0;
	for (uint32_t i = 0; i < map->n; i++)
		to[n++] = map->endpoints[i];
	for (size_t i = 0; i < n_also; i++) {
		if (endpoint_map_find(map, &also[i]) == ENDPOINT_UNKNOWN)
			to[n++] = also[i];
	}
	return n;
}

int cover_make(struct cover *cover, const struct snapshot *snapshot, const struct cover *also)
{
	static const struct cover nobody;
	also = also ? also : &nobody;
	struct cover made = {
		.vips = calloc(n_of(snapshot->vips, also->n_vips), sizeof(*made.vips)),
		.backends = calloc(n_of(snapshot->backend_ids, also->n_backends),
				   sizeof(*made.backends)),
	};
	if (!made.vips || !made.backends) {
		cover_fini(&made);
		return -ENOMEM;
	}
	made.n_vips = collect(made.vips, snapshot->vips, also->vips, also->n_vips);
	made.n_backends =
		collect(made.backends, snapshot->backend_ids, also->backends, also->n_backends);
	*cover = made;
	return 0;
}

void cover_fini(struct cover *cover)
{
	free(cover->vips);
	free(cover->backends);
	*cover = (struct cover){0};
}
