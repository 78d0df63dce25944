// SPDX-License-Identifier: Apache-2.0
// What the files of the registry share: registry.c has what changes while a configuration is in
// force, registry_apply.c takes over another, registry_admin.c keeps what operators say,
// registry_past.c what backends had counted that are gone,
// registry_panic.c uses all of a pool when few of it are up,
// registry_snapshot.c makes snapshots.
#pragma once

#include "balance/endpoint_ids.h"
#include "balance/snapshot_maps.h"
#include "culvert/balance/registry.h"

// Besides what snapshots have of a backend.
struct backend_control {
	bool is_healthy;
	bool is_judged; // health has found out whether it is
	int32_t weight_set;
	uint64_t removed_ns; // SLOT_REMOVED, SLOT_OVER
	uint64_t snats_held; // source addresses that its flows may have, as bits
};

// What an operator has said of a name.
struct admin_note {
	char *pool;   // owned
	char *server; // owned
	enum admin_state admin;
	int32_t weight;
};

// What has been counted for a pool by backends that are gone.
struct pool_past {
	char *pool; // owned
	struct traffic traffic;
};

struct registry {
	uint64_t secret;
	uint32_t n_threads;
	uint32_t max_frontends;
	uint32_t max_backends;
	uint32_t n_frontends; // slots that have ever been used
	uint32_t n_backends;
	struct snapshot_frontend *frontends; // owned; by slot; each `owner` is counted
	struct snapshot_backend *backends;   // the same
	struct backend_control *controls;    // owned; by backend
	uint64_t *frontends_removed_ns;      // owned; by frontend
	struct snapshot_pool *pools;         // owned; a table that is NULL is to be built
	uint32_t n_pools;
	struct generation *generation; // counted
	struct snapshot_maps *maps;    // counted; NULL: to be made
	struct endpoint_ids ids;
	struct admin_note *notes; // owned
	size_t n_notes;
	struct pool_past *pasts; // owned
	size_t n_pasts;
	uint32_t n_links;
	uint32_t n_snats;
	uint32_t n_fixed_snats; // the first ones, which are configured
	uint32_t snats_per_endpoint;
	uint64_t version;           // of the last snapshot
	registry_panic_fn on_panic; // NULL: nobody wants to know
	void *on_panic_arg;         // borrowed
	struct snapshot_link links[CONFIG_MAX_INTERFACES];
	struct ip_addr snats[CONFIG_MAX_SNAT_ADDRS]; // zeros: given back
};

// See that what snapshots have of a backend follows from what is known and said of it.
void registry_refresh(struct registry *registry, uint32_t backend);

// registry_panic.c: whether the backend is used, up or not. And see whether a pool panics; true
// when that was news. A pool's number may be that of the one without members.
bool registry_is_panicked(const struct registry *registry, uint32_t backend);
bool registry_judge_pool(struct registry *registry, uint32_t pool);

// What has been said of the backend's name, or NULL.
const struct admin_note *registry_find_note(const struct registry *registry, uint32_t backend);
void registry_free_notes(struct registry *registry);
void registry_free_pasts(struct registry *registry);
