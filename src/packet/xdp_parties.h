// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What culvert and its XDP program (bpf/redirect.bpf.c) have in common: the layouts of the
// program's maps, and sizes.
#pragma once

#include <linux/types.h>

enum xdp_role {
	XDP_ROLE_VIP,     // clients send to it
	XDP_ROLE_BACKEND, // replies come from it
	XDP_ROLE_OWN,     // replies come to it, on a port of the NAT range; port and protocol are 0
};

// A key of the map `parties`. Addresses of IPv4 are mapped (::ffff:a.b.c.d).
struct xdp_party {
	__u32 addr_be[4];
	__u16 port_be;
	__u8 proto;
	__u8 role; // enum xdp_role
};

// The value of the map `nat_ports`: host byte order, inclusive.
struct xdp_ports {
	__u16 min;
	__u16 max;
};

// Memory that is shared with the kernel is in chunks; what XDP and culvert want free in front of a
// frame is part of one. Longer frames than fit are left to packet sockets.
enum {
	XDP_HEADROOM = 256 + 64, // XDP_PACKET_HEADROOM of the kernel, PACKET_HEADROOM
	XDP_CHUNK_BYTES = 2048,
	XDP_LONG_CHUNK_BYTES = 4096, // the most that there is
	XDP_FRAME_MAX = XDP_CHUNK_BYTES - XDP_HEADROOM,
	XDP_LONG_FRAME_MAX = XDP_LONG_CHUNK_BYTES - XDP_HEADROOM,
};

enum {
	XDP_QUEUES_MAX = 64,     // of an interface that have a socket each
	XDP_PARTIES_MAX = 65536, // the packets of whoever has no place come by packet sockets
};
