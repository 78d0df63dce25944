// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <jansson.h>

#include "config/schema.h"

// What the struct at `base` has for a key that is no reference, as the file would say it; NULL when
// memory is short.
json_t *config_key_to_json(const struct schema_key *key, const void *base);
