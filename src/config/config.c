// SPDX-License-Identifier: Apache-2.0
#include "culvert/config/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	V4_MULTICAST = 224, // first byte of addresses that are no host's, and all above
	ROOM_MIN = 256,     // backends, or frontends
	ROOM_FACTOR = 4,    // times those of the file
};

static const char *const mode_names[] = {
	[MODE_PROXY] = "proxy",
	[MODE_PASSTHROUGH] = "passthrough",
	[MODE_DSR] = "dsr",
};

static void check_fini(struct config_check *check)
{
	free(check->path);
	free(check->host);
	free(check->status);
	free(check->body);
	free(check->send.bytes);
	free(check->expect.bytes);
}

static void pool_fini(struct config_pool *pool)
{
	for (size_t i = 0; i < pool->n_backends; i++) {
		free(pool->backends[i].name);
		free(pool->backends[i].unix_path);
	}
	check_fini(&pool->check);
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
	free(config->dsr.check_sources);
	free(config->stats_token);
	free(config->stats_token_file);
	free(config->api_socket);
	free(config->flow_log.path);
	free(config->service_user);
	free(config->path);
	free(config);
}

struct config *config_ref(struct config *config)
{
	config->n_refs++;
	return config;
}

void config_unref(struct config *config)
{
	if (config && config->n_refs-- == 0)
		config_destroy(config);
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

uint32_t config_n_backends(const struct config *config)
{
	size_t n = 0;
	for (size_t i = 0; i < config->n_pools; i++)
		n += config->pools[i].n_backends;
	return (uint32_t)n;
}

// Without a word of the file: as many as it has several times over, since those that go need their
// places while they drain.
static uint32_t room_for(uint32_t configured, uint32_t n, uint32_t most)
{
	if (configured)
		return configured > n ? configured : n;
	uint32_t room = n * ROOM_FACTOR > ROOM_MIN ? n * ROOM_FACTOR : ROOM_MIN;
	return room < most ? room : most;
}

uint32_t config_max_backends(const struct config *config)
{
	return room_for(config->reload.max_backends, config_n_backends(config),
			CONFIG_MAX_BACKENDS);
}

uint32_t config_max_frontends(const struct config *config)
{
	return room_for(config->reload.max_frontends, (uint32_t)config->n_frontends,
			CONFIG_MAX_FRONTENDS);
}

const char *config_backend_format(const struct config_backend *backend, char *text)
{
	if (!backend->unix_path)
		return endpoint_format(&backend->endpoint, text);
	snprintf(text, CONFIG_BACKEND_TEXT_MAX, "unix:%s", backend->unix_path);
	return text;
}

const char *config_backend_label(const struct config_pool *pool,
				 const struct config_backend *backend, char *text)
{
	char addr[CONFIG_BACKEND_TEXT_MAX];
	snprintf(text, CONFIG_BACKEND_LABEL_MAX, "%s/%s (%s)", pool->name, backend->name,
		 config_backend_format(backend, addr));
	return text;
}

uint16_t config_check_port(const struct config_pool *pool, const struct config_backend *backend)
{
	if (backend->unix_path)
		return 0;
	if (backend->check_port)
		return backend->check_port;
	return pool->check.port ? pool->check.port : ntohs(backend->endpoint.port_be);
}

bool config_check_takes_status(const struct config_check *check, unsigned status)
{
	for (size_t i = 0; i < check->n_status; i++) {
		if (status >= check->status[i].first && status <= check->status[i].last)
			return true;
	}
	return check->n_status == 0 && status >= 200 && status <= 399;
}

const struct ip_addr *config_check_source(const struct config *config, bool is_v4)
{
	for (size_t i = 0; i < config->dsr.n_check_sources; i++) {
		if (ip_addr_is_v4(&config->dsr.check_sources[i]) == is_v4)
			return &config->dsr.check_sources[i];
	}
	return NULL;
}

bool config_is_client_addr(const struct ip_addr *addr)
{
	static const struct ip_addr v6_loopback = {{[15] = 1}};
	const uint8_t *bytes = addr->bytes;
	if (ip_addr_is_v4(addr))
		return bytes[12] != 0 && bytes[12] != 127 && bytes[12] < V4_MULTICAST;
	return bytes[0] != 0xff && !ip_addr_is_link_local(addr) && !ip_addr_is_unspecified(addr) &&
	       !ip_addr_equal(addr, &v6_loopback);
}

const char *config_scheduler_name(enum scheduler_kind scheduler)
{
	static const char *const names[] = {
		[SCHEDULER_MAGLEV] = "maglev",
		[SCHEDULER_ROUND_ROBIN] = "round-robin",
		[SCHEDULER_WEIGHTED_ROUND_ROBIN] = "weighted-round-robin",
		[SCHEDULER_LEAST_CONNECTIONS] = "least-connections",
		[SCHEDULER_RANDOM_TWO] = "random",
	};
	return names[scheduler];
}

const char *mode_name(enum mode mode)
{
	return mode_names[mode];
}
