// SPDX-License-Identifier: Apache-2.0
// Root for no longer than it takes to become somebody else. Before anything is opened and before
// the first other thread is started, so that each of them, and all that is made, has what is left:
// capabilities belong to threads.
// Called by: the main thread, while it is alone.
#pragma once

#include "culvert/config/config.h"

// Become `user` with its groups, and keep of the capabilities those that the mode needs from here
// on; as that user already: only give up the others. Files that the program makes while it runs
// need a directory of that user: those of the flow log
// and of the API socket are made when they are not there. 0 or -errno.
int privileges_enter(const char *user, const struct config *config, struct err *err);

// Start is over: what only that needed is given up as well. Nothing without privileges_enter().
int privileges_settle(const struct config *config, struct err *err);
