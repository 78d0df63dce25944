// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "culvert/config/config.h"

// Build everything that passthrough mode needs, run until SIGTERM or SIGINT, take it down again.
// Returns 0, or -errno after the reason has been logged.
int passthrough_run(const struct config *config);
