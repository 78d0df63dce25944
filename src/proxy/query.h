// SPDX-License-Identifier: Apache-2.0
// A thread's answers to what control asks about its sessions: culvert/flow/query.h.
// Called by: the thread, once a round.
#pragma once

struct proxy_thread;

// Look at the next piece of the sessions, if anything has been asked.
void query_answer_sessions(struct proxy_thread *thread);
