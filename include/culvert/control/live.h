// SPDX-License-Identifier: Apache-2.0
// What the live page is fed with: once a second the counters become a sample of the history, which
// goes to whoever reads the stream, and so does each event. While nothing moves and nobody reads,
// no sample is taken; the history gets those afterwards. Serves GET /api/v1/stream and
// /api/v1/events. Called by: control.
#pragma once

#include "culvert/base/err.h"
#include "culvert/control/api.h"
#include "culvert/control/events.h"

struct activity;
struct live;

// `source` is copied, what it names borrowed, as are the others. 0 or -errno.
int live_start(struct live **live, struct activity *activity, const struct api_source *source,
	       struct api *api, struct events *events, struct err *err);
void live_stop(struct live *live); // before api_stop(); NULL is legal
