// SPDX-License-Identifier: Apache-2.0
// From a session without a backend to one that is connected: choosing, trying, trying another.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct proxy_thread;

// Choose a backend and start to connect. The session is ended when there is none left to try.
void connect_start(struct proxy_thread *thread, uint32_t index);

// What epoll has said of the socket towards the backend. Returns true when it is connected.
bool connect_on_event(struct proxy_thread *thread, uint32_t index, uint32_t events);

// connect_timeout has passed: try another; or it is time to ask again.
void connect_on_timeout(struct proxy_thread *thread, uint32_t index);

// The backend that it connects to is not to be used any more: try another.
void connect_elsewhere(struct proxy_thread *thread, uint32_t index);

// The session ends while its connect is under way.
void connect_abandon(struct proxy_thread *thread, uint32_t index);

// The session leaves the backend it was connected to.
void connect_release(struct proxy_thread *thread, uint32_t index);
