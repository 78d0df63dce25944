// SPDX-License-Identifier: Apache-2.0
// What becomes of a client that speaks to an address, and why: the decisions of the data path, made
// once more by the same snapshot, in words.
// Called by: the main thread, which is control.
#pragma once

#include <jansson.h>

#include "culvert/balance/registry.h"
#include "culvert/control/health.h"
#include "culvert/flow/query.h"

struct explain_params { // all borrowed
	const struct registry *registry;
	const struct health *health;
	const struct snapshot *snapshot;
	struct endpoint client;
	struct endpoint vip;
	const struct flow_row *flow; // what the data path has of this client; NULL: nothing
};

// Which frontend is at an address, one that listens on every address included: its slot, or -1.
int32_t explain_find_frontend(const struct snapshot *snapshot, const struct endpoint *vip);

// The answer of GET /api/v1/explain, a new object; NULL when memory is short.
json_t *explain(const struct explain_params *params);
