// SPDX-License-Identifier: Apache-2.0
// Parts of the API's answers, for those who answer from outside.
// Called by: control. New references; NULL when memory is short.
#pragma once

#include <jansson.h>

#include "culvert/balance/registry.h"
#include "culvert/flow/query.h"

// What is not UTF-8 in it becomes question marks: names of files and interfaces may be anything.
json_t *api_text_to_json(const char *text);

// What came from backends, and what was sent to them. In DSR mode nothing of the first is seen:
// null.
json_t *api_pair_to_json(enum mode mode, uint64_t rx, uint64_t tx);

// `interface` is its link's name, or NULL.
json_t *api_hop_to_json(const struct snapshot_hop *hop, const char *interface);

// NULL as well when its frontend or backend has been given back since: the flow is no more.
json_t *api_flow_to_json(const struct registry *registry, const struct flow_row *row);

// A backend's full name, "POOL/SERVER".
json_t *api_name_of_backend(const struct snapshot_backend *backend);
