// SPDX-License-Identifier: Apache-2.0
#include "proxy/pipe_pool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void pipe_pool_fini(struct pipe_pool *pool)
{
	while (pool->idle) {
		struct pipe_ends *pipe = pool->idle;
		pool->idle = pipe->next;
		pipe_pool_discard(pool, pipe);
	}
}

struct pipe_ends *pipe_pool_take(struct pipe_pool *pool)
{
	struct pipe_ends *pipe = pool->idle;
	int fds[2];
	if (pipe) {
		pool->idle = pipe->next;
		return pipe;
	}
	if (pool->n_open >= pool->max)
		return NULL;
	pipe = malloc(sizeof(*pipe));
	if (!pipe || pipe2(fds, O_NONBLOCK | O_CLOEXEC)) {
		free(pipe);
		return NULL;
	}
	// Without it the pipe has the default size, which works too.
	(void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
	*pipe = (struct pipe_ends){.read_fd = fds[0], .write_fd = fds[1]};
	pool->n_open++;
	return pipe;
}

void pipe_pool_give(struct pipe_pool *pool, struct pipe_ends *pipe)
{
	pipe->next = pool->idle;
	pool->idle = pipe;
}

void pipe_pool_discard(struct pipe_pool *pool, struct pipe_ends *pipe)
{
	if (!pipe)
		return;
	close(pipe->read_fd);
	close(pipe->write_fd);
	free(pipe);
	pool->n_open--;
}
