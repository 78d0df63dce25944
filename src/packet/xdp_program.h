// SPDX-License-Identifier: Apache-2.0
// The XDP program of a link (bpf/redirect.bpf.c): loaded, attached by a BPF link that vanishes with
// this process however it ends, and told whose packets it takes.
// Called by: control.
#pragma once

#include <stdbool.h>

#include "culvert/base/err.h"
#include "culvert/packet/io.h"
#include "packet/bpf_scope.h"
#include "packet/xdp_frame.h"

struct bpf_object;

struct xdp_program {
	struct bpf_object *object; // owned
	int fd;                    // owned by `object`, as the next
	int sockets_fd;
	int link_fd; // owned; -1: not attached
	struct bpf_scope scope;
	bool is_native;
};

struct xdp_program_params {
	bool are_chunks_long; // XDP_LONG_CHUNK_BYTES, else XDP_CHUNK_BYTES
	// Even the driver lets super-frames come to the program. Where the kernel runs it, they do
	// in any case.
	bool are_super_frames;
	const struct xdp_program *first; // shares its scope; NULL: there is none
};

// Loaded, attached to the link, and said in the log: by its driver if that has XDP, else by the
// kernel in front of the rest of its stack. 0 or -errno.
int xdp_program_open(struct xdp_program *program, const struct io_link *link,
		     const struct xdp_program_params *params, struct err *err);
// Loaded alone.
int xdp_program_load(struct xdp_program *program, const struct xdp_program_params *params,
		     struct err *err);
// From now on `socket_fd` gets what comes in by a queue. 0 or -errno.
int xdp_program_add_socket(struct xdp_program *program, uint32_t queue, int socket_fd,
			   struct err *err);
void xdp_program_close(struct xdp_program *program); // detaches; harmless when there is none
