// SPDX-License-Identifier: Apache-2.0
#include "reload_slots.h"

#include <errno.h>
#include <stdlib.h>

#include "culvert/balance/maglev.h"

// Tables before and after, by pool; each is built when the first frontend asks for it.
struct tables {
	const struct registry *registry;
	const struct config *config;
	const struct registry_match *match;
	uint32_t size;
	struct maglev **before; // owned; by pool of the registry
	struct maglev **after;  // owned; by pool of `config`
};

static struct maglev_backend member_of(const struct snapshot_backend *backend, uint16_t id)
{
	return (struct maglev_backend){
		.endpoint = registry_identity(backend->config),
		.weight = backend->is_up ? backend->weight : 0,
		.id = id,
	};
}

static int build_before(const struct tables *tables, uint32_t number, struct err *err)
{
	const struct snapshot_pool *pool = registry_pool(tables->registry, number);
	struct maglev_backend *members = calloc(pool->n_members + 1, sizeof(*members));
	if (!members)
		return err_set(err, -ENOMEM, "not enough memory to compare Maglev tables");
	for (uint32_t i = 0; i < pool->n_members; i++)
		members[i] = member_of(registry_backend(tables->registry, pool->members[i]),
				       pool->members[i]);
	int code =
		maglev_build(&tables->before[number], members, pool->n_members, tables->size, err);
	free(members);
	return code;
}

// What a backend will count for. One that comes back from draining has its health, not its weight;
// an operator's word stands.
static struct maglev_backend coming(const struct tables *tables, const struct config_pool *pool,
				    uint32_t k, int32_t slot)
{
	const struct config_backend *backend = &pool->backends[k];
	enum admin_state admin;
	int32_t set;
	registry_said(tables->registry, pool->name, backend->name, &admin, &set);
	struct maglev_backend member = {
		.endpoint = registry_identity(backend),
		.weight = backend->weight,
		.id = (uint16_t)(CONFIG_MAX_BACKENDS + k), // nobody's now
	};
	if (set != REGISTRY_WEIGHT_CONFIGURED)
		member.weight = (uint32_t)set;
	if (admin != ADMIN_READY)
		member.weight = 0;
	if (slot == REGISTRY_NEW)
		return member;
	member.id = (uint16_t)slot;
	if (!registry_backend(tables->registry, (uint32_t)slot)->is_up)
		member.weight = 0;
	return member;
}

static int build_after(const struct tables *tables, size_t number, struct err *err)
{
	const struct config_pool *pool = &tables->config->pools[number];
	const int32_t *slots = tables->match->backends;
	for (size_t i = 0; i < number; i++)
		slots += tables->config->pools[i].n_backends;
	struct maglev_backend *members = calloc(pool->n_backends + 1, sizeof(*members));
	if (!members)
		return err_set(err, -ENOMEM, "not enough memory to compare Maglev tables");
	for (size_t k = 0; k < pool->n_backends; k++)
		members[k] = coming(tables, pool, (uint32_t)k, slots[k]);
	int code =
		maglev_build(&tables->after[number], members, pool->n_backends, tables->size, err);
	free(members);
	return code;
}

static uint64_t count_moved(const struct maglev *before, const struct maglev *after)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < before->size; i++)
		n += after->size == 0 || before->slots[i] != after->slots[i];
	return n;
}

static int count_frontend(const struct tables *tables, size_t i, uint64_t *n_moved,
			  uint64_t *n_total, struct err *err)
{
	int32_t slot = tables->match->frontends[i];
	const struct snapshot_frontend *old =
		slot == REGISTRY_NEW ? NULL : registry_frontend(tables->registry, (uint32_t)slot);
	size_t pool = tables->config->frontends[i].pool;
	if (!old || old->state != SLOT_ACTIVE)
		return 0;
	int code = tables->before[old->pool] ? 0 : build_before(tables, old->pool, err);
	if (!code && !tables->after[pool])
		code = build_after(tables, pool, err);
	const struct maglev *before = tables->before[old->pool];
	const struct maglev *after = tables->after[pool];
	if (code || !before || !after)
		return code;
	*n_moved += count_moved(before, after);
	*n_total += before->size;
	return 0;
}

static void free_tables(struct maglev **tables, size_t n)
{
	for (size_t i = 0; tables && i < n; i++)
		maglev_unref(tables[i]);
	free(tables);
}

int reload_count_slots(const struct registry *registry, const struct config *config,
		       const struct registry_match *match, uint64_t *n_moved, uint64_t *n_total,
		       struct err *err)
{
	struct tables tables = {
		.registry = registry,
		.config = config,
		.match = match,
		.size = registry_config(registry)->passthrough.maglev_table_size,
		.before = calloc(registry_n_pools(registry) + 1, sizeof(struct maglev *)),
		.after = calloc(config->n_pools + 1, sizeof(struct maglev *)),
	};
	bool has_memory = tables.before && tables.after;
	int code = 0;
	*n_moved = *n_total = 0;
	if (!has_memory)
		code = err_set(err, -ENOMEM, "not enough memory to compare Maglev tables");
	for (size_t i = 0; has_memory && i < config->n_frontends && !code; i++)
		code = count_frontend(&tables, i, n_moved, n_total, err);
	free_tables(tables.before, registry_n_pools(registry));
	free_tables(tables.after, config->n_pools);
	return code;
}
