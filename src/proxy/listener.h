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
	uint16_t frontend; // index in the configuration
	bool is_paused;    // a limit was met, or something ran short: tried again at the next tick
	bool has_more;     // the round's share was used up
};

// Is the address free, and ours to take? Several threads share it, and so would another program
// without either noticing. 0 or -errno. Called by: control.
int listener_probe(const struct config *config, uint16_t frontend, struct err *err);

// 0 or -errno. Called by: control, before the thread runs.
int listener_open(struct listener *listener, const struct config *config, uint16_t frontend,
		  struct err *err);
void listener_close(struct listener *listener);

// Accept what waits, as far as limits and the round's share allow. Called by: the thread.
void listener_accept(struct proxy_thread *thread, struct listener *listener);
