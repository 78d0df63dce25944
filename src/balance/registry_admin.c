// SPDX-License-Identifier: Apache-2.0
// What operators say of backends at run time. It is said of a name, not of a slot: a backend that
// gets another address, or is taken out and put back, is still the one that was to be left alone.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "balance/registry_private.h"

static struct admin_note *find_by_name(const struct registry *registry, const char *pool,
				       const char *server)
{
	for (size_t i = 0; i < registry->n_notes; i++) {
		struct admin_note *note = &registry->notes[i];
		if (strcmp(note->server, server) == 0 && strcmp(note->pool, pool) == 0)
			return note;
	}
	return NULL;
}

static struct admin_note *find(const struct registry *registry, uint32_t backend)
{
	const struct snapshot_backend *b = &registry->backends[backend];
	return find_by_name(registry, b->pool_config->name, b->config->name);
}

const struct admin_note *registry_find_note(const struct registry *registry, uint32_t backend)
{
	return find(registry, backend);
}

// NULL when memory is short.
static struct admin_note *add(struct registry *registry, uint32_t backend)
{
	const struct snapshot_backend *b = &registry->backends[backend];
	struct admin_note *grown =
		reallocarray(registry->notes, registry->n_notes + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	registry->notes = grown;
	struct admin_note *note = &grown[registry->n_notes];
	*note = (struct admin_note){
		.pool = strdup(b->pool_config->name),
		.server = strdup(b->config->name),
		.weight = REGISTRY_WEIGHT_CONFIGURED,
	};
	if (note->pool && note->server) {
		registry->n_notes++;
		return note;
	}
	free(note->pool);
	free(note->server);
	return NULL;
}

static struct admin_note *note_of(struct registry *registry, uint32_t backend)
{
	struct admin_note *note = find(registry, backend);
	return note ? note : add(registry, backend);
}

// All slots of the name follow, those too that an address of before has left behind.
static void follow(struct registry *registry, const struct admin_note *note)
{
	for (uint32_t i = 0; i < registry->n_backends; i++) {
		if (!registry->backends[i].config || find(registry, i) != note)
			continue;
		registry->backends[i].admin = note->admin;
		registry->controls[i].weight_set = note->weight;
		registry_judge_pool(registry, registry->backends[i].pool);
		registry_refresh(registry, i);
	}
}

int registry_set_admin(struct registry *registry, uint32_t backend, enum admin_state admin)
{
	struct admin_note *note = note_of(registry, backend);
	if (!note)
		return -ENOMEM;
	note->admin = admin;
	follow(registry, note);
	return 0;
}

int registry_set_weight(struct registry *registry, uint32_t backend, int32_t weight)
{
	struct admin_note *note = note_of(registry, backend);
	if (!note)
		return -ENOMEM;
	note->weight = weight;
	follow(registry, note);
	return 0;
}

void registry_said(const struct registry *registry, const char *pool, const char *server,
		   enum admin_state *admin, int32_t *weight)
{
	const struct admin_note *note = find_by_name(registry, pool, server);
	*admin = note ? note->admin : ADMIN_READY;
	*weight = note ? note->weight : REGISTRY_WEIGHT_CONFIGURED;
}

int32_t registry_weight_set(const struct registry *registry, uint32_t backend)
{
	return registry->controls[backend].weight_set;
}

void registry_free_notes(struct registry *registry)
{
	for (size_t i = 0; i < registry->n_notes; i++) {
		free(registry->notes[i].pool);
		free(registry->notes[i].server);
	}
	free(registry->notes);
}
