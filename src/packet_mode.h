// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "culvert/config/config.h"

// Build everything that the mode, passthrough or DSR, needs, run until a signal, take it down
// again. Returns 0, or -errno after the reason has been logged.
int packet_mode_run(struct config *config);
