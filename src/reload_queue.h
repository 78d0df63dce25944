// SPDX-License-Identifier: Apache-2.0
// Reloads that wait until the data path has let go of what the one before has removed: a moment,
// in which the event loop turns.
// Called by: control.
#pragma once

#include "reload.h"

struct reload_queue;

// The result is for reload_result_fini() by the queue.
typedef void (*reload_done_fn)(void *arg, const struct reload_result *result);

// The reload belongs to the service, as this does; both are borrowed, and outlive it. 0 or -errno.
int reload_queue_open(struct reload_queue **queue, struct service *service, struct reload *reload,
		      struct err *err);
// What waits is forgotten. NULL is legal.
void reload_queue_close(struct reload_queue *queue);

// In the order of the calls; those that have not to wait are run, and done, before the return.
// `on_done` may be NULL. Out of memory it does not wait.
void reload_queue_run(struct reload_queue *queue, const struct reload_request *request,
		      reload_done_fn on_done, void *arg);
