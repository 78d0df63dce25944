// SPDX-License-Identifier: Apache-2.0
#include "culvert/ds/doorbell.h"

#include <errno.h>
#include <unistd.h>

int doorbell_open(struct doorbell *bell, struct err *err)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "cannot open an eventfd");
	bell->fd = fd;
	atomic_init(&bell->is_waiting, 0);
	return 0;
}

void doorbell_close(struct doorbell *bell)
{
	close(bell->fd);
	bell->fd = -1;
}

void doorbell_wake(struct doorbell *bell)
{
	// Fails only with EAGAIN when the count is at its limit: then the fd is readable already.
	(void)eventfd_write(bell->fd, 1);
}

void doorbell_disarm(struct doorbell *bell)
{
	eventfd_t count;
	// Pairs with doorbell_ring(). Before the drain: a producer after this exchange does not
	// write, and the push of one before it is visible from here on.
	atomic_exchange_explicit(&bell->is_waiting, 0, memory_order_acq_rel);
	// Always, since a producer that took the announcement may write only now; its late write
	// then ends the next sleep early, and is drained there.
	(void)eventfd_read(bell->fd, &count);
}
