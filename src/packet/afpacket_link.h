// SPDX-License-Identifier: Apache-2.0
// The packet sockets of one link: one receives, by a ring where it can, one sends, and with the
// fast path a third takes what is not to be captured.
#pragma once

#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/counter.h"
#include "culvert/base/err.h"
#include "culvert/packet/io.h"
#include "packet/afpacket_ring.h"

struct afpacket_link {
	int rx_fd;
	int tx_fd;
	int sink_fd; // takes what is diverted from rx_fd, which is nothing; -1: no program says so
	char name[IF_NAMESIZE];
	struct afpacket_ring ring; // of rx_fd

	// When capture last looked after the ring: the slot whose turn it was, and how many frames
	// had been dropped. w: capture
	uint32_t next_then;
	uint64_t drops_then;
	counter_t unreadable;          // w: capture, r: control
	_Atomic bool is_ring_given_up; // w: capture, r: control; relaxed, it stands for itself
	bool is_that_said;             // w: control
	// Reading the socket's number resets it. w: capture, control; relaxed, it is a number
	_Atomic uint64_t kernel_drops;
};

// On failure, too, it is to be closed. Called by: control.
int afpacket_link_open(struct afpacket_link *link, const struct io_link *from, struct err *err);
void afpacket_link_close(struct afpacket_link *link);
