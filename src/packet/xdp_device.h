// SPDX-License-Identifier: Apache-2.0
// What AF_XDP has to know of a network interface, and to change at it: where hardware takes off
// VLAN tags, an XDP program does not see them, and could not tell the frames of a VLAN from those
// of the link.
// Called by: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"

struct xdp_device {
	const char *name;  // borrowed
	uint32_t n_queues; // that it receives by
	uint32_t mtu;      // bytes of IP packet
	bool is_tap;       // whose driver lets super-frames come to XDP programs
	bool is_changed;   // to be put back
};

// 0 or -errno.
int xdp_device_open(struct xdp_device *device, const char *name, struct err *err);
// Tags are left in frames from now on; said in the log.
void xdp_device_keep_tags(struct xdp_device *device);
void xdp_device_restore(struct xdp_device *device);
