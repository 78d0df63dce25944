// SPDX-License-Identifier: Apache-2.0
// One configuration takes the place of another. Everything that can fail comes first: who is who,
// room for what is new, the new generation. Then the slots follow, and nothing can fail any more.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "balance/registry_private.h"

// ---- who is who --------------------------------------------------------------------------------

static uint32_t hash_names(const char *pool, const char *server)
{
	uint64_t seed = XXH3_64bits(pool, strlen(pool));
	return (uint32_t)XXH3_64bits_withSeed(server, strlen(server), seed);
}

static bool is_same_backend(const struct snapshot_backend *known, const char *pool,
			    const struct config_backend *backend)
{
	const char *path = known->config->unix_path;
	bool is_same_path = path && backend->unix_path ? strcmp(path, backend->unix_path) == 0
						       : path == backend->unix_path;
	return is_same_path && endpoint_equal(&known->endpoint, &backend->endpoint) &&
	       strcmp(known->config->name, backend->name) == 0 &&
	       strcmp(known->pool_config->name, pool) == 0;
}

// Slots by the names of pool and backend, counted from 1.
static int index_backends(const struct registry *registry, struct index_map *index, struct err *err)
{
	int code = index_map_init(index, registry->n_backends + 1, err);
	for (uint32_t i = 0; !code && i < registry->n_backends; i++) {
		const struct snapshot_backend *known = &registry->backends[i];
		if (known->config)
			index_map_insert(index,
					 hash_names(known->pool_config->name, known->config->name),
					 i + 1);
	}
	return code;
}

static int32_t find_backend(const struct registry *registry, const struct index_map *index,
			    const char *pool, const struct config_backend *backend)
{
	struct index_map_cursor cursor;
	for (uint32_t i = index_map_first(index, hash_names(pool, backend->name), &cursor); i;
	     i = index_map_next(index, &cursor)) {
		if (is_same_backend(&registry->backends[i - 1], pool, backend))
			return (int32_t)(i - 1);
	}
	return REGISTRY_NEW;
}

static int match_backends(const struct registry *registry, const struct config *config,
			  int32_t *slots, struct err *err)
{
	struct index_map index;
	int code = index_backends(registry, &index, err);
	if (code)
		return code;
	for (size_t i = 0; i < config->n_pools; i++) {
		const struct config_pool *pool = &config->pools[i];
		for (size_t k = 0; k < pool->n_backends; k++)
			*slots++ = find_backend(registry, &index, pool->name, &pool->backends[k]);
	}
	index_map_fini(&index);
	return 0;
}

static int match_frontends(const struct registry *registry, const struct config *config,
			   int32_t *slots, struct err *err)
{
	struct endpoint_map known;
	int code = endpoint_map_init(&known, registry->n_frontends, registry->secret, err);
	if (code)
		return code;
	for (uint32_t i = 0; i < registry->n_frontends; i++) {
		if (registry->frontends[i].config)
			endpoint_map_add(&known, &registry->frontends[i].endpoint, i);
	}
	for (size_t i = 0; i < config->n_frontends; i++)
		slots[i] = endpoint_map_find(&known, &config->frontends[i].endpoint);
	endpoint_map_fini(&known);
	return 0;
}

int registry_match(const struct registry *registry, const struct config *config,
		   struct registry_match *match, struct err *err)
{
	_Static_assert((int)REGISTRY_NEW == (int)ENDPOINT_UNKNOWN, "unknown endpoints are new");
	struct registry_match made = {
		.frontends = calloc(config->n_frontends + 1, sizeof(*made.frontends)),
		.backends = calloc(config_n_backends(config) + 1, sizeof(*made.backends)),
	};
	if (!made.frontends || !made.backends) {
		registry_match_fini(&made);
		err_set(err, -ENOMEM, "not enough memory to compare configurations");
		return -ENOMEM;
	}
	int code = match_frontends(registry, config, made.frontends, err);
	if (!code)
		code = match_backends(registry, config, made.backends, err);
	if (code)
		registry_match_fini(&made);
	else
		*match = made;
	return code;
}

void registry_match_fini(struct registry_match *match)
{
	free(match->frontends);
	free(match->backends);
	*match = (struct registry_match){0};
}

// ---- room --------------------------------------------------------------------------------------

