// SPDX-License-Identifier: Apache-2.0
#include "proxy_hold.h"

#include <errno.h>
#include <event2/event.h>

#include "culvert/base/clock.h"

enum { LOOK_US = 10000, HOLD_MS = 1000 };

static const struct timeval soon = {.tv_usec = LOOK_US};

static bool is_known(const struct service *service, uint32_t backend)
{
	return health_has(service->health, backend) && health_is_known(service->health, backend);
}

// Nobody can be served, but perhaps in a moment.
static bool is_awaited(const struct service *service, const struct snapshot_pool *pool)
{
	bool has_unknown = false;
	for (uint32_t i = 0; i < pool->n_members; i++) {
		const struct snapshot_backend *backend =
			registry_backend(service->registry, pool->members[i]);
		if (snapshot_takes_new(backend))
			return false;
		has_unknown |= backend->weight && !is_known(service, pool->members[i]);
	}
	return has_unknown;
}

static void hold_again(struct proxy_hold *hold)
{
	const struct registry *registry = hold->service->registry;
	bool is_over = clock_now_ns() >= hold->deadline_ns;
	bool any = false;
	for (uint32_t i = 0; i < registry_n_frontends(registry); i++) {
		const struct snapshot_frontend *frontend = registry_frontend(registry, i);
		bool is_held = !is_over && frontend->state == SLOT_ACTIVE &&
			       is_awaited(hold->service, registry_pool(registry, frontend->pool));
		proxy_hold_frontend(hold->proxy, i, is_held);
		any |= is_held;
	}
	if (any)
		event_add(hold->event, &soon);
}

// What the registry knows helps no client before the threads have it.
static void on_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct proxy_hold *hold = arg;
	bool is_over = clock_now_ns() >= hold->deadline_ns;
	if (!is_over && event_pending(hold->service->publishing, EV_TIMEOUT, NULL))
		event_add(hold->event, &soon);
	else
		hold_again(hold);
}

int proxy_hold_open(struct proxy_hold *hold, struct service *service, struct proxy *proxy,
		    struct err *err)
{
	*hold = (struct proxy_hold){.service = service, .proxy = proxy};
	hold->event = evtimer_new(service->base, on_look, hold);
	return hold->event ? 0 : err_set(err, -ENOMEM, "not enough memory for timers");
}

void proxy_hold_close(struct proxy_hold *hold)
{
	if (hold->event)
		event_free(hold->event);
	hold->event = NULL;
}

void proxy_hold_start(struct proxy_hold *hold)
{
	hold->deadline_ns = clock_now_ns() + HOLD_MS * NS_PER_MS;
	hold_again(hold);
}
