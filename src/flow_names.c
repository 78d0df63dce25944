// SPDX-License-Identifier: Apache-2.0
#include "flow_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int replace(char **text, const char *with)
{
	if (*text && strcmp(*text, with) == 0)
		return 0;
	char *copy = strdup(with);
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

static int set(struct flow_name *entry, const char *name, const char *pool)
{
	int code = replace(&entry->name, name);
	return code ? code : replace(&entry->pool, pool);
}

// There are never fewer than before.
static int grow(struct flow_name **list, uint32_t *count, uint32_t wanted)
{
	if (wanted <= *count)
		return 0;
	struct flow_name *grown = reallocarray(*list, wanted, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + *count, 0, (wanted - *count) * sizeof(*grown));
	*list = grown;
	*count = wanted;
	return 0;
}

int flow_names_update(struct flow_names *names, const struct registry *registry)
{
	int code = grow(&names->frontends, &names->n_frontends, registry_n_frontends(registry));
	if (!code)
		code = grow(&names->backends, &names->n_backends, registry_n_backends(registry));
	if (code)
		return code;
	for (uint32_t i = 0; i < registry_n_frontends(registry); i++) {
		const struct snapshot_frontend *slot = registry_frontend(registry, i);
		if (slot->config)
			code |= set(&names->frontends[i], slot->config->name,
				    slot->owner->pools[slot->config->pool].name);
	}
	for (uint32_t i = 0; i < registry_n_backends(registry); i++) {
		const struct snapshot_backend *slot = registry_backend(registry, i);
		if (slot->config)
			code |= set(&names->backends[i], slot->config->name,
				    slot->pool_config->name);
	}
	return code ? -ENOMEM : 0;
}

static void free_list(struct flow_name *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		free(list[i].name);
		free(list[i].pool);
	}
	free(list);
}

void flow_names_fini(struct flow_names *names)
{
	free_list(names->frontends, names->n_frontends);
	free_list(names->backends, names->n_backends);
	*names = (struct flow_names){0};
}
