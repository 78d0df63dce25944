// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/generation.h"

#include <errno.h>
#include <stdlib.h>

// What the scheduler of each slot is to be; a slot that the configuration does not have keeps the
// kind that needs no members.
struct scheduler_plan {
	enum scheduler_kind kind;
	uint32_t n_members;
};

static struct scheduler_plan *plan_schedulers(const struct generation_params *params)
{
	const struct config *config = params->config;
	struct scheduler_plan *plans = calloc(params->n_frontends + 1, sizeof(*plans));
	for (size_t i = 0; plans && i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		plans[params->frontend_slots[i]] = (struct scheduler_plan){
			.kind = frontend->scheduler,
			.n_members = (uint32_t)config->pools[frontend->pool].n_backends,
		};
	}
	return plans;
}

static int create_schedulers(struct generation *generation, const struct generation_params *params,
			     struct err *err)
{
	struct scheduler_plan *plans = plan_schedulers(params);
	uint32_t n = params->n_threads * params->n_frontends;
	int code = 0;
	if (!plans)
		return err_set(err, -ENOMEM, "not enough memory for schedulers");
	for (uint32_t i = 0; !code && i < n; i++) {
		const struct scheduler_plan *plan = &plans[i % params->n_frontends];
		code = scheduler_create(&generation->schedulers[i], plan->kind, plan->n_members,
					params->seed + i, err);
		generation->n_schedulers += !code;
	}
	free(plans);
	return code;
}

int generation_create(struct generation **generation, const struct generation_params *params,
		      struct err *err)
{
	size_t n_schedulers = (size_t)params->n_threads * params->n_frontends;
	uint32_t n_members = config_n_backends(params->config);
	struct generation *made =
		calloc(1, sizeof(*made) + n_schedulers * sizeof(struct scheduler *));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for a configuration");
	made->number = params->number;
	made->n_frontends = params->n_frontends;
	made->config = config_ref(params->config);
	made->members = calloc(n_members + 1, sizeof(*made->members));
	if (!made->members) {
		generation_unref(made);
		return err_set(err, -ENOMEM, "not enough memory for lists of backends");
	}
	int code = create_schedulers(made, params, err);
	if (code) {
		generation_unref(made);
		return code;
	}
	for (uint32_t i = 0; i < n_members; i++)
		made->members[i] = (uint16_t)params->backend_slots[i];
	*generation = made;
	return 0;
}

struct generation *generation_ref(struct generation *generation)
{
	generation->n_refs++;
	return generation;
}

void generation_unref(struct generation *generation)
{
	if (!generation || generation->n_refs-- > 0)
		return;
	for (uint32_t i = 0; i < generation->n_schedulers; i++)
		scheduler_destroy(generation->schedulers[i]);
	free(generation->members);
	config_unref(generation->config);
	free(generation);
}
