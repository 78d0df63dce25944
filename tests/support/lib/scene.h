// SPDX-License-Identifier: Apache-2.0
// A configuration made by hand, and a network around it: link 0 (front) leads to the clients,
// link 1 (back) to the backends, one source address. What cannot fail in a test aborts it.
#pragma once

#include <netinet/in.h>

#include "culvert/balance/registry.h"
#include "culvert/config/config.h"

enum { SCENE_FRONT, SCENE_BACK, SCENE_N_LINKS };
enum { SCENE_MAX_THREADS = 8 };
enum { SCENE_FIRST_IFINDEX = 2 }; // 1 is the loopback interface of a namespace

struct scene {
	struct config *config; // owned
	struct registry *registry;
	struct mac_addr link_macs[SCENE_N_LINKS];
	unsigned ifindexes[SCENE_N_LINKS]; // SCENE_FIRST_IFINDEX and the next at first
	uint32_t mtus[SCENE_N_LINKS];
	struct ip_addr own_v4[SCENE_N_LINKS]; // none at first
	struct ip_addr own_v6[SCENE_N_LINKS];
	bool is_unchecked; // set it before scene_build()
};

// A configuration with the defaults, NAT ports 40000 to 40999, room for 1000 flows, small Maglev
// tables, one source address, and no thread but one.
void scene_init(struct scene *scene, const char *snat_addr);
void scene_fini(struct scene *scene);

size_t scene_add_pool(struct scene *scene, const char *name, uint8_t proto);
// The backend's running number over all pools, as long as pools are filled one after another.
size_t scene_add_backend(struct scene *scene, size_t pool, const char *name, const char *endpoint,
			 uint16_t weight);
void scene_add_frontend(struct scene *scene, const char *endpoint, size_t pool,
			enum hash_kind hash);
void scene_add_snat(struct scene *scene, const char *addr);

// The registry over what has been added: every backend reachable, and up unless nobody has checked.
void scene_build(struct scene *scene);
struct snapshot *scene_snapshot(struct scene *scene);

struct endpoint scene_endpoint(const char *text, uint8_t proto);
