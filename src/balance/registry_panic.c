// SPDX-License-Identifier: Apache-2.0
// Panic: of a pool of which too few backends are up all are used. Checks that fail nearly
// everywhere are more often wrong than right, and the few that pass would go down under the load of
// all.
#include <stdio.h>

#include "balance/registry_private.h"
#include "culvert/base/log.h"

enum { TEXT_MAX = 160 };

bool registry_is_panicked(const struct registry *registry, uint32_t backend)
{
	const struct snapshot_backend *b = &registry->backends[backend];
	return b->pool < registry->n_pools && registry->pools[b->pool].is_in_panic &&
	       b->state == SLOT_ACTIVE && b->admin == ADMIN_READY;
}

// Whom nobody has judged yet may well be up: neither a start nor new backends make a panic.
static bool is_due(const struct registry *registry, const struct snapshot_pool *pool,
		   uint32_t *n_well, uint32_t *n)
{
	*n_well = *n = 0;
	for (uint32_t i = 0; i < pool->n_members; i++) {
		const struct snapshot_backend *b = &registry->backends[pool->members[i]];
		const struct backend_control *control = &registry->controls[pool->members[i]];
		if (b->state != SLOT_ACTIVE || b->admin != ADMIN_READY)
			continue;
		++*n;
		*n_well += control->is_healthy || !control->is_judged;
	}
	return (uint64_t)*n_well * 100 < (uint64_t)pool->config->panic_threshold * *n;
}

void registry_watch_panics(struct registry *registry, registry_panic_fn on_panic, void *arg)
{
	registry->on_panic = on_panic;
	registry->on_panic_arg = arg;
}

static void tell(const struct registry *registry, const struct snapshot_pool *pool, uint32_t n_well,
		 uint32_t n)
{
	char text[TEXT_MAX];
	const char *name = pool->config->name;
	if (pool->is_in_panic)
		snprintf(text, sizeof(text),
			 "panics: %u of %u backends up are fewer than %u%%, so all are used "
			 "(panic_threshold)",
			 n_well, n, pool->config->panic_threshold);
	else
		snprintf(text, sizeof(text), "panics no more: %u of %u backends are up", n_well, n);
	log_event(pool->is_in_panic ? LOG_WARN : LOG_INFO, "health", NULL, "pool %s %s", name,
		  text);
	if (registry->on_panic)
		registry->on_panic(registry->on_panic_arg, name, pool->is_in_panic, text);
}

bool registry_judge_pool(struct registry *registry, uint32_t pool)
{
	uint32_t n_well;
	uint32_t n;
	if (pool >= registry->n_pools)
		return false;
	struct snapshot_pool *p = &registry->pools[pool];
	bool is_in_panic = is_due(registry, p, &n_well, &n);
	if (p->is_in_panic == is_in_panic)
		return false;
	p->is_in_panic = is_in_panic;
	tell(registry, p, n_well, n);
	for (uint32_t i = 0; i < p->n_members; i++)
		registry_refresh(registry, p->members[i]);
	return true;
}

bool registry_set_judged(struct registry *registry, uint32_t backend)
{
	struct backend_control *control = &registry->controls[backend];
	if (control->is_judged)
		return false;
	control->is_judged = true;
	return registry_judge_pool(registry, registry->backends[backend].pool);
}

bool registry_is_judged(const struct registry *registry, uint32_t backend)
{
	return registry->controls[backend].is_judged;
}
