// SPDX-License-Identifier: Apache-2.0
// Backends and frontends that come and go, and what health and time bring them.
#include <event2/event.h>
#include <stdio.h>

#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "service_private.h"
#include "slow_start.h"

enum {
	DRAIN_LOOK_MS = 500,
	HEALTH_LINES_MAX = 200, // of a kind in a while; the API has the rest
};

const char *service_subject(const struct snapshot_backend *b, char text[EVENT_SUBJECT_MAX])
{
	snprintf(text, EVENT_SUBJECT_MAX, "%s/%s", b->pool_config->name, b->config->name);
	return text;
}

// ---- health ------------------------------------------------------------------------------------

// What waits for time to pass is looked at in a second.
static void tend_later(struct service *service)
{
	static const struct timeval second = {.tv_sec = 1};
	if (!event_pending(service->tending, EV_TIMEOUT, NULL) &&
	    event_add(service->tending, &second))
		log_error("culvert", "no memory for a timer: slow starts stand still");
}

void service_take_health(void *arg, size_t backend, bool is_up, const char *reason)
{
	struct service *service = arg;
	const struct snapshot_backend *b = registry_backend(service->registry, (uint32_t)backend);
	const char *state = is_up ? "up" : "down";
	char addr[CONFIG_BACKEND_TEXT_MAX];
	char text[CONFIG_BACKEND_LABEL_MAX];
	char subject[EVENT_SUBJECT_MAX];
	const struct log_field fields[] = {
		{"pool", b->pool_config->name},
		{"backend", b->config->name},
		{"addr", config_backend_format(b->config, addr)},
		{"state", state},
		{"reason", reason},
		{NULL, NULL},
	};
	static struct log_limit limit = LOG_LIMIT(HEALTH_LINES_MAX);
	events_add(service->events, EVENT_HEALTH, is_up ? LOG_INFO : LOG_WARN,
		   service_subject(b, subject), "%s: %s", state, reason);
	log_limited(&limit, is_up ? LOG_INFO : LOG_WARN, "health", fields, "backend %s is %s: %s",
		    config_backend_label(b->pool_config, b->config, text), state, reason);
	bool is_again = b->is_known;
	registry_set_up(service->registry, (uint32_t)backend, is_up);
	if (!is_up)
		slow_start_end(service->slow_start, (uint32_t)backend);
	else if (is_again)
		slow_start_begin(service->slow_start, (uint32_t)backend, clock_now_ns());
	tend_later(service);
	service_publish_soon(service);
}

bool service_has_backend(const struct service *service, uint32_t pool)
{
	const struct snapshot_pool *p = registry_pool(service->registry, pool);
	for (uint32_t i = 0; i < p->n_members; i++) {
		if (registry_backend(service->registry, p->members[i])->is_up)
			return true;
	}
	return false;
}

bool service_has_backends(const struct service *service)
{
	for (uint32_t i = 0; i < registry_n_pools(service->registry); i++) {
		if (!service_has_backend(service, i))
			return false;
	}
	return true;
}

void service_take_panic(void *arg, const char *pool, bool is_in_panic, const char *text)
{
	const struct service *service = arg;
	events_add(service->events, EVENT_HEALTH, is_in_panic ? LOG_WARN : LOG_INFO, pool, "%s",
		   text);
}

void service_take_gate(void *arg, size_t frontend, enum frontend_gate gate)
{
	static const char *const texts[] = {
		[GATE_OPEN] = "open: every backend that is up in its pool is ready for it",
		[GATE_AWAITED] = "waits for the readiness check of its pool",
		[GATE_SHUT] = "shut: some backend of its pool is not ready for it",
	};
	struct service *service = arg;
	const struct snapshot_frontend *f =
		registry_frontend(service->registry, (uint32_t)frontend);
	if (!registry_set_gate(service->registry, (uint32_t)frontend, gate))
		return;
	if (f->state == SLOT_ACTIVE)
		events_add(service->events, EVENT_HEALTH, gate == GATE_SHUT ? LOG_WARN : LOG_INFO,
			   f->config->name, "%s", texts[gate]);
	service_publish_soon(service);
}

// What health does not say: that a backend was never up. Returns whether that is news for the data
// path.
static bool judge(struct service *service, uint32_t backend)
{
	char subject[EVENT_SUBJECT_MAX];
	struct health_report report;
	if (!health_is_known(service->health, backend) ||
	    registry_is_judged(service->registry, backend))
		return false;
	health_describe(service->health, backend, &report);
	if (!report.is_up)
		events_add(service->events, EVENT_HEALTH, LOG_WARN,
			   service_subject(registry_backend(service->registry, backend), subject),
			   "down from the start: %s", report.reason);
	return registry_set_judged(service->registry, backend);
}

