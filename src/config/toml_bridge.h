// SPDX-License-Identifier: Apache-2.0
// The one door to toml++, which is C++: no exception passes it.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

#include <stddef.h>
#include <yaml.h>

#include "culvert/base/err.h"

struct toml_limits {
	size_t max_nodes;
	size_t max_depth;
	const char *too_many_nodes; // what to say then
	const char *too_deep;
};

// Parse `text` and fill *document, for yaml_document_delete(): tables in the order of the file,
// strings as quoted scalars, all else as plain ones, start and end marks on each node. On failure
// there is nothing to delete, and `err` has the line and column. Returns 0, -EINVAL or -ENOMEM.
int toml_bridge_read(yaml_document_t *document, const char *text, size_t length,
		     const struct toml_limits *limits, struct err *err);

#ifdef __cplusplus
}
#endif
