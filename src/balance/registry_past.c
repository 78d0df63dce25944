// SPDX-License-Identifier: Apache-2.0
// What backends had counted that are gone. A pool is known by its name here, so that its sums go on
// whatever is reloaded.
#include <stdlib.h>
#include <string.h>

#include "balance/registry_private.h"

static struct pool_past *find(const struct registry *registry, const char *pool)
{
	for (size_t i = 0; i < registry->n_pasts; i++) {
		if (strcmp(registry->pasts[i].pool, pool) == 0)
			return &registry->pasts[i];
	}
	return NULL;
}

// NULL when memory is short.
static struct pool_past *add(struct registry *registry, const char *pool)
{
	struct pool_past *grown =
		reallocarray(registry->pasts, registry->n_pasts + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	registry->pasts = grown;
	struct pool_past *past = &grown[registry->n_pasts];
	*past = (struct pool_past){.pool = strdup(pool)};
	if (!past->pool)
		return NULL;
	registry->n_pasts++;
	return past;
}

void registry_add_past(struct registry *registry, uint32_t backend, const struct traffic *counted)
{
	const char *pool = registry->backends[backend].pool_config->name;
	struct pool_past *past = find(registry, pool);
	if (!past)
		past = add(registry, pool);
	if (past)
		traffic_add(&past->traffic, counted);
}

const struct traffic *registry_past(const struct registry *registry, const char *pool)
{
	static const struct traffic nothing;
	const struct pool_past *past = find(registry, pool);
	return past ? &past->traffic : &nothing;
}

void registry_free_pasts(struct registry *registry)
{
	for (size_t i = 0; i < registry->n_pasts; i++)
		free(registry->pasts[i].pool);
	free(registry->pasts);
}
