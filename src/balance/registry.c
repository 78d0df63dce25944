// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "balance/registry_private.h"

// Without configured source addresses each route names its own; more than these per process are
// a configuration that should name them.
enum { SNATS_FROM_ROUTES = 8 };

// ---- creation ----------------------------------------------------------------------------------

static int allocate(struct registry *registry, uint64_t secret, struct err *err)
{
	uint32_t n_frontends = registry->max_frontends + 1;
	uint32_t n_backends = registry->max_backends + 1;
	registry->frontends = calloc(n_frontends, sizeof(*registry->frontends));
	registry->frontends_removed_ns =
		calloc(n_frontends, sizeof(*registry->frontends_removed_ns));
	registry->backends = calloc(n_backends, sizeof(*registry->backends));
	registry->controls = calloc(n_backends, sizeof(*registry->controls));
	if (!registry->frontends || !registry->frontends_removed_ns || !registry->backends ||
	    !registry->controls)
		return err_set(err, -ENOMEM, "not enough memory for the list of backends");
	return endpoint_ids_init(&registry->ids, registry->max_backends, secret, err);
}

// In DSR mode packets keep the client's address: the one pool per endpoint has no address of ours.
static void set_snats(struct registry *registry, const struct config *config)
{
	const struct config_passthrough *passthrough = &config->passthrough;
	registry->snats_per_endpoint = 1;
	if (config->mode == MODE_DSR)
		return;
	for (size_t i = 0; i < passthrough->n_snat_addrs; i++)
		registry->snats[registry->n_snats++] = passthrough->snat_addrs[i];
	registry->n_fixed_snats = registry->n_snats;
	registry->snats_per_endpoint = registry->n_snats ? registry->n_snats : SNATS_FROM_ROUTES;
}

int registry_create(struct registry **registry, struct config *config, uint64_t secret,
		    uint32_t n_threads, struct err *err)
{
	struct registry *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the list of backends");
	made->secret = secret;
	made->n_threads = n_threads;
	made->max_frontends = config_max_frontends(config);
	made->max_backends = config_max_backends(config);
	set_snats(made, config);
	int code = allocate(made, secret, err);
	if (!code)
		code = registry_apply(made, config, 0, err);
	if (code) {
		registry_destroy(made);
		return code;
	}
	for (uint32_t i = 0; i < made->n_backends; i++)
		made->backends[i].is_known = false; // there was no table that was right before
	*registry = made;
	return 0;
}

void registry_destroy(struct registry *registry)
{
	if (!registry)
		return;
	for (uint32_t i = 0; registry->pools && i <= registry->n_pools; i++)
		maglev_unref(registry->pools[i].table);
	for (uint32_t i = 0; i < registry->n_backends; i++)
		config_unref(registry->backends[i].owner);
	for (uint32_t i = 0; i < registry->n_frontends; i++)
		config_unref(registry->frontends[i].owner);
	generation_unref(registry->generation);
	snapshot_maps_unref(registry->maps);
	endpoint_ids_fini(&registry->ids);
	registry_free_notes(registry);
	registry_free_pasts(registry);
	free(registry->pools);
	free(registry->controls);
	free(registry->backends);
	free(registry->frontends_removed_ns);
	free(registry->frontends);
	free(registry);
}

// ---- the network -------------------------------------------------------------------------------

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

