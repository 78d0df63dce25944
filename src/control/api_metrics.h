// SPDX-License-Identifier: Apache-2.0
// The parts of GET /metrics.
// Called by: control.
#pragma once

#include <stdio.h>

#include "control/api_view.h"

// This process: start, memory, descriptors, processor time.
void metrics_put_process(FILE *out, const struct api_source *source);
// Packets or sessions as a whole.
void metrics_put_totals(FILE *out, const struct api_source *source, const struct stats *stats);
// Frontends, backends and pools. False when memory is short.
bool metrics_put_objects(FILE *out, const struct api_source *source, const struct stats *stats);
