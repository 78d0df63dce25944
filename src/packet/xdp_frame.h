// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Sizes that culvert and its XDP program (bpf/redirect.bpf.c) have in common.
#pragma once

// Memory that is shared with the kernel is in chunks; what XDP and culvert want free in front of a
// frame is part of one. Longer frames than fit are left to packet sockets.
enum {
	XDP_HEADROOM = 256 + 64, // XDP_PACKET_HEADROOM of the kernel, PACKET_HEADROOM
	XDP_CHUNK_BYTES = 2048,
	XDP_LONG_CHUNK_BYTES = 4096, // the most that there is
	XDP_FRAME_MAX = XDP_CHUNK_BYTES - XDP_HEADROOM,
	XDP_LONG_FRAME_MAX = XDP_LONG_CHUNK_BYTES - XDP_HEADROOM,
};

enum { XDP_QUEUES_MAX = 64 }; // of an interface that have a socket each