// All that the new configuration needs.
struct takeover {
	struct config *config; // borrowed
	uint64_t now_ns;
	uint32_t *frontend_slots; // owned; by index
	uint32_t *backend_slots;  // owned; by running number
	uint32_t n_frontends;     // slots ever used, the new ones included
	uint32_t n_backends;
	struct snapshot_pool *pools;     // owned, until it is the registry's
	struct generation *generation;   // likewise
	struct snapshot_pool *old_pools; // the registry's until now
	uint32_t n_old_pools;
	uint16_t *old_weights; // owned; by slot: what backends counted for before
};

static void takeover_fini(struct takeover *takeover)
{
	free(takeover->frontend_slots);
	free(takeover->backend_slots);
	free(takeover->old_weights);
	free(takeover->pools);
	generation_unref(takeover->generation);
}

static bool is_frontend_free(const struct registry *registry, uint32_t slot)
{
	return !registry->frontends[slot].config;
}

static bool is_backend_free(const struct registry *registry, uint32_t slot)
{
	return !registry->backends[slot].config;
}

// Give those that are new free slots below `max`, the lowest first. Returns how many slots have
// been used then, or -ENOSPC.
static long assign(const struct registry *registry, const int32_t *known, size_t n, uint32_t *slots,
		   uint32_t max, bool (*is_free)(const struct registry *, uint32_t))
{
	uint32_t next = 0;
	long end = 0;
	for (size_t i = 0; i < n; i++) {
		if (known[i] == REGISTRY_NEW) {
			while (next < max && !is_free(registry, next))
				next++;
			if (next == max)
				return -ENOSPC;
			slots[i] = next++;
		} else {
			slots[i] = (uint32_t)known[i];
		}
		end = slots[i] + 1L > end ? slots[i] + 1L : end;
	}
	return end;
}

static int refuse(const char *what, uint32_t max, struct err *err)
{
	return err_set(err, -ENOSPC,
		       "there is room for %u %ss, those that drain included; wait until some have "
		       "drained, or raise [reload] max_%ss and start culvert again",
		       max, what, what);
}

static int assign_slots(const struct registry *registry, const struct registry_match *match,
			struct takeover *takeover, struct err *err)
{
	const struct config *config = takeover->config;
	size_t n_backends = config_n_backends(config);
	takeover->frontend_slots =
		calloc(config->n_frontends + 1, sizeof(*takeover->frontend_slots));
	takeover->backend_slots = calloc(n_backends + 1, sizeof(*takeover->backend_slots));
	if (!takeover->frontend_slots || !takeover->backend_slots)
		return err_set(err, -ENOMEM, "not enough memory for a configuration");
	long end_of_frontends =
		assign(registry, match->frontends, config->n_frontends, takeover->frontend_slots,
		       registry->max_frontends, is_frontend_free);
	if (end_of_frontends < 0)
		return refuse("frontend", registry->max_frontends, err);
	long end_of_backends =
		assign(registry, match->backends, n_backends, takeover->backend_slots,
		       registry->max_backends, is_backend_free);
	if (end_of_backends < 0)
		return refuse("backend", registry->max_backends, err);
	takeover->n_frontends = registry->n_frontends > (uint32_t)end_of_frontends
					? registry->n_frontends
					: (uint32_t)end_of_frontends;
	takeover->n_backends = registry->n_backends > (uint32_t)end_of_backends
				       ? registry->n_backends
				       : (uint32_t)end_of_backends;
	return 0;
}

static int make_generation(const struct registry *registry, struct takeover *takeover,
			   struct err *err)
{
	uint64_t number = registry->generation ? registry->generation->number + 1 : 1;
	struct generation_params params = {
		.config = takeover->config,
		.number = number,
		.frontend_slots = takeover->frontend_slots,
		.backend_slots = takeover->backend_slots,
		.n_frontends = takeover->n_frontends,
		.n_threads = registry->n_threads,
		.seed = XXH3_64bits_withSeed(&number, sizeof(number), registry->secret),
	};
	takeover->pools = calloc(takeover->config->n_pools + 1, sizeof(*takeover->pools));
	takeover->old_weights = calloc(takeover->n_backends + 1, sizeof(*takeover->old_weights));
	if (!takeover->pools || !takeover->old_weights) {
		err_set(err, -ENOMEM, "not enough memory for the list of pools");
		return -ENOMEM;
	}
	return generation_create(&takeover->generation, &params, err);
}

