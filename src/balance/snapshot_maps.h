// SPDX-License-Identifier: Apache-2.0
// The lookup tables of snapshots, shared until a frontend or a backend comes or goes.
// Called by: control.
#pragma once

#include "culvert/balance/snapshot.h"

struct snapshot_maps {
	uint32_t n_refs;                 // w, r: control; references besides the first
	struct endpoint_map vips;        // number: frontend
	struct endpoint_map vip_addrs;   // addresses alone
	struct endpoint_map backend_ids; // number: endpoint_id
};

struct snapshot_maps *snapshot_maps_ref(struct snapshot_maps *maps);
void snapshot_maps_unref(struct snapshot_maps *maps); // NULL is legal
