// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "culvert/config/config.h"

// Test every backend of every frontend for mode dsr, and print to standard output which are ready,
// and what mends the others. Returns an exit code.
int check_backends_run(const struct config *config);
