// SPDX-License-Identifier: Apache-2.0
#pragma once

struct event_base;

// An event loop whose timers begin when they are added. The library's own would have them begin
// with the round in which they are added: after a busy round, or one in which this host or its
// hypervisor had no time for the process, a question would have timed out before it could be
// answered. Returns NULL without memory. The caller's, to be freed with event_base_free().
struct event_base *event_loop_create(void);
