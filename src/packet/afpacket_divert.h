// SPDX-License-Identifier: Apache-2.0
// Keeping frames from a packet socket by a BPF program, which its filter, that of libpcap, cannot
// be: the socket and another one that takes nothing form a fanout group, and the program says which
// of the two gets a frame.
// Called by: control.
#pragma once

#include "culvert/base/err.h"

// Both sockets are bound to one link, and `rx_fd` was made first: that is their order in the group,
// also when the link has been down. `program_fd` returns 0 for `rx_fd`, 1 for `sink_fd`, and the
// latter for what leaves by the link, in case it is asked. 0 or -errno; -ENETDOWN: the link is
// down, and this kernel is older than 6.13. After a failure both sockets are good for nothing but
// close().
int afpacket_divert(int rx_fd, int sink_fd, int program_fd, struct err *err);
