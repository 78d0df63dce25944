// SPDX-License-Identifier: Apache-2.0
// What a driver that has packet sockets beside its own needs to know of them.
#pragma once

#include <poll.h>

#include "culvert/packet/io.h"

// What to wait for, and what to do when the wait is over. Called by: the capturing thread.
struct pollfd io_afpacket_to_poll(const struct io *packet_sockets, uint32_t link);
void io_afpacket_polled(const struct pollfd *polled);
