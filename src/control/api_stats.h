// SPDX-License-Identifier: Apache-2.0
// The parts of the statistics object. All functions return false when memory is short, and take
// over what they are given in any case.
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "culvert/control/api.h"

bool stats_put(json_t *object, const char *key, json_t *value); // `value` may be NULL: then false
bool stats_put_count(json_t *object, const char *key, uint64_t value);
bool stats_put_traffic(json_t *object, const struct traffic *traffic);

// The body of GET /stats as a new object, or NULL.
json_t *stats_to_json(const struct api_source *source, const struct stats *stats);

// What only the packet modes have, into the root.
bool stats_put_packets(json_t *root, const struct packet_stats *stats);

// What only proxy mode has: into the root, a frontend's object, a server's object.
bool stats_put_sessions(json_t *root, const struct proxy_stats *stats);
bool stats_put_session_ends(json_t *object, const struct proxy_frontend_stats *stats);
bool stats_put_connects(json_t *object, const struct proxy_backend_stats *stats);
