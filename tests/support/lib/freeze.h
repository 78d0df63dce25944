// SPDX-License-Identifier: Apache-2.0
// One thread of the test's process stands still while the others go on: whatever happens meanwhile
// is all there when it looks again. By ptrace(2), from a child process.
// Called by: the thread of the test.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct freeze {
	pid_t tracer;
	int lifeline;
};

// The thread of that name, once it waits for events and has nothing else to do. False when it never
// does, or when tracing is not allowed (not root).
bool freeze_start(struct freeze *freeze, const char *thread_name);
void freeze_end(struct freeze *freeze);
