// SPDX-License-Identifier: Apache-2.0
// What control knows of frontends, backends, links and source addresses, and the making of
// snapshots from it.
// Called by: control.
#pragma once

#include "culvert/balance/snapshot.h"

struct registry;

// `config` is borrowed and outlives the registry. `secret` keys the lookup tables' hashes.
int registry_create(struct registry **registry, const struct config *config, uint64_t secret,
		    struct err *err);
void registry_destroy(struct registry *registry); // every snapshot first; NULL is legal

// The index of a link, told apart by its ifindex, which is added if it is new; -errno when there
// are too many.
int registry_add_link(struct registry *registry, const struct snapshot_link *link, struct err *err);
// True when that was news.
bool registry_update_link(struct registry *registry, uint32_t index,
			  const struct snapshot_link *link);
// The index of a source address, which is added if it is new; -errno when there are too many.
int registry_add_snat(struct registry *registry, const struct ip_addr *addr, struct err *err);

void registry_set_up(struct registry *registry, uint32_t backend, bool is_up);
// Whether the backend is up is known by now, and will be from now on. Setting it up or down says so
// as well. True when that was news.
bool registry_set_known(struct registry *registry, uint32_t backend);
void registry_set_hop(struct registry *registry, uint32_t backend, const struct snapshot_hop *hop,
		      uint64_t snat_mask);

uint32_t registry_n_backends(const struct registry *registry);
uint32_t registry_n_endpoints(const struct registry *registry);
uint32_t registry_snats_per_endpoint(const struct registry *registry);
const struct snapshot_backend *registry_backend(const struct registry *registry, uint32_t backend);

// A new snapshot for snapshot_destroy(). Maglev tables are built only for pools that changed.
int registry_snapshot(struct registry *registry, struct snapshot **snapshot, struct err *err);
