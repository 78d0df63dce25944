// SPDX-License-Identifier: Apache-2.0
#include "reload_queue.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "culvert/base/clock.h"
#include "service.h"

// A thread lets go in its next round. Should one be stuck, the mode says what is missing.
enum { LOOK_US = 2000, WAIT_MS = 2000 };

struct waiting {
	struct waiting *next;
	struct reload_request request;
	reload_done_fn on_done;
	void *arg; // borrowed
	uint64_t deadline_ns;
};

struct reload_queue {
	struct service *service; // borrowed
	struct reload *reload;   // borrowed
	struct event *looking;   // owned; pending: somebody waits
	struct waiting *first;   // owned; a list
	struct waiting **end;    // where the next one is put
};

static void run(const struct reload_queue *queue, const struct waiting *waiting)
{
	struct reload_result result;
	reload_run(queue->reload, &waiting->request, &result);
	if (waiting->on_done)
		waiting->on_done(waiting->arg, &result);
	reload_result_fini(&result);
}

// A mere plan takes nothing from anybody.
static bool must_wait(const struct reload_queue *queue, const struct waiting *waiting)
{
	const struct service *service = queue->service;
	return !waiting->request.is_plan && service->hooks->is_settled &&
	       !service->hooks->is_settled(service->arg) && clock_now_ns() < waiting->deadline_ns;
}

static void look_again_soon(struct reload_queue *queue)
{
	static const struct timeval soon = {.tv_usec = LOOK_US};
	event_add(queue->looking, &soon);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct reload_queue *queue = arg;
	struct waiting *waiting;
	while ((waiting = queue->first) && !must_wait(queue, waiting)) {
		queue->first = waiting->next;
		if (!queue->first)
			queue->end = &queue->first;
		run(queue, waiting);
		free(waiting);
	}
	if (queue->first)
		look_again_soon(queue);
}

void reload_queue_run(struct reload_queue *queue, const struct reload_request *request,
		      reload_done_fn on_done, void *arg)
{
	struct waiting asked = {
		.request = *request,
		.on_done = on_done,
		.arg = arg,
		.deadline_ns = clock_now_ns() + WAIT_MS * NS_PER_MS,
	};
	bool has_to = (queue->first && !request->is_plan) || must_wait(queue, &asked);
	struct waiting *waiting = has_to ? malloc(sizeof(*waiting)) : NULL;
	if (!waiting) {
		run(queue, &asked);
		return;
	}
	*waiting = asked;
	*queue->end = waiting;
	queue->end = &waiting->next;
	look_again_soon(queue);
}

int reload_queue_open(struct reload_queue **queue, struct service *service, struct reload *reload,
		      struct err *err)
{
	struct reload_queue *opened = calloc(1, sizeof(*opened));
	if (opened)
		opened->looking = evtimer_new(service->base, on_look, opened);
	if (!opened || !opened->looking) {
		free(opened);
		return err_set(err, -ENOMEM, "not enough memory for reloads");
	}
	opened->service = service;
	opened->reload = reload;
	opened->end = &opened->first;
	*queue = opened;
	return 0;
}

void reload_queue_close(struct reload_queue *queue)
{
	struct waiting *next;
	if (!queue)
		return;
	for (struct waiting *waiting = queue->first; waiting; waiting = next) {
		next = waiting->next;
		free(waiting);
	}
	event_free(queue->looking);
	free(queue);
}
