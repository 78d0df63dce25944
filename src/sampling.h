// SPDX-License-Identifier: Apache-2.0
// Samples of dropped packets for clients of the API, one at a time.
// Called by: the main thread, which is control.
#pragma once

#include "culvert/control/api.h"

struct engine;
struct event_base;
struct sampling;

// `base` and `engine` are borrowed. 0 or -errno.
int sampling_open(struct sampling **sampling, struct event_base *base, struct engine *engine,
		  struct err *err);
// Answer nobody any more: before the API stops.
void sampling_forget(struct sampling *sampling);
// When the engine is gone. Both: NULL is legal.
void sampling_close(struct sampling *sampling);

// For api_ops.
void sampling_begin(struct sampling *sampling, const struct api_sample_query *asked,
		    struct api_request *request);
