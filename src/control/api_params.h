// SPDX-License-Identifier: Apache-2.0
// Arguments of requests, checked. A function that returns false has answered the request.
// Called by: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/api_request.h"

// What of the query string is not among `keys`, which NULL ends, is an error.
bool api_params_known(struct api_request *request, const char *const *keys);
// The same for keys of the body.
bool api_body_known(struct api_request *request, const char *const *keys);

// A whole number of the query string from `min` to `max`; `fallback` when it is not given.
bool api_param_number(struct api_request *request, const char *key, uint32_t fallback, uint32_t min,
		      uint32_t max, uint32_t *number);

// The number of a backend by "POOL/SERVER", or by its plain name where that is unique. `pool` NULL:
// `name` may be either.
bool api_find_backend(struct api_request *request, const char *pool, const char *name,
		      uint32_t *number);
bool api_find_frontend(struct api_request *request, const char *name, uint32_t *number);

// 501: this mode has no such thing.
void api_answer_lacking(struct api_request *request, const char *what);
