// SPDX-License-Identifier: Apache-2.0
// Being told to stop, for what has something to clean up first.
#pragma once

#include <stdbool.h>

// From here on SIGINT, SIGTERM and SIGHUP only make stop_is_wanted() true. Main thread.
void stop_catch_signals(void);
bool stop_is_wanted(void);
