// SPDX-License-Identifier: Apache-2.0
// What the command line says in place of the file: taken down word by word, and laid over each
// configuration that is loaded.
// Runs on: the control thread.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/config/config.h"

// ---- taking down -------------------------------------------------------------------------------

const char *config_overrides_set_mode(struct config_overrides *overrides, enum mode mode)
{
	if (overrides->has_mode && overrides->mode != mode)
		return "give one of --proxy, --passthrough and --dsr";
	overrides->has_mode = true;
	overrides->mode = mode;
	return NULL;
}

const char *config_overrides_set_check_source(struct config_overrides *overrides, const char *text)
{
	struct ip_addr addr;
	if (!ip_addr_parse(text, &addr))
		return "--check-source takes an address";
	if (!config_is_client_addr(&addr))
		return "--check-source takes an address that a client can have, of a network that "
		       "this host is in, and that no host has";
	overrides->check_sources[ip_addr_is_v4(&addr)] = addr;
	return NULL;
}

// ---- laying over -------------------------------------------------------------------------------

static int set_user(struct config *config, const char *user)
{
	char *copy = strdup(user);
	if (!copy)
		return -ENOMEM;
	free(config->service_user);
	config->service_user = copy;
	return 0;
}

// In place of that of the same family.
static int set_check_source(struct config *config, const struct ip_addr *addr)
{
	struct config_dsr *dsr = &config->dsr;
	for (size_t i = 0; i < dsr->n_check_sources; i++) {
		if (ip_addr_is_v4(&dsr->check_sources[i]) == ip_addr_is_v4(addr)) {
			dsr->check_sources[i] = *addr;
			return 0;
		}
	}
	struct ip_addr *grown =
		reallocarray(dsr->check_sources, dsr->n_check_sources + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	dsr->check_sources = grown;
	grown[dsr->n_check_sources++] = *addr;
	return 0;
}

int config_override(struct config *config, const struct config_overrides *overrides)
{
	int code = overrides->user ? set_user(config, overrides->user) : 0;
	config->overrides = *overrides;
	if (overrides->has_mode)
		config->mode = overrides->mode;
	if (overrides->has_log_level)
		config->log_level = overrides->log_level;
	for (size_t i = 0; i < CONFIG_MAX_CHECK_SOURCES && !code; i++) {
		if (!ip_addr_is_unspecified(&overrides->check_sources[i]))
			code = set_check_source(config, &overrides->check_sources[i]);
	}
	return code;
}
