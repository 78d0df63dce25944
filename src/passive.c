// SPDX-License-Identifier: Apache-2.0
// The packet path only counts: it neither calls the system nor waits. So the counters are looked at
// a few times a second, which is sooner than most checks come round.
#include "passive.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "culvert/base/clock.h"
#include "culvert/control/open_watch.h"

enum { PERIOD_MS = 250, REASON_MAX = 128 };

struct passive {
	struct passive_params params;
	struct event *event;         // owned
	struct open_watch watches[]; // by slot
};

// What answers, answers as soon as a check has to be answered; a look may come one period late.
static struct open_rules rules_of(const struct passive *self, const struct config_pool *pool)
{
	return (struct open_rules){
		.fall = pool->fall,
		.silence_ns = (pool->health_check_timeout_ms + PERIOD_MS) * NS_PER_MS,
		// Nothing may be what a service of UDP answers.
		.hears_answers = registry_config(self->params.registry)->mode != MODE_DSR &&
				 pool->proto == IPPROTO_TCP,
	};
}

static void look_at(struct passive *self, uint32_t backend, const struct config_pool *pool)
{
	struct opens opens;
	char reason[REASON_MAX];
	struct health *health = self->params.health;
	struct open_rules rules = rules_of(self, pool);
	engine_opens(self->params.engine, backend, &opens);
	switch (open_watch_look(&self->watches[backend], &rules, &opens, clock_now_ns())) {
	case OPENS_WELL:
		break;
	case OPENS_REFUSED:
		snprintf(reason, sizeof(reason), "%u connections of clients in a row were refused",
			 pool->fall);
		health_report_failure(health, backend, reason);
		break;
	case OPENS_SILENT:
		health_report_silence(health, backend);
		break;
	}
}

static void on_period(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct passive *self = arg;
	for (uint32_t i = 0; i < registry_n_backends(self->params.registry); i++) {
		const struct snapshot_backend *backend = registry_backend(self->params.registry, i);
		// What is down is asked for nothing new: what it says is about before.
		if (!backend->config || !health_is_up(self->params.health, i))
			self->watches[i] = (struct open_watch){0};
		else
			look_at(self, i, backend->pool_config);
	}
}

int passive_start(struct passive **passive, const struct passive_params *params, struct err *err)
{
	static const struct timeval period = {.tv_usec = (suseconds_t)PERIOD_MS * 1000};
	size_t n = registry_max_backends(params->registry);
	struct passive *made = calloc(1, sizeof(*made) + n * sizeof(made->watches[0]));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for passive checks");
	made->params = *params;
	made->event = event_new(params->base, -1, EV_PERSIST, on_period, made);
	if (!made->event || event_add(made->event, &period)) {
		passive_stop(made);
		return err_set(err, -ENOMEM, "not enough memory for timers");
	}
	*passive = made;
	return 0;
}

void passive_stop(struct passive *passive)
{
	if (!passive)
		return;
	if (passive->event)
		event_free(passive->event);
	free(passive);
}