static int prepare(const struct registry *registry, struct takeover *takeover, struct err *err)
{
	struct registry_match match;
	int code = registry_match(registry, takeover->config, &match, err);
	if (code)
		return code;
	code = assign_slots(registry, &match, takeover, err);
	registry_match_fini(&match);
	return code ? code : make_generation(registry, takeover, err);
}

int registry_check_room(const struct registry *registry, struct config *config, struct err *err)
{
	struct takeover takeover = {.config = config};
	struct registry_match match;
	int code = registry_match(registry, config, &match, err);
	if (code)
		return code;
	code = assign_slots(registry, &match, &takeover, err);
	registry_match_fini(&match);
	takeover_fini(&takeover);
	return code;
}

// ---- taking over -------------------------------------------------------------------------------

static void own(struct config **owner, struct config *config)
{
	config_ref(config);
	config_unref(*owner);
	*owner = config;
}

static void take_frontend(struct registry *registry, const struct takeover *takeover, size_t i)
{
	const struct config_frontend *from = &takeover->config->frontends[i];
	struct snapshot_frontend *frontend = &registry->frontends[takeover->frontend_slots[i]];
	own(&frontend->owner, takeover->config);
	frontend->config = from;
	frontend->state = SLOT_ACTIVE;
	frontend->endpoint = from->endpoint;
	frontend->pool = (uint16_t)from->pool;
	frontend->hash = from->hash;
	frontend->scheduler = from->scheduler;
}

// What is known of it is that it is not up: the tables that there were are right without it.
static void begin_backend(struct registry *registry, uint32_t slot,
			  const struct config_backend *from)
{
	registry->backends[slot] = (struct snapshot_backend){
		.endpoint = from->endpoint,
		.endpoint_id = endpoint_ids_take(&registry->ids, &from->endpoint),
		.is_known = true,
	};
	registry->controls[slot] = (struct backend_control){
		.weight_set = REGISTRY_WEIGHT_CONFIGURED,
	};
}

static void take_backend(struct registry *registry, const struct takeover *takeover, uint32_t slot,
			 size_t pool, const struct config_backend *from)
{
	struct snapshot_backend *backend = &registry->backends[slot];
	bool is_new = !backend->config;
	if (is_new)
		begin_backend(registry, slot, from);
	own(&backend->owner, takeover->config);
	backend->config = from;
	backend->pool_config = &takeover->config->pools[pool];
	backend->state = SLOT_ACTIVE;
	backend->pool = (uint16_t)pool;
	const struct admin_note *note = is_new ? registry_find_note(registry, slot) : NULL;
	if (!note)
		return;
	backend->admin = note->admin;
	registry->controls[slot].weight_set = note->weight;
}

static void take_pool(struct registry *registry, struct takeover *takeover, size_t i,
		      const uint32_t *slots, const uint16_t *members)
{
	const struct config_pool *from = &takeover->config->pools[i];
	takeover->pools[i] = (struct snapshot_pool){
		.config = from,
		.members = members,
		.n_members = (uint32_t)from->n_backends,
	};
	for (size_t k = 0; k < from->n_backends; k++)
		take_backend(registry, takeover, slots[k], i, &from->backends[k]);
}

// What the new configuration does not have is removed; it is not in the pool that it was in, whose
// number is another's.
static void remove_all(struct registry *registry, const struct takeover *takeover)
{
	uint16_t nobody = (uint16_t)takeover->config->n_pools;
	for (uint32_t i = 0; i < registry->n_frontends; i++) {
		struct snapshot_frontend *frontend = &registry->frontends[i];
		frontend->pool = nobody;
		if (frontend->state != SLOT_ACTIVE)
			continue;
		frontend->state = SLOT_REMOVED;
		registry->frontends_removed_ns[i] = takeover->now_ns;
	}
	for (uint32_t i = 0; i < registry->n_backends; i++) {
		struct snapshot_backend *backend = &registry->backends[i];
		backend->pool = nobody;
		if (backend->state != SLOT_ACTIVE)
			continue;
		backend->state = SLOT_REMOVED;
		registry->controls[i].removed_ns = takeover->now_ns;
	}
}

// ---- tables ------------------------------------------------------------------------------------

