// SPDX-License-Identifier: Apache-2.0
// What a new snapshot means for a thread: for its settings, its listeners and its sessions.
// Called by: the thread.
#pragma once

struct proxy_thread;

// Before anything else of a round.
void follow_snapshot(struct proxy_thread *thread);

// Take who waits at any listener, and close them all. Once.
void follow_drain(struct proxy_thread *thread);
