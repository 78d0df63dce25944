// SPDX-License-Identifier: Apache-2.0
// The event loop of a thread: rounds of events, of what was left over, of timers, and of listeners
// that had to wait.
#pragma once

struct proxy_thread;

// One round. Open to tests, which then are the thread.
void loop_round(struct proxy_thread *thread);

// The argument is the proxy_thread. Returns when control says stop, with no session left.
void *loop_run(void *thread);
