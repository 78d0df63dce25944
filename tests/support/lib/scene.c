// SPDX-License-Identifier: Apache-2.0
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

static const struct config_timeouts default_timeouts = {
	.tcp_syn = 120,
	.tcp_handshake = 60,
	.tcp_established = 7440,
	.tcp_closing = 240,
	.tcp_time_wait = 120,
	.tcp_reset = 10,
	.udp_unreplied = 30,
	.udp = 300,
};

__attribute__((noreturn)) static void give_up(const char *what, const char *text)
{
	fprintf(stderr, "scene: %s: %s\n", what, text);
	abort();
}

static void check(int code, const struct err *err)
{
	if (code < 0)
		give_up("refused", err->message);
}

static void *grown(void *array, size_t n, size_t size)
{
	uint8_t *longer = realloc(array, (n + 1) * size);
	if (!longer)
		give_up("memory", "short");
	memset(longer + n * size, 0, size);
	return longer;
}

static char *copied(const char *text)
{
	char *copy = strdup(text);
	if (!copy)
		give_up("memory", "short");
	return copy;
}

struct endpoint scene_endpoint(const char *text, uint8_t proto)
{
	struct endpoint endpoint;
	if (!endpoint_parse(text, &endpoint))
		give_up("no endpoint", text);
	endpoint.proto = proto;
	return endpoint;
}

void scene_init(struct scene *scene, const char *snat_addr)
{
	*scene = (struct scene){
		.config = grown(NULL, 0, sizeof(struct config)),
		.link_macs = {{{0x02, 0, 0, 0, 0, 0x01}}, {{0x02, 0, 0, 0, 0, 0x02}}},
		.ifindexes = {SCENE_FIRST_IFINDEX, SCENE_FIRST_IFINDEX + 1},
		.mtus = {1500, 1500},
	};
	scene->config->mode = MODE_PASSTHROUGH;
	scene->config->timeouts = default_timeouts;
	scene->config->passthrough = (struct config_passthrough){
		.workers = WORKERS_INLINE,
		.connection_tracker_capacity = 1000,
		.nat_port_min = 40000,
		.nat_port_max = 40999,
		.maglev_table_size = 251,
	};
	scene_add_snat(scene, snat_addr);
}

void scene_fini(struct scene *scene)
{
	registry_destroy(scene->registry);
	config_unref(scene->config);
}

void scene_add_snat(struct scene *scene, const char *addr)
{
	struct config_passthrough *passthrough = &scene->config->passthrough;
	passthrough->snat_addrs = grown(passthrough->snat_addrs, passthrough->n_snat_addrs,
					sizeof(*passthrough->snat_addrs));
	if (!ip_addr_parse(addr, &passthrough->snat_addrs[passthrough->n_snat_addrs++]))
		give_up("no address", addr);
}

size_t scene_add_pool(struct scene *scene, const char *name, uint8_t proto)
{
	struct config *config = scene->config;
	config->pools = grown(config->pools, config->n_pools, sizeof(*config->pools));
	config->pools[config->n_pools] = (struct config_pool){
		.name = copied(name),
		.proto = proto,
		.on_backend_down = ON_DOWN_RESET,
	};
	return config->n_pools++;
}

size_t scene_add_backend(struct scene *scene, size_t pool, const char *name, const char *endpoint,
			 uint16_t weight)
{
	struct config_pool *to = &scene->config->pools[pool];
	to->backends = grown(to->backends, to->n_backends, sizeof(*to->backends));
	to->backends[to->n_backends++] = (struct config_backend){
		.name = copied(name),
		.endpoint = scene_endpoint(endpoint, to->proto),
		.weight = weight,
	};
	size_t n = 0;
	for (size_t i = 0; i <= pool; i++)
		n += scene->config->pools[i].n_backends;
	return n - 1;
}

void scene_add_frontend(struct scene *scene, const char *endpoint, size_t pool, enum hash_kind hash)
{
	struct config *config = scene->config;
	config->frontends =
		grown(config->frontends, config->n_frontends, sizeof(*config->frontends));
	config->frontends[config->n_frontends++] = (struct config_frontend){
		.name = copied(endpoint),
		.endpoint = scene_endpoint(endpoint, config->pools[pool].proto),
		.pool = pool,
		.hash = hash,
	};
}

// Those that can speak to `backend`.
static uint64_t snats_for(const struct scene *scene, const struct ip_addr *backend)
{
	const struct config_passthrough *passthrough = &scene->config->passthrough;
	uint64_t mask = 0;
	for (size_t i = 0; i < passthrough->n_snat_addrs; i++) {
		if (ip_addr_is_v4(&passthrough->snat_addrs[i]) == ip_addr_is_v4(backend))
			mask |= UINT64_C(1) << i;
	}
	return mask;
}

void scene_build(struct scene *scene)
{
	struct err err = {0};
	check(registry_create(&scene->registry, scene->config, 1, SCENE_MAX_THREADS, &err), &err);
	for (unsigned i = 0; i < SCENE_N_LINKS; i++) {
		struct snapshot_link link = {
			.ifindex = scene->ifindexes[i],
			.mac = scene->link_macs[i],
			.mtu = scene->mtus[i],
			.own_v4 = scene->own_v4[i],
			.own_v6 = scene->own_v6[i],
		};
		check(registry_add_link(scene->registry, &link, &err), &err);
	}
	for (uint32_t i = 0; i < registry_n_backends(scene->registry); i++) {
		const struct endpoint *endpoint = &registry_backend(scene->registry, i)->endpoint;
		struct snapshot_hop hop = {
			.state = HOP_READY,
			.link = SCENE_BACK,
			.mac = frame_mac_of(&endpoint->addr),
			.source = scene->config->passthrough.snat_addrs[0],
		};
		registry_set_hop(scene->registry, i, &hop, snats_for(scene, &endpoint->addr));
		if (!scene->is_unchecked)
			registry_set_up(scene->registry, i, true);
	}
}

struct snapshot *scene_snapshot(struct scene *scene)
{
	struct err err = {0};
	struct snapshot *snapshot = NULL;
	check(registry_snapshot(scene->registry, &snapshot, &err), &err);
	return snapshot;
}
