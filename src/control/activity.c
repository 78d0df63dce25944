// SPDX-License-Identifier: Apache-2.0
#include "culvert/control/activity.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "culvert/ds/doorbell.h"

enum state {
	MOVING,  // something has moved in this round, or in the one before
	ARMED,   // nothing has in the one before, and the bell would tell
	RESTING, // nobody looks
};

struct activity {
	struct doorbell bell;
	struct event *rung;           // owned
	struct activity_watch *first; // borrowed list
	struct event_base *base;      // borrowed
	enum state state;
};

// In step: from a rest it comes back to the moment at which it would have looked without one.
static void schedule(struct activity_watch *watch)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t period_ns = watch->period_ms * NS_PER_MS;
	if (watch->due_ns <= now_ns)
		watch->due_ns += ((now_ns - watch->due_ns) / period_ns + 1) * period_ns;
	uint64_t delay_us = (watch->due_ns - now_ns) / 1000;
	struct timeval delay = {.tv_sec = (time_t)(delay_us / 1000000),
				.tv_usec = (suseconds_t)(delay_us % 1000000)};
	if (event_add(watch->timer, &delay))
		log_error("culvert", "no memory for a timer: counters are no longer looked at");
}

static bool are_all_still(const struct activity *activity)
{
	const struct activity_watch *watch = activity->first;
	while (watch && watch->is_still)
		watch = watch->next;
	return !watch;
}

static void begin_round(struct activity *activity)
{
	for (struct activity_watch *watch = activity->first; watch; watch = watch->next)
		watch->is_still = false;
}

static void rest(struct activity *activity)
{
	activity->state = RESTING;
	for (struct activity_watch *watch = activity->first; watch; watch = watch->next) {
		event_del(watch->timer);
		watch->has_rested = true;
	}
}

static void end_round(struct activity *activity)
{
	if (activity->state == ARMED) {
		rest(activity);
		return;
	}
	doorbell_arm(&activity->bell);
	activity->state = ARMED;
	begin_round(activity);
}

void activity_stir(struct activity *activity)
{
	bool has_rested = activity->state == RESTING;
	if (activity->state != MOVING)
		doorbell_disarm(&activity->bell);
	activity->state = MOVING;
	begin_round(activity);
	for (struct activity_watch *watch = activity->first; has_rested && watch;
	     watch = watch->next)
		schedule(watch);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct activity_watch *watch = arg;
	struct activity *activity = watch->activity;
	bool is_after_rest = watch->has_rested;
	watch->has_rested = false;
	watch->due_ns += watch->period_ms * NS_PER_MS;
	schedule(watch);
	if (watch->look(watch->arg, is_after_rest)) {
		activity_stir(activity);
		return;
	}
	watch->is_still = true;
	if (are_all_still(activity))
		end_round(activity);
}

// It may ring for nothing, when a thread was about to while the bell was disarmed.
static void on_rung(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct activity *activity = arg;
	doorbell_disarm(&activity->bell);
	activity_stir(activity);
}

int activity_create(struct activity **activity, struct event_base *base, struct err *err)
{
	struct activity *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory to watch the counters");
	int code = doorbell_open(&made->bell, err);
	if (code) {
		free(made);
		return code;
	}
	made->base = base;
	made->rung = event_new(base, made->bell.fd, EV_READ | EV_PERSIST, on_rung, made);
	if (!made->rung || event_add(made->rung, NULL)) {
		activity_destroy(made);
		return err_set(err, -ENOMEM, "not enough memory to watch the counters");
	}
	*activity = made;
	return 0;
}

void activity_destroy(struct activity *activity)
{
	if (!activity)
		return;
	if (activity->rung)
		event_free(activity->rung);
	doorbell_close(&activity->bell);
	free(activity);
}

struct doorbell *activity_bell(struct activity *activity)
{
	return &activity->bell;
}

int activity_add(struct activity *activity, struct activity_watch *watch, struct err *err)
{
	watch->timer = event_new(activity->base, -1, 0, on_due, watch);
	if (!watch->timer)
		return err_set(err, -ENOMEM, "not enough memory for timers");
	activity_stir(activity);
	watch->activity = activity;
	watch->next = activity->first;
	watch->due_ns = clock_now_ns() + watch->period_ms * NS_PER_MS;
	activity->first = watch;
	schedule(watch);
	return 0;
}

void activity_remove(struct activity_watch *watch)
{
	if (!watch->activity)
		return;
	struct activity_watch **place = &watch->activity->first;
	while (*place != watch)
		place = &(*place)->next;
	*place = watch->next;
	event_free(watch->timer);
	watch->activity = NULL;
}

bool activity_is_resting(const struct activity *activity)
{
	return activity->state == RESTING;
}
