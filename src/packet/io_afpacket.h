// SPDX-License-Identifier: Apache-2.0
// What a driver that has packet sockets beside its own needs to know of them.
#pragma once

#include "culvert/packet/io.h"

// The socket that a link's frames come in by, to be polled. Called by: the capturing thread.
int io_afpacket_fd(const struct io *packet_sockets, uint32_t link);