static const struct snapshot_pool no_pool;

// Both lists mostly have the same order: the search begins behind the last hit.
static const struct snapshot_pool *find_pool(const struct takeover *takeover, const char *name,
					     uint32_t *hint)
{
	for (uint32_t i = 0; i < takeover->n_old_pools; i++) {
		uint32_t at = (*hint + i) % takeover->n_old_pools;
		const struct snapshot_pool *pool = &takeover->old_pools[at];
		if (strcmp(pool->config->name, name) != 0)
			continue;
		*hint = at + 1;
		return pool;
	}
	return &no_pool;
}

// The table serves on if the same backends count for the same.
static struct maglev *take_table(const struct registry *registry, const struct takeover *takeover,
				 const struct snapshot_pool *old, const struct snapshot_pool *pool)
{
	bool is_same = old->table && old->n_members == pool->n_members;
	for (uint32_t i = 0; is_same && i < pool->n_members; i++) {
		uint16_t slot = pool->members[i];
		const struct snapshot_backend *backend = &registry->backends[slot];
		is_same = old->members[i] == slot &&
			  takeover->old_weights[slot] == snapshot_share(backend);
	}
	return is_same ? maglev_ref(old->table) : NULL;
}

// A panic goes on, unless the configuration ends it.
static void take_panics(struct registry *registry, const struct takeover *takeover)
{
	uint32_t hint = 0;
	for (uint32_t i = 0; i < registry->n_pools; i++) {
		struct snapshot_pool *pool = &registry->pools[i];
		pool->is_in_panic = find_pool(takeover, pool->config->name, &hint)->is_in_panic;
		registry_judge_pool(registry, i);
	}
}

static void take_tables(struct registry *registry, const struct takeover *takeover)
{
	uint32_t hint = 0;
	for (uint32_t i = 0; i < registry->n_pools; i++) {
		struct snapshot_pool *pool = &registry->pools[i];
		const struct snapshot_pool *old = find_pool(takeover, pool->config->name, &hint);
		pool->table = take_table(registry, takeover, old, pool);
	}
}

// ---- all of it ---------------------------------------------------------------------------------

static void note_old(const struct registry *registry, struct takeover *takeover)
{
	takeover->old_pools = registry->pools;
	takeover->n_old_pools = registry->n_pools;
	for (uint32_t i = 0; i < registry->n_backends; i++)
		takeover->old_weights[i] = snapshot_share(&registry->backends[i]);
}

static void commit(struct registry *registry, struct takeover *takeover)
{
	const struct config *config = takeover->config;
	const uint32_t *slots = takeover->backend_slots;
	const uint16_t *members = takeover->generation->members;
	note_old(registry, takeover);
	registry->n_frontends = takeover->n_frontends;
	registry->n_backends = takeover->n_backends;
	registry->n_pools = (uint32_t)config->n_pools;
	registry->pools = takeover->pools;
	remove_all(registry, takeover);
	for (size_t i = 0; i < config->n_frontends; i++)
		take_frontend(registry, takeover, i);
	for (size_t i = 0; i < config->n_pools; i++) {
		take_pool(registry, takeover, i, slots, members);
		slots += config->pools[i].n_backends;
		members += config->pools[i].n_backends;
	}
	take_panics(registry, takeover);
	for (uint32_t i = 0; i < registry->n_backends; i++)
		registry_refresh(registry, i);
	take_tables(registry, takeover);
}

// What the registry has no more use for becomes the takeover's, and goes with it.
static void hand_over(struct registry *registry, struct takeover *takeover)
{
	struct generation *old = registry->generation;
	for (uint32_t i = 0; takeover->old_pools && i <= takeover->n_old_pools; i++)
		maglev_unref(takeover->old_pools[i].table);
	takeover->pools = takeover->old_pools;
	registry->generation = takeover->generation;
	takeover->generation = old;
	snapshot_maps_unref(registry->maps);
	registry->maps = NULL;
}

int registry_apply(struct registry *registry, struct config *config, uint64_t now_ns,
		   struct err *err)
{
	struct takeover takeover = {.config = config, .now_ns = now_ns};
	int code = prepare(registry, &takeover, err);
	if (!code) {
		commit(registry, &takeover);
		hand_over(registry, &takeover);
	}
	takeover_fini(&takeover);
	return code;
}
