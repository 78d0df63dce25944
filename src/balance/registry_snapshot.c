// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "balance/registry_private.h"

// A path has no endpoint: its digest stands for one.
struct endpoint registry_identity(const struct config_backend *backend)
{
	struct endpoint identity = backend->endpoint;
	XXH128_canonical_t digest;
	_Static_assert(sizeof(digest) == sizeof(identity.addr), "a digest fills an address");
	if (backend->unix_path) {
		XXH128_canonicalFromHash(&digest, XXH3_128bits(backend->unix_path,
							       strlen(backend->unix_path)));
		memcpy(&identity.addr, &digest, sizeof(digest));
	}
	return identity;
}

// The pool's table over the backends that are up.
static int build_table(struct registry *registry, struct snapshot_pool *pool, struct err *err)
{
	struct maglev_backend *up = calloc(pool->n_members + 1, sizeof(*up));
	if (!up)
		return err_set(err, -ENOMEM, "not enough memory for a Maglev table");
	size_t n_up = 0;
	for (uint32_t i = 0; i < pool->n_members; i++) {
		const struct snapshot_backend *backend = &registry->backends[pool->members[i]];
		if (backend->is_up)
			up[n_up++] = (struct maglev_backend){
				.endpoint = registry_identity(backend->config),
				.weight = snapshot_share(backend),
				.id = pool->members[i],
			};
	}
	uint32_t size = registry->generation->config->passthrough.maglev_table_size;
	int code = maglev_build(&pool->table, up, n_up, size, err);
	free(up);
	return code;
}

// ---- lookup tables -----------------------------------------------------------------------------

static void fill_maps(const struct registry *registry, struct snapshot_maps *maps)
{
	for (uint32_t i = 0; i < registry->n_frontends; i++) {
		const struct snapshot_frontend *frontend = &registry->frontends[i];
		if (frontend->state != SLOT_ACTIVE && frontend->state != SLOT_REMOVED)
			continue;
		struct endpoint addr = {.addr = frontend->endpoint.addr};
		endpoint_map_add(&maps->vips, &frontend->endpoint, i);
		endpoint_map_add(&maps->vip_addrs, &addr, i);
	}
	for (uint32_t i = 0; i < registry->n_backends; i++) {
		const struct snapshot_backend *backend = &registry->backends[i];
		if (backend->config)
			endpoint_map_add(&maps->backend_ids, &backend->endpoint,
					 backend->endpoint_id);
	}
}

static int make_maps(struct registry *registry, struct err *err)
{
	struct snapshot_maps *maps = calloc(1, sizeof(*maps));
	if (!maps)
		return err_set(err, -ENOMEM, "not enough memory for lookup tables");
	int code = endpoint_map_init(&maps->vips, registry->n_frontends, registry->secret, err);
	if (!code)
		code = endpoint_map_init(&maps->vip_addrs, registry->n_frontends, registry->secret,
					 err);
	if (!code)
		code = endpoint_map_init(&maps->backend_ids, registry->n_backends, registry->secret,
					 err);
	if (code) {
		snapshot_maps_unref(maps);
		return code;
	}
	fill_maps(registry, maps);
	registry->maps = maps;
	return 0;
}

// ---- snapshots ---------------------------------------------------------------------------------

static void *copy_of(const void *from, size_t n, size_t size)
{
	void *copy = calloc(n + 1, size);
	if (copy)
		memcpy(copy, from, n * size);
	return copy;
}

static void copy_owners(struct snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->n_frontends; i++) {
		if (snapshot->frontends[i].owner)
			config_ref(snapshot->frontends[i].owner);
		snapshot->n_over += snapshot->frontends[i].state == SLOT_OVER;
	}
	for (uint32_t i = 0; i < snapshot->n_backends; i++) {
		if (snapshot->backends[i].owner)
			config_ref(snapshot->backends[i].owner);
		snapshot->n_over += snapshot->backends[i].state == SLOT_OVER;
	}
}

// Who is not let in finds nobody, and leaves the pool to the others.
static void shut_gates(const struct registry *registry, struct snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->n_frontends; i++) {
		if (snapshot->frontends[i].gate != GATE_OPEN)
			snapshot->frontends[i].pool = (uint16_t)registry->n_pools;
	}
}

static void fill_pool(const struct registry *registry, struct snapshot *snapshot, uint32_t i)
{
	struct snapshot_pool *pool = &snapshot->pools[i];
	*pool = registry->pools[i];
	maglev_ref(pool->table);
	for (uint32_t k = 0; k < pool->n_members; k++)
		pool->n_unknown += !registry->backends[pool->members[k]].is_known;
}

static int fill(struct registry *registry, struct snapshot *snapshot, struct err *err)
{
	uint32_t n_frontends = registry->n_frontends;
	uint32_t n_backends = registry->n_backends;
	snapshot->frontends =
		copy_of(registry->frontends, n_frontends, sizeof(*snapshot->frontends));
	snapshot->backends = copy_of(registry->backends, n_backends, sizeof(*snapshot->backends));
	snapshot->pools = calloc(registry->n_pools + 1, sizeof(*snapshot->pools));
	if (!snapshot->frontends || !snapshot->backends || !snapshot->pools)
		return err_set(err, -ENOMEM, "not enough memory for a snapshot");
	snapshot->n_frontends = n_frontends;
	snapshot->n_backends = n_backends;
	copy_owners(snapshot);
	shut_gates(registry, snapshot);
	memcpy(snapshot->links, registry->links, sizeof(registry->links));
	memcpy(snapshot->snats, registry->snats, sizeof(registry->snats));
	for (uint32_t i = 0; i <= registry->n_pools; i++) {
		struct snapshot_pool *pool = &registry->pools[i];
		int code = pool->table ? 0 : build_table(registry, pool, err);
		if (code)
			return code;
		fill_pool(registry, snapshot, i);
	}
	return 0;
}

int registry_snapshot(struct registry *registry, struct snapshot **snapshot, struct err *err)
{
	const struct config *config = registry->generation->config;
	int code = registry->maps ? 0 : make_maps(registry, err);
	if (code)
		return code;
	struct snapshot *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for a snapshot");
	*made = (struct snapshot){
		.version = ++registry->version,
		.n_links = registry->n_links,
		.n_pools = registry->n_pools,
		.n_snats = registry->n_snats,
		.snats_per_endpoint = registry->snats_per_endpoint,
		.nat_port_min = config->passthrough.nat_port_min,
		.nat_port_max = config->passthrough.nat_port_max,
		.config = config,
		.generation = generation_ref(registry->generation),
		.maps = snapshot_maps_ref(registry->maps),
		.vips = &registry->maps->vips,
		.vip_addrs = &registry->maps->vip_addrs,
		.backend_ids = &registry->maps->backend_ids,
	};
	code = fill(registry, made, err);
	if (code) {
		snapshot_destroy(made);
		return code;
	}
	*snapshot = made;
	return 0;
}
