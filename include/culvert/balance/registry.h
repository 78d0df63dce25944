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

// A link is told apart by its ifindex; telling one that is known updates it. Returns its index, or
// -errno when there are too many.
int registry_set_link(struct registry *registry, const struct snapshot_link *link, struct err *err);
// The index of a source address, which is added if it is new; -errno when there are too many.
int registry_add_snat(struct registry *registry, const struct ip_addr *addr, struct err *err);

void registry_set_up(struct registry *registry, uint32_t backend, bool is_up);
void registry_set_hop(struct registry *registry, uint32_t backend, const struct snapshot_hop *hop,
		      uint64_t snat_mask);

uint32_t registry_n_backends(const struct registry *registry);
uint32_t registry_n_endpoints(const struct registry *registry);
uint32_t registry_snats_per_endpoint(const struct registry *registry);
const struct snapshot_backend *registry_backend(const struct registry *registry, uint32_t backend);

// A new snapshot for snapshot_destroy(). Maglev tables are built only for pools that changed.
int registry_snapshot(struct registry *registry, struct snapshot **snapshot, struct err *err);
