// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <jansson.h>

#include "culvert/config/config.h"

// The configuration by the keys of the file, every default filled in, secrets left out. A new
// object, or NULL when memory is short.
json_t *config_to_json(const struct config *config);
