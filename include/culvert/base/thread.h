// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

#include "culvert/base/err.h"

// Start a thread that runs `run(arg)` with every signal blocked (signals belong to the main thread)
// and a name of at most 15 characters for ps, top and gdb. Returns 0 or -errno.
int thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg,
		 struct err *err);
