// SPDX-License-Identifier: Apache-2.0
// Called by: control.
#pragma once

#include "culvert/control/api.h"

// One backend, as /api/v1/backends has it, as a new object; NULL when memory is short.
json_t *api_backend_to_json(const struct api_source *source, const struct stats *stats,
			    uint32_t number);
