// SPDX-License-Identifier: Apache-2.0
// One thread for each processor, which accepts what arrives there: a connection's packets, sockets
// and thread then share a cache, and nobody is woken across processors.
//
// Connections that arrive on few processors (a network card with one receive queue, one local
// client) would burden few threads. The first thread that is far above the mean ends the steering:
// the kernel spreads connections by hash then, until control tries again.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct proxy;
struct proxy_thread;

// When there are as many threads as processors: steer connections from now on, or have the threads
// do so again. Called by: control; affinity_start() before there are listeners.
void affinity_start(struct proxy *proxy, bool pins_threads);
void affinity_ask(struct proxy *proxy);

// Steer those of a frontend, by one of its listeners; all are open, in the order of the threads.
// Called by: whoever owns the socket.
void affinity_attach(const struct proxy *proxy, int fd);

// A listener has become the thread's: what was true when it was opened may have changed. And the
// asking of control. Called by: the thread.
void affinity_follow(const struct proxy_thread *thread, int fd);
void affinity_take_order(struct proxy_thread *thread);

// Bind a running thread to its processor. Called by: control.
void affinity_pin(const struct proxy *proxy, uint32_t number);

// After an accept: is the burden shared? Called by: the thread.
void affinity_check(struct proxy_thread *thread);
