// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

// Without configured source addresses each route names its own; more than these per process are
// a configuration that should name them.
enum { SNATS_FROM_ROUTES = 8 };

struct registry {
	const struct config *config; // borrowed
	struct snapshot_frontend *frontends;
	struct snapshot_backend *backends;
	struct snapshot_pool *pools; // a table that is NULL is to be built
	uint32_t n_backends;
	uint32_t n_links;
	uint32_t n_snats;
	uint32_t snats_per_endpoint;
	uint64_t version;
	struct snapshot_link links[CONFIG_MAX_INTERFACES];
	struct ip_addr snats[CONFIG_MAX_SNAT_ADDRS];
	struct endpoint_map vips;
	struct endpoint_map backend_ids;
};

static void add_frontends(struct registry *registry)
{
	const struct config *config = registry->config;
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *from = &config->frontends[i];
		endpoint_map_add(&registry->vips, &from->endpoint);
		registry->frontends[i] = (struct snapshot_frontend){
			.endpoint = from->endpoint,
			.pool = (uint16_t)from->pool,
			.hash = from->hash,
		};
	}
}

static void add_pool(struct registry *registry, size_t pool, uint32_t first)
{
	const struct config_pool *from = &registry->config->pools[pool];
	registry->pools[pool].first_backend = first;
	registry->pools[pool].n_backends = (uint32_t)from->n_backends;
	registry->pools[pool].n_unknown = (uint32_t)from->n_backends;
	for (size_t i = 0; i < from->n_backends; i++) {
		const struct endpoint *endpoint = &from->backends[i].endpoint;
		registry->backends[first + i] = (struct snapshot_backend){
			.endpoint = *endpoint,
			.endpoint_id = endpoint_map_add(&registry->backend_ids, endpoint),
			.pool = (uint16_t)pool,
			.weight = from->backends[i].weight,
			.resets_on_down = from->on_backend_down == ON_DOWN_RESET,
		};
	}
}

static int allocate(struct registry *registry, uint64_t secret, struct err *err)
{
	const struct config *config = registry->config;
	for (size_t i = 0; i < config->n_pools; i++)
		registry->n_backends += (uint32_t)config->pools[i].n_backends;

	registry->frontends = calloc(config->n_frontends + 1, sizeof(*registry->frontends));
	registry->backends = calloc(registry->n_backends + 1, sizeof(*registry->backends));
	registry->pools = calloc(config->n_pools + 1, sizeof(*registry->pools));
	if (!registry->frontends || !registry->backends || !registry->pools)
		return err_set(err, -ENOMEM, "not enough memory for the list of backends");
	int code = endpoint_map_init(&registry->vips, (uint32_t)config->n_frontends, secret, err);
	if (code)
		return code;
	return endpoint_map_init(&registry->backend_ids, registry->n_backends, secret, err);
}

// In DSR mode packets keep the client's address: the one pool per endpoint has no address of ours.
static void set_snats(struct registry *registry)
{
	const struct config_passthrough *passthrough = &registry->config->passthrough;
	registry->snats_per_endpoint = 1;
	if (registry->config->mode == MODE_DSR)
		return;
	for (size_t i = 0; i < passthrough->n_snat_addrs; i++)
		registry->snats[registry->n_snats++] = passthrough->snat_addrs[i];
	registry->snats_per_endpoint = registry->n_snats ? registry->n_snats : SNATS_FROM_ROUTES;
}

int registry_create(struct registry **registry, const struct config *config, uint64_t secret,
		    struct err *err)
{
	struct registry *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the list of backends");
	made->config = config;
	int code = allocate(made, secret, err);
	if (code) {
		registry_destroy(made);
		return code;
	}
	add_frontends(made);
	uint32_t first = 0;
	for (size_t i = 0; i < config->n_pools; i++) {
		add_pool(made, i, first);
		first += made->pools[i].n_backends;
	}
	set_snats(made);
	*registry = made;
	return 0;
}

void registry_destroy(struct registry *registry)
{
	if (!registry)
		return;
	for (size_t i = 0; registry->pools && i < registry->config->n_pools; i++)
		maglev_unref(registry->pools[i].table);
	endpoint_map_fini(&registry->vips);
	endpoint_map_fini(&registry->backend_ids);
	free(registry->pools);
	free(registry->backends);
	free(registry->frontends);
	free(registry);
}

int registry_add_link(struct registry *registry, const struct snapshot_link *link, struct err *err)
{
	for (uint32_t i = 0; i < registry->n_links; i++) {
		if (registry->links[i].ifindex == link->ifindex)
			return (int)i;
	}
	if (registry->n_links == CONFIG_MAX_INTERFACES)
		return err_set(err, -E2BIG, "more than %d network interfaces are needed",
			       CONFIG_MAX_INTERFACES);
	registry->links[registry->n_links] = *link;
	return (int)registry->n_links++;
}

bool registry_update_link(struct registry *registry, uint32_t index,
			  const struct snapshot_link *link)
{
	struct snapshot_link *known = &registry->links[index];
	if (known->mtu == link->mtu && memcmp(&known->mac, &link->mac, sizeof(link->mac)) == 0 &&
	    ip_addr_equal(&known->own_v4, &link->own_v4) &&
	    ip_addr_equal(&known->own_v6, &link->own_v6))
		return false;
	*known = *link;
	return true;
}

