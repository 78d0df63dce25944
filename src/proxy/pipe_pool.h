// SPDX-License-Identifier: Apache-2.0
// Pipes through which splice(2) moves bytes between sockets. A pipe belongs to a stream only while
// bytes are in it, so a few serve many. One pool per thread.
#pragma once

#include <stdint.h>

enum { PIPE_BYTES = 256 * 1024 }; // asked of the kernel, which may give less

struct pipe_ends {
	int read_fd;
	int write_fd;
	struct pipe_ends *next; // in the pool
};

struct pipe_pool {
	struct pipe_ends *idle; // owned
	uint32_t n_open;        // idle and taken
	uint32_t max;           // two descriptors each
};

void pipe_pool_fini(struct pipe_pool *pool); // taken ones first

// An empty pipe, or NULL when there are enough already or descriptors are short.
struct pipe_ends *pipe_pool_take(struct pipe_pool *pool);
void pipe_pool_give(struct pipe_pool *pool, struct pipe_ends *pipe); // empty again
void pipe_pool_discard(struct pipe_pool *pool,
		       struct pipe_ends *pipe); // bytes are left; NULL is legal
