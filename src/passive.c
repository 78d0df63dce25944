// SPDX-License-Identifier: Apache-2.0
// The packet path only counts: it neither calls the system nor waits. So the counters are looked at
// a few times a second, which is sooner than most checks come round, while anything moves.
#include "passive.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "culvert/base/clock.h"
#include "culvert/control/activity.h"
#include "culvert/control/open_watch.h"

enum { PERIOD_MS = 250, REASON_MAX = 128 };

struct passive {
	struct passive_params params;
	struct activity_watch watch;
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

// True: there is more to be seen here.
static bool look_at(struct passive *self, uint32_t backend, const struct config_pool *pool)
{
	struct opens opens;
	char reason[REASON_MAX];
	struct health *health = self->params.health;
	struct open_watch *watch = &self->watches[backend];
	struct open_watch before = *watch;
	struct open_rules rules = rules_of(self, pool);
	engine_opens(self->params.engine, backend, &opens);
	switch (open_watch_look(watch, &rules, &opens, clock_now_ns())) {
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
	return open_watch_has_moved(watch, &before) || open_watch_is_waiting(watch, &rules);
}

static bool on_period(void *arg, bool is_after_rest)
{
	struct passive *self = arg;
	bool has_moved = false;
	for (uint32_t i = 0; is_after_rest && i < registry_n_backends(self->params.registry); i++)
		open_watch_skip(&self->watches[i], clock_now_ns() - PERIOD_MS * NS_PER_MS);
	for (uint32_t i = 0; i < registry_n_backends(self->params.registry); i++) {
		const struct snapshot_backend *backend = registry_backend(self->params.registry, i);
		// What is down is asked for nothing new: what it says is about before.
		if (!backend->config || !health_is_up(self->params.health, i))
			self->watches[i] = (struct open_watch){0};
		else
			has_moved |= look_at(self, i, backend->pool_config);
	}
	return has_moved;
}

int passive_start(struct passive **passive, const struct passive_params *params, struct err *err)
{
	size_t n = registry_max_backends(params->registry);
	struct passive *made = calloc(1, sizeof(*made) + n * sizeof(made->watches[0]));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for passive checks");
	made->params = *params;
	made->watch = (struct activity_watch){
		.look = on_period,
		.arg = made,
		.period_ms = PERIOD_MS,
	};
	int code = activity_add(params->activity, &made->watch, err);
	if (code) {
		passive_stop(made);
		return code;
	}
	*passive = made;
	return 0;
}

void passive_stop(struct passive *passive)
{
	if (!passive)
		return;
	activity_remove(&passive->watch);
	free(passive);
}