int registry_add_snat(struct registry *registry, const struct ip_addr *addr, struct err *err)
{
	for (uint32_t i = 0; i < registry->n_snats; i++) {
		if (ip_addr_equal(&registry->snats[i], addr))
			return (int)i;
	}
	if (registry->n_snats == registry->snats_per_endpoint)
		return err_set(
			err, -E2BIG,
			"the routes to the backends use more than %u source addresses; name the "
			"ones to use in [passthrough] snat_addrs",
			registry->snats_per_endpoint);
	registry->snats[registry->n_snats] = *addr;
	return (int)registry->n_snats++;
}

bool registry_set_known(struct registry *registry, uint32_t backend)
{
	struct snapshot_backend *b = &registry->backends[backend];
	if (b->is_known)
		return false;
	b->is_known = true;
	registry->pools[b->pool].n_unknown--;
	return true;
}

void registry_set_up(struct registry *registry, uint32_t backend, bool is_up)
{
	struct snapshot_backend *b = &registry->backends[backend];
	struct snapshot_pool *pool = &registry->pools[b->pool];
	registry_set_known(registry, backend);
	if (b->is_up == is_up)
		return;
	b->is_up = is_up;
	maglev_unref(pool->table);
	pool->table = NULL;
}

void registry_set_hop(struct registry *registry, uint32_t backend, const struct snapshot_hop *hop,
		      uint64_t snat_mask)
{
	registry->backends[backend].hop = *hop;
	registry->backends[backend].snat_mask = snat_mask;
}

uint32_t registry_n_backends(const struct registry *registry)
{
	return registry->n_backends;
}

uint32_t registry_n_endpoints(const struct registry *registry)
{
	return registry->backend_ids.n;
}

uint32_t registry_snats_per_endpoint(const struct registry *registry)
{
	return registry->snats_per_endpoint;
}

const struct snapshot_backend *registry_backend(const struct registry *registry, uint32_t backend)
{
	return &registry->backends[backend];
}

// What a backend's place in a Maglev table is made from. A path has no endpoint: its digest stands
// for one.
static struct endpoint identity_of(const struct config_backend *backend)
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
static int build_table(struct registry *registry, size_t pool, struct err *err)
{
	struct snapshot_pool *state = &registry->pools[pool];
	const struct config_pool *config = &registry->config->pools[pool];
	struct maglev_backend *up = calloc(state->n_backends + 1, sizeof(*up));
	if (!up)
		return err_set(err, -ENOMEM, "not enough memory for a Maglev table");
	size_t n_up = 0;
	for (uint32_t i = 0; i < state->n_backends; i++) {
		const struct snapshot_backend *backend =
			&registry->backends[state->first_backend + i];
		if (backend->is_up)
			up[n_up++] = (struct maglev_backend){
				.endpoint = identity_of(&config->backends[i]),
				.weight = backend->weight,
				.id = (uint16_t)(state->first_backend + i),
			};
	}
	uint32_t size = registry->config->passthrough.maglev_table_size;
	int code = maglev_build(&state->table, up, n_up, size, err);
	free(up);
	return code;
}

static void *copy_of(const void *from, size_t n, size_t size)
{
	void *copy = calloc(n + 1, size);
	if (copy)
		memcpy(copy, from, n * size);
	return copy;
}

static int fill(struct registry *registry, struct snapshot *snapshot, struct err *err)
{
	const struct config *config = registry->config;
	snapshot->frontends =
		copy_of(registry->frontends, snapshot->n_frontends, sizeof(*snapshot->frontends));
	snapshot->backends =
		copy_of(registry->backends, snapshot->n_backends, sizeof(*snapshot->backends));
	snapshot->pools = calloc(config->n_pools + 1, sizeof(*snapshot->pools));
	if (!snapshot->frontends || !snapshot->backends || !snapshot->pools)
		return err_set(err, -ENOMEM, "not enough memory for a snapshot");
	memcpy(snapshot->links, registry->links, sizeof(snapshot->links));
	memcpy(snapshot->snats, registry->snats, sizeof(snapshot->snats));
	for (size_t i = 0; i < config->n_pools; i++) {
		int code = registry->pools[i].table ? 0 : build_table(registry, i, err);
		if (code)
			return code;
		snapshot->pools[i] = registry->pools[i];
		maglev_ref(snapshot->pools[i].table);
	}
	return 0;
}

int registry_snapshot(struct registry *registry, struct snapshot **snapshot, struct err *err)
{
	const struct config *config = registry->config;
	struct snapshot *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for a snapshot");
	*made = (struct snapshot){
		.version = ++registry->version,
		.n_links = registry->n_links,
		.n_frontends = (uint32_t)config->n_frontends,
		.n_backends = registry->n_backends,
		.n_pools = (uint32_t)config->n_pools,
		.n_snats = registry->n_snats,
		.snats_per_endpoint = registry->snats_per_endpoint,
		.nat_port_min = config->passthrough.nat_port_min,
		.nat_port_max = config->passthrough.nat_port_max,
		.vips = &registry->vips,
		.backend_ids = &registry->backend_ids,
	};
	int code = fill(registry, made, err);
	if (code) {
		snapshot_destroy(made);
		return code;
	}
	*snapshot = made;
	return 0;
}
