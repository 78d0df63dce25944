// SPDX-License-Identifier: Apache-2.0
// AF_XDP sockets and the memory that they share (Documentation/networking/af_xdp.rst of Linux).
// Called by: control, but for the rings.
#pragma once

#include "culvert/base/err.h"
#include "packet/xdp_ring.h"

// One piece of memory for the chunks of all sockets: a frame that came in by one leaves by another
// where it lies.
struct xdp_memory {
	uint8_t *start; // owned, mapped
	size_t bytes;
	uint32_t chunk_bytes;
};

int xdp_memory_open(struct xdp_memory *memory, uint32_t n_chunks, uint32_t chunk_bytes,
		    struct err *err);
void xdp_memory_close(struct xdp_memory *memory);

// One queue of one link.
struct xdp_socket {
	int fd;                     // -1: not open
	struct xdp_ring fill;       // w: capture
	struct xdp_ring rx;         // w: capture
	struct xdp_ring tx;         // w: transmit; size 0: it does not send
	struct xdp_ring completion; // w: transmit
};

struct xdp_socket_params {
	const struct xdp_memory *memory;
	int first_fd; // of a socket that has the memory already, or -1
	const char *name;
	unsigned ifindex;
	uint32_t queue;
	uint32_t n_rx;  // sizes of the rings, powers of two
	uint32_t n_tx;  // 0: receives only
	bool is_copied; // frames are copied in any case: set for the first socket alone
};

// 0 or -errno. -EINVAL and -EOPNOTSUPP: not with these params.
int xdp_socket_open(struct xdp_socket *socket, const struct xdp_socket_params *params,
		    struct err *err);
void xdp_socket_close(struct xdp_socket *socket); // harmless when it is not open

// Does the device itself read and write the chunks?
bool xdp_socket_is_zero_copy(const struct xdp_socket *socket);
// Frames that were lost for want of a chunk, or of room in the ring, since it was opened.
uint64_t xdp_socket_drops(const struct xdp_socket *socket);
