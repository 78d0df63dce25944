// SPDX-License-Identifier: Apache-2.0
// One value of a configuration, from what the file says to the field that holds it.
#pragma once

#include "config/node.h"
#include "config/schema.h"

// Store the value that `node` says at `field` (for a port range: relative to `base`). A node that
// says nothing usable is reported and leaves the field alone. `key` is not a table nor a list as a
// whole; for a list, call this per element. Returns 0, -EINVAL or -ENOMEM.
int value_store(const struct schema_key *key, const yaml_node_t *node, void *base, void *field,
		struct report *report);

// The same for the default of the key; does nothing when it has none.
int value_store_fallback(const struct schema_key *key, void *base, struct report *report);
