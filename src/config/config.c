// SPDX-License-Identifier: Apache-2.0
#include "culvert/config/config.h"

#include <stdlib.h>

static const char *const mode_names[] = {
	[MODE_PROXY] = "proxy",
	[MODE_PASSTHROUGH] = "passthrough",
	[MODE_DSR] = "dsr",
};

static void pool_fini(struct config_pool *pool)
{
	for (size_t i = 0; i < pool->n_backends; i++)
		free(pool->backends[i].name);
	free(pool->backends);
	free(pool->name);
}

static void passthrough_fini(struct config_passthrough *passthrough)
{
	for (size_t i = 0; i < passthrough->n_interfaces; i++)
		free(passthrough->interfaces[i]);
	free(passthrough->interfaces);
	free(passthrough->snat_addrs);
}

void config_destroy(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->n_frontends; i++)
		free(config->frontends[i].name);
	free(config->frontends);
	for (size_t i = 0; i < config->n_pools; i++)
		pool_fini(&config->pools[i]);
	free(config->pools);
	passthrough_fini(&config->passthrough);
	free(config->path);
	free(config);
}

void config_errors_fini(struct config_errors *errors)
{
	free(errors->list);
	*errors = (struct config_errors){0};
}

const char *mode_name(enum mode mode)
{
	return mode_names[mode];
}