static bool is_to_be_judged(const struct service *service, uint32_t backend)
{
	return registry_backend(service->registry, backend)->config &&
	       !registry_is_judged(service->registry, backend);
}

// What time brings.
void service_on_tending(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct service *service = arg;
	bool is_news = slow_start_step(service->slow_start, clock_now_ns());
	bool is_awaited = slow_start_is_under_way(service->slow_start);
	for (uint32_t i = 0; i < registry_n_backends(service->registry); i++) {
		is_news |= judge(service, i);
		is_awaited |= is_to_be_judged(service, i);
	}
	if (is_news)
		service_publish_soon(service);
	if (is_awaited)
		tend_later(service);
}

// ---- coming and going --------------------------------------------------------------------------

static int follow_backend(struct service *service, uint32_t slot, struct err *err)
{
	const struct snapshot_backend *b = registry_backend(service->registry, slot);
	if (!b->config)
		return 0;
	if (health_has(service->health, slot))
		return health_change(service->health, slot, b->pool_config, b->config, err);
	return health_add(service->health, slot, b->pool_config, b->config, err);
}

static void look_again_soon(struct service *service)
{
	static const struct timeval soon = {.tv_usec = (suseconds_t)DRAIN_LOOK_MS * 1000};
	if (registry_is_draining(service->registry))
		event_add(service->draining, &soon);
}

int service_follow_registry(struct service *service, struct err *err)
{
	int code = 0;
	// To the end, whatever fails: checks have borrowed from the configuration of before.
	for (uint32_t i = 0; i < registry_n_backends(service->registry); i++) {
		int other = follow_backend(service, i, code ? NULL : err);
		code = code ? code : other;
	}
	if (service->readiness)
		readiness_follow(service->readiness);
	tend_later(service);
	look_again_soon(service);
	return code;
}

static void release_frontend(struct service *service, uint32_t slot)
{
	const struct snapshot_frontend *f = registry_frontend(service->registry, slot);
	if (f->state < SLOT_REMOVED || service->hooks->frontend_users(service->arg, slot))
		return;
	service->hooks->forget_frontend(service->arg, slot);
	events_add(service->events, EVENT_RELOAD, LOG_INFO, f->config->name, "drained, and gone");
	log_info("reload", "frontend %s has %s and is gone", f->config->name,
		 f->state == SLOT_OVER ? "had its drain_timeout" : "drained");
	registry_give_back_frontend(service->registry, slot);
	service_publish_soon(service);
}

// It is checked until its last flow has ended: when it dies meanwhile, its clients are told.
static void release_backend(struct service *service, uint32_t slot)
{
	char text[CONFIG_BACKEND_LABEL_MAX];
	char subject[EVENT_SUBJECT_MAX];
	struct traffic counted;
	const struct snapshot_backend *b = registry_backend(service->registry, slot);
	if (b->state < SLOT_REMOVED || service->hooks->backend_users(service->arg, slot))
		return;
	service->hooks->forget_backend(service->arg, slot, &counted);
	registry_add_past(service->registry, slot, &counted);
	events_add(service->events, EVENT_RELOAD, LOG_INFO, service_subject(b, subject),
		   "drained, and gone");
	log_info("reload", "backend %s has %s and is gone",
		 config_backend_label(b->pool_config, b->config, text),
		 b->state == SLOT_OVER ? "had its drain_timeout" : "drained");
	slow_start_end(service->slow_start, slot);
	health_remove(service->health, slot);
	if (service->readiness)
		readiness_forget(service->readiness, slot);
	registry_give_back_backend(service->registry, slot);
	service_publish_soon(service);
}

void service_on_draining(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct service *service = arg;
	// Nothing is given back of which the data path has not heard yet that it was removed.
	if (!event_pending(service->publishing, EV_TIMEOUT, NULL)) {
		for (uint32_t i = 0; i < registry_n_frontends(service->registry); i++)
			release_frontend(service, i);
		for (uint32_t i = 0; i < registry_n_backends(service->registry); i++)
			release_backend(service, i);
	}
	if (registry_end_drains(service->registry, clock_now_ns()))
		service_publish_soon(service);
	look_again_soon(service);
}
