// SPDX-License-Identifier: Apache-2.0
#include "settling.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "culvert/base/clock.h"

enum { PERIOD_MS = 100, SETTLE_MAX_MS = 60000 };

struct settling {
	struct settling_params params;
	struct event *event; // owned; pending: some backend is not known yet
	uint64_t deadline_ns;
};

static bool is_backend_known(const struct settling_params *params, size_t backend)
{
	if (params->readiness && readiness_is_awaited(params->readiness, backend))
		return false;
	return health_is_known(params->health, backend);
}

static void on_period(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct settling *settling = arg;
	const struct settling_params *params = &settling->params;
	bool is_over = clock_now_ns() > settling->deadline_ns;
	bool has_news = false;
	bool is_settled = true;
	for (uint32_t i = 0; i < registry_n_backends(params->registry); i++) {
		if (!registry_backend(params->registry, i)->config)
			continue;
		if (is_over || is_backend_known(params, i))
			has_news |= registry_set_known(params->registry, i);
		else
			is_settled = false;
	}
	if (is_settled)
		event_del(settling->event);
	if (has_news)
		params->on_news(params->arg);
}

int settling_start(struct settling **settling, const struct settling_params *params,
		   struct err *err)
{
	static const struct timeval period = {.tv_usec = (suseconds_t)PERIOD_MS * 1000};
	struct settling *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for timers");
	made->params = *params;
	made->deadline_ns = clock_now_ns() + SETTLE_MAX_MS * NS_PER_MS;
	made->event = event_new(params->base, -1, EV_PERSIST, on_period, made);
	if (!made->event || event_add(made->event, &period)) {
		settling_stop(made);
		return err_set(err, -ENOMEM, "not enough memory for timers");
	}
	*settling = made;
	return 0;
}

void settling_stop(struct settling *settling)
{
	if (!settling)
		return;
	if (settling->event)
		event_free(settling->event);
	free(settling);
}