const struct snapshot_link *registry_link(const struct registry *registry, uint32_t index)
{
	return &registry->links[index];
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

static int find_snat(const struct registry *registry, const struct ip_addr *addr)
{
	for (uint32_t i = 0; i < registry->n_snats; i++) {
		if (ip_addr_equal(&registry->snats[i], addr))
			return (int)i;
	}
	return -1;
}

int registry_add_snat(struct registry *registry, const struct ip_addr *addr, struct err *err)
{
	static const struct ip_addr none;
	int index = find_snat(registry, addr);
	if (index < 0)
		index = find_snat(registry, &none);
	if (index >= 0) {
		registry->snats[index] = *addr;
		return index;
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

void registry_set_hop(struct registry *registry, uint32_t backend, const struct snapshot_hop *hop,
		      uint64_t snat_mask)
{
	registry->backends[backend].hop = *hop;
	registry->backends[backend].snat_mask = snat_mask;
	registry->controls[backend].snats_held |= snat_mask;
}

// Source addresses that routes have brought, and that no flow can have any more.
static void give_back_snats(struct registry *registry)
{
	uint64_t held = 0;
	for (uint32_t i = 0; i < registry->n_backends; i++)
		held |= registry->controls[i].snats_held;
	for (uint32_t i = registry->n_fixed_snats; i < registry->n_snats; i++) {
		if (!(held >> i & 1))
			registry->snats[i] = (struct ip_addr){0};
	}
	while (registry->n_snats > registry->n_fixed_snats &&
	       ip_addr_is_unspecified(&registry->snats[registry->n_snats - 1]))
		registry->n_snats--;
}

// ---- who takes traffic -------------------------------------------------------------------------

static uint16_t weight_of(const struct registry *registry, uint32_t backend)
{
	const struct snapshot_backend *b = &registry->backends[backend];
	int32_t set = registry->controls[backend].weight_set;
	if (b->state != SLOT_ACTIVE || b->admin != ADMIN_READY)
		return 0;
	return set == REGISTRY_WEIGHT_CONFIGURED ? b->config->weight : (uint16_t)set;
}

static void drop_table(struct registry *registry, uint32_t pool)
{
	if (pool >= registry->n_pools)
		return;
	maglev_unref(registry->pools[pool].table);
	registry->pools[pool].table = NULL;
}

void registry_refresh(struct registry *registry, uint32_t backend)
{
	struct snapshot_backend *b = &registry->backends[backend];
	bool is_up =
		b->state != SLOT_FREE && b->state != SLOT_OVER && b->admin != ADMIN_MAINT &&
		(registry->controls[backend].is_healthy || registry_is_panicked(registry, backend));
	uint16_t weight = weight_of(registry, backend);
	bool is_news = b->is_up != is_up || b->weight != weight;
	b->is_up = is_up;
	b->weight = weight;
	b->resets_on_down = b->state == SLOT_OVER ||
			    (b->pool_config && b->pool_config->on_backend_down == ON_DOWN_RESET);
	if (is_news)
		drop_table(registry, b->pool);
}

bool registry_set_known(struct registry *registry, uint32_t backend)
{
	struct snapshot_backend *b = &registry->backends[backend];
	bool was_known = b->is_known;
	b->is_known = true;
	return !was_known;
}

void registry_set_up(struct registry *registry, uint32_t backend, bool is_up)
{
	registry_set_known(registry, backend);
	registry->controls[backend].is_healthy = is_up;
	registry->controls[backend].is_judged = true;
	registry_judge_pool(registry, registry->backends[backend].pool);
	registry_refresh(registry, backend);
}

bool registry_hold_back(struct registry *registry, uint32_t backend, uint8_t tenths)
{
	struct snapshot_backend *b = &registry->backends[backend];
	if (b->held_back == tenths)
		return false;
	b->held_back = tenths;
	drop_table(registry, b->pool);
	return true;
}

bool registry_set_gate(struct registry *registry, uint32_t frontend, enum frontend_gate gate)
{
	struct snapshot_frontend *f = &registry->frontends[frontend];
	if (f->gate == gate)
		return false;
	f->gate = gate;
	return true;
}

bool registry_is_healthy(const struct registry *registry, uint32_t backend)
{
	return registry->controls[backend].is_healthy;
}

// ---- draining ----------------------------------------------------------------------------------

static bool is_time_over(const struct registry *registry, uint64_t removed_ns, uint64_t now_ns)
{
	uint64_t timeout_ms = registry->generation->config->reload.drain_timeout_ms;
	return now_ns - removed_ns >= timeout_ms * UINT64_C(1000000);
}

bool registry_end_drains(struct registry *registry, uint64_t now_ns)
{
	bool is_news = false;
	for (uint32_t i = 0; i < registry->n_frontends; i++) {
		struct snapshot_frontend *frontend = &registry->frontends[i];
		if (frontend->state != SLOT_REMOVED ||
		    !is_time_over(registry, registry->frontends_removed_ns[i], now_ns))
			continue;
		frontend->state = SLOT_OVER;
		snapshot_maps_unref(registry->maps);
		registry->maps = NULL;
		is_news = true;
	}
	for (uint32_t i = 0; i < registry->n_backends; i++) {
		struct snapshot_backend *backend = &registry->backends[i];
		if (backend->state != SLOT_REMOVED ||
		    !is_time_over(registry, registry->controls[i].removed_ns, now_ns))
			continue;
		backend->state = SLOT_OVER;
		registry_refresh(registry, i);
		is_news = true;
	}
	return is_news;
}

void registry_give_back_frontend(struct registry *registry, uint32_t frontend)
{
	config_unref(registry->frontends[frontend].owner);
	registry->frontends[frontend] = (struct snapshot_frontend){
		.pool = (uint16_t)registry->n_pools,
	};
	snapshot_maps_unref(registry->maps);
	registry->maps = NULL;
}

void registry_give_back_backend(struct registry *registry, uint32_t backend)
{
	config_unref(registry->backends[backend].owner);
	endpoint_ids_give_back(&registry->ids, registry->backends[backend].endpoint_id);
	registry->backends[backend] = (struct snapshot_backend){
		.pool = (uint16_t)registry->n_pools,
		.is_known = true, // there is nothing to be known
	};
	registry->controls[backend] = (struct backend_control){
		.weight_set = REGISTRY_WEIGHT_CONFIGURED,
	};
	give_back_snats(registry);
	snapshot_maps_unref(registry->maps);
	registry->maps = NULL;
}

bool registry_is_draining(const struct registry *registry)
{
	for (uint32_t i = 0; i < registry->n_frontends; i++) {
		if (registry->frontends[i].state >= SLOT_REMOVED)
			return true;
	}
	for (uint32_t i = 0; i < registry->n_backends; i++) {
		if (registry->backends[i].state >= SLOT_REMOVED)
			return true;
	}
	return false;
}

// ---- looking -----------------------------------------------------------------------------------

const struct config *registry_config(const struct registry *registry)
{
	return registry->generation->config;
}

uint64_t registry_generation(const struct registry *registry)
{
	return registry->generation->number;
}

uint32_t registry_n_frontends(const struct registry *registry)
{
	return registry->n_frontends;
}

uint32_t registry_n_backends(const struct registry *registry)
{
	return registry->n_backends;
}

uint32_t registry_max_frontends(const struct registry *registry)
{
	return registry->max_frontends;
}

uint32_t registry_max_backends(const struct registry *registry)
{
	return registry->max_backends;
}

uint32_t registry_snats_per_endpoint(const struct registry *registry)
{
	return registry->snats_per_endpoint;
}

const struct snapshot_frontend *registry_frontend(const struct registry *registry,
						  uint32_t frontend)
{
	return &registry->frontends[frontend];
}

const struct snapshot_backend *registry_backend(const struct registry *registry, uint32_t backend)
{
	return &registry->backends[backend];
}

uint32_t registry_n_pools(const struct registry *registry)
{
	return registry->n_pools;
}

const struct snapshot_pool *registry_pool(const struct registry *registry, uint32_t pool)
{
	return &registry->pools[pool];
}
