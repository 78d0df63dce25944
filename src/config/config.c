// SPDX-License-Identifier: Apache-2.0
#include "culvert/config/config.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const mode_names[] = {
	[MODE_PROXY] = "proxy",
	[MODE_PASSTHROUGH] = "passthrough",
	[MODE_DSR] = "dsr",
};

static void pool_fini(struct config_pool *pool)
{
	for (size_t i = 0; i < pool->n_backends; i++) {
		free(pool->backends[i].name);
		free(pool->backends[i].unix_path);
	}
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
	for (size_t i = 0; i < config->n_frontends; i++) {
		free(config->frontends[i].name);
		free(config->frontends[i].accept_proxy);
	}
	free(config->frontends);
	for (size_t i = 0; i < config->n_pools; i++)
		pool_fini(&config->pools[i]);
	free(config->pools);
	passthrough_fini(&config->passthrough);
	free(config->proxy.source_addrs);
	free(config->path);
	free(config);
}

void config_errors_fini(struct config_errors *errors)
{
	free(errors->list);
	*errors = (struct config_errors){0};
}

const struct config_backend *config_backend(const struct config *config, size_t number)
{
	const struct config_pool *pool = config->pools;
	while (number >= pool->n_backends)
		number -= pool++->n_backends;
	return &pool->backends[number];
}

const char *config_backend_format(const struct config_backend *backend, char *text)
{
	if (!backend->unix_path)
		return endpoint_format(&backend->endpoint, text);
	snprintf(text, CONFIG_BACKEND_TEXT_MAX, "unix:%s", backend->unix_path);
	return text;
}

const char *mode_name(enum mode mode)
{
	return mode_names[mode];
}
