// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "culvert/config/config.h"

// Remove what DSR mode has left for its next start, which would keep clients out. While there are
// privileges for it; without, it lapses.
void proxy_mode_clear_way(const struct config *config);

// Build everything that proxy mode needs, run until SIGTERM or SIGINT, let sessions finish, take it
// down again. Returns 0, or -errno after the reason has been logged.
int proxy_mode_run(struct config *config);
