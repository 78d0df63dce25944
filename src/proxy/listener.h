// SPDX-License-Identifier: Apache-2.0
// Where a frontend's clients come in: each thread has a socket of its own on the same address
// (SO_REUSEPORT), and the kernel spreads connections over them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/config/config.h"

struct proxy_thread;

struct listener {
	int fd;            // owned; -1: closed
	uint16_t frontend; // slot
	bool is_paused;    // a limit was met, or something ran short: tried again at the next tick
	bool has_more;     // the round's share was used up, or nobody has looked yet
	bool is_unwatched; // nothing tells of connections: asked at every tick
};

// What a socket is opened for. Several threads share an address, and so would another program
// without either noticing: that it is free, and ours to take, is seen before it is shared.
enum listener_use {
	LISTENER_PROBE,        // is it free?
	LISTENER_PROBE_SHARED, // likewise, where only the own ones may be there
	LISTENER_LISTEN,
};

// A socket on the address of a frontend, by its index in `config`; or -errno. Called by: control.
int listener_open(const struct config *config, size_t frontend, enum listener_use use,
		  struct err *err);

// [::] takes IPv4 too, unless 0.0.0.0 of that port is there for it. Single addresses go first
// anyway.
bool listener_is_v6_only(const struct config *config, size_t frontend);

// What connections inherit, as a new configuration says it. Called by: the thread.
void listener_follow(const struct listener *listener, const struct config_proxy *config);

// Harmless when it is closed. Called by: the thread, or control when that has ended.
void listener_close(struct listener *listener);

// Accept what waits, as far as limits and the round's share allow. Called by: the thread.
void listener_accept(struct proxy_thread *thread, struct listener *listener);
