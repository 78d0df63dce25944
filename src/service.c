// SPDX-License-Identifier: Apache-2.0
#include "service.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "culvert/base/notify.h"
#include "culvert/control/live.h"
#include "reload.h"
#include "slow_start.h"

enum {
	DRAIN_LOOK_MS = 500,
	HEALTH_LINES_MAX = 200, // of a kind in a while; the API has the rest
	LIMITS_EVERY_S = 5,
	SERVICE_BUSY = 409,
};

static const int stop_signals[SERVICE_SIGNALS] = {SIGTERM, SIGINT};

// ---- events ------------------------------------------------------------------------------------

void service_publish_soon(struct service *service)
{
	static const struct timeval now;
	event_add(service->publishing, &now);
}

// What could not be had now, memory mostly, may be had in a second.
static void publish_later(struct service *service, const struct err *err)
{
	static const struct timeval second = {.tv_sec = 1};
	log_error("culvert", "a change could not be carried out, next try in 1 s: %s",
		  err->message);
	event_add(service->publishing, &second);
}

static void publish(struct service *service)
{
	struct snapshot *snapshot;
	struct err err = {0};
	int code = registry_snapshot(service->registry, &snapshot, &err);
	if (!code)
		code = service->hooks->publish(service->arg, snapshot, &err);
	if (code)
		publish_later(service, &err);
}

static void on_publish(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	publish(arg);
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
	(void)what;
	struct service *service = arg;
	notify_stopping();
	service->hooks->stop(service->arg, signal_number);
}

// What events call a backend. Returns `text`.
static const char *subject_of(const struct snapshot_backend *b, char text[EVENT_SUBJECT_MAX])
{
	snprintf(text, EVENT_SUBJECT_MAX, "%s/%s", b->pool_config->name, b->config->name);
	return text;
}

static void on_reopen(evutil_socket_t signal_number, short what, void *arg)
{
	(void)signal_number;
	(void)what;
	struct service *service = arg;
	if (service->hooks->reopen_logs)
		service->hooks->reopen_logs(service->arg);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	log_flush_limits(clock_now_ns());
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	notify_watchdog();
}

// While it is still being built there is nothing to reload: the file has just been read.
static void on_hangup(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct service *service = arg;
	if (service->reload)
		reload_now(service->reload, RELOAD_BY_SIGNAL);
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
		   subject_of(b, subject), "%s: %s", state, reason);
	log_limited(&limit, is_up ? LOG_INFO : LOG_WARN, "health", fields, "backend %s is %s: %s",
		    config_backend_label(b->pool_config, b->config, text), state, reason);
	bool is_again = b->is_known;
	registry_set_up(service->registry, (uint32_t)backend, is_up);
	if (!is_up)
		slow_start_end(service->slow_start, (uint32_t)backend);
	else if (is_again)
		slow_start_begin(service->slow_start, (uint32_t)backend, clock_now_ns());
	service_publish_soon(service);
}

// What time brings, and what health does not say: that a backend was never up.
static void on_tending(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct service *service = arg;
	bool is_news = slow_start_step(service->slow_start, clock_now_ns());
	for (uint32_t i = 0; i < registry_n_backends(service->registry); i++) {
		if (health_is_known(service->health, i))
			is_news |= registry_set_judged(service->registry, i);
	}
	if (is_news)
		service_publish_soon(service);
}

// ---- backends and frontends that come and go ---------------------------------------------------

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
	for (uint32_t i = 0; i < registry_n_backends(service->registry) && !code; i++)
		code = follow_backend(service, i, err);
	look_again_soon(service);
	return code;
}

int service_follow_config(struct service *service, struct config *config, struct err *err)
{
	config_ref(config);
	config_unref(service->config);
	service->config = config;
	int code = service->hooks->follow_config(service->arg, err);
	int other = service_follow_registry(service, code ? NULL : err);
	event_del(service->publishing);
	publish(service);
	return code ? code : other;
}

void service_answer_reload(struct service *service, const struct api_reload_query *query,
			   struct api_request *request)
{
	struct reload_result result;
	const struct reload_request wanted = {
		.cause = RELOAD_BY_API,
		.is_plan = query->is_plan,
		.max_disruption = query->max_disruption,
	};
	if (!service->reload) {
		api_answer_error(request, SERVICE_BUSY, "try again in a moment",
				 "culvert is still starting");
		return;
	}
	reload_run(service->reload, &wanted, &result);
	api_answer_json(request, reload_result_status(&result), reload_result_json(&result));
	reload_result_fini(&result);
}

void service_fill_status(const struct service *service, struct api_status *status)
{
	if (!service->reload)
		return;
	status->loaded_ms = reload_loaded_ms(service->reload);
	status->last_reload = reload_last_json(service->reload);
}

static void release_frontend(struct service *service, uint32_t slot)
{
	const struct snapshot_frontend *f = registry_frontend(service->registry, slot);
	if (f->state < SLOT_REMOVED || service->hooks->frontend_users(service->arg, slot) ||
	    service->hooks->forget_frontend(service->arg, slot))
		return;
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
	const struct snapshot_backend *b = registry_backend(service->registry, slot);
	if (b->state < SLOT_REMOVED || service->hooks->backend_users(service->arg, slot) ||
	    service->hooks->forget_backend(service->arg, slot))
		return;
	events_add(service->events, EVENT_RELOAD, LOG_INFO, subject_of(b, subject),
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

static void on_draining(evutil_socket_t fd, short what, void *arg)
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

int service_set_state(struct service *service, uint32_t backend, enum admin_state state,
		      struct err *err)
{
	static const char *const names[] = {
		[ADMIN_READY] = "ready",
		[ADMIN_DRAIN] = "drain",
		[ADMIN_MAINT] = "maint",
	};
	const struct snapshot_backend *b = registry_backend(service->registry, backend);
	char label[CONFIG_BACKEND_LABEL_MAX];
	char subject[EVENT_SUBJECT_MAX];
	if (registry_set_admin(service->registry, backend, state))
		return err_set(err, -ENOMEM, "not enough memory to keep the state in mind");
	events_add(service->events, EVENT_ADMIN, LOG_INFO, subject_of(b, subject),
		   "state set to %s", names[state]);
	log_info("admin", "backend %s: state %s",
		 config_backend_label(b->pool_config, b->config, label), names[state]);
	service_publish_soon(service);
	return 0;
}

int service_set_weight(struct service *service, uint32_t backend, int32_t weight, struct err *err)
{
	const struct snapshot_backend *b = registry_backend(service->registry, backend);
	bool is_configured = weight == REGISTRY_WEIGHT_CONFIGURED;
	int32_t value = is_configured ? b->config->weight : weight;
	const char *source = is_configured ? ", as configured" : "";
	char label[CONFIG_BACKEND_LABEL_MAX];
	char subject[EVENT_SUBJECT_MAX];
	if (registry_set_weight(service->registry, backend, weight))
		return err_set(err, -ENOMEM, "not enough memory to keep the weight in mind");
	events_add(service->events, EVENT_ADMIN, LOG_INFO, subject_of(b, subject),
		   "weight set to %d%s", value, source);
	log_info("admin", "backend %s: weight %d%s",
		 config_backend_label(b->pool_config, b->config, label), value, source);
	service_publish_soon(service);
	return 0;
}

// ---- building ----------------------------------------------------------------------------------

// Health probes hold a descriptor each, relayed connections two. The hard limit is the
// administrator's word; the soft one is only a default.
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_watchdog(struct service *service)
{
	uint64_t period_us = notify_watchdog_period_us();
	const struct timeval period = {.tv_sec = (time_t)(period_us / 1000000),
				       .tv_usec = (suseconds_t)(period_us % 1000000)};
	if (period_us == 0)
		return 0;
	service->watchdog = event_new(service->base, -1, EV_PERSIST, on_watchdog, service);
	return service->watchdog ? event_add(service->watchdog, &period) : -1;
}

static int open_housekeeping(struct service *service, struct err *err)
{
	static const struct timeval flush_every = {.tv_sec = LIMITS_EVERY_S};
	service->reopening = evsignal_new(service->base, SIGUSR1, on_reopen, service);
	service->flushing = event_new(service->base, -1, EV_PERSIST, on_flush, service);
	if (!service->reopening || !service->flushing || event_add(service->reopening, NULL) ||
	    event_add(service->flushing, &flush_every) || open_watchdog(service))
		return err_set(err, -ENOMEM, "not enough memory for timers");
	return 0;
}

static int open_events(struct service *service, struct err *err)
{
	service->base = event_base_new();
	if (!service->base)
		return err_set(err, -ENOMEM, "cannot create an event loop");
	for (int i = 0; i < SERVICE_SIGNALS; i++) {
		service->signals[i] =
			evsignal_new(service->base, stop_signals[i], on_signal, service);
		if (!service->signals[i] || event_add(service->signals[i], NULL))
			return err_set(err, -ENOMEM, "cannot watch for signals");
	}
	service->hangup = evsignal_new(service->base, SIGHUP, on_hangup, service);
	if (!service->hangup || event_add(service->hangup, NULL))
		return err_set(err, -ENOMEM, "cannot watch for signals");
	service->publishing = evtimer_new(service->base, on_publish, service);
	service->draining = evtimer_new(service->base, on_draining, service);
	service->tending = event_new(service->base, -1, EV_PERSIST, on_tending, service);
	if (!service->publishing || !service->draining || !service->tending)
		return err_set(err, -ENOMEM, "not enough memory for timers");
	return open_housekeeping(service, err);
}

int service_open(struct service *service, uint32_t n_threads, struct err *err)
{
	raise_descriptor_limit();
	if (getrandom(&service->secret, sizeof(service->secret), 0) != sizeof(service->secret))
		return err_sys(err, -errno, "cannot get random bytes");
	int code = open_events(service, err);
	if (!code)
		code = events_create(&service->events, err);
	if (!code)
		code = registry_create(&service->registry, service->config, service->secret,
				       n_threads, err);
	if (!code)
		code = slow_start_create(&service->slow_start, service->registry, err);
	return code;
}

int service_open_health(struct service *service, struct err *err)
{
	static const struct timeval second = {.tv_sec = 1};
	struct health **health = &service->health;
	uint32_t n = registry_max_backends(service->registry);
	int code;
	if (service->readiness)
		code = health_create(health, service->base, n, readiness_take_health,
				     service->readiness, err);
	else
		code = health_create(health, service->base, n, service_take_health, service, err);
	if (!code && event_add(service->tending, &second))
		code = err_set(err, -ENOMEM, "not enough memory for timers");
	return code ? code : service_follow_registry(service, err);
}

int service_open_api(struct service *service, struct err *err)
{
	struct api_source source = {
		.registry = service->registry,
		.health = service->health,
		.ops = &service->hooks->api,
		.arg = service->arg,
	};
	int code = api_start(&service->api, service->base, &source, err);
	if (!code)
		code = live_start(&service->live, service->base, &source, service->api,
				  service->events, err);
	return code;
}

int service_open_reload(struct service *service, struct err *err)
{
	return reload_open(&service->reload, service, err);
}

// ---- taking down, last opened first ------------------------------------------------------------

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void service_close_outward(struct service *service)
{
	reload_close(service->reload);
	live_stop(service->live);
	api_stop(service->api);
	if (service->tending)
		event_del(service->tending);
	health_stop(service->health);
	service->live = NULL;
	service->api = NULL;
	service->reload = NULL;
	service->health = NULL;
}

void service_close(struct service *service)
{
	service_close_outward(service);
	slow_start_destroy(service->slow_start);
	registry_destroy(service->registry);
	events_destroy(service->events);
	free_event(service->tending);
	free_event(service->draining);
	log_flush_limits(UINT64_MAX);
	free_event(service->watchdog);
	free_event(service->flushing);
	free_event(service->reopening);
	free_event(service->hangup);
	free_event(service->publishing);
	for (int i = 0; i < SERVICE_SIGNALS; i++)
		free_event(service->signals[i]);
	if (service->base)
		event_base_free(service->base);
	config_unref(service->config);
	*service = (struct service){0};
}

// ---- running -----------------------------------------------------------------------------------

void service_log_frontends(const struct service *service)
{
	const struct config *config = service->config;
	struct endpoint page = {
		.addr = config->stats_listen_addr,
		.port_be = htons(config->stats_port),
	};
	char text[ENDPOINT_TEXT_MAX];
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		log_info("culvert", "frontend %s: %s %s to pool %s", frontend->name,
			 frontend->endpoint.proto == IPPROTO_TCP ? "tcp" : "udp",
			 endpoint_format(&frontend->endpoint, text),
			 config->pools[frontend->pool].name);
	}
	if (config->stats_port)
		log_info("culvert", "live page at http://%s/, statistics at /stats",
			 endpoint_format(&page, text));
	if (api_socket_path(service->api))
		log_info("culvert", "API at %s", api_socket_path(service->api));
}

int service_run(struct service *service, struct err *err)
{
	const struct config *config = service->config;
	events_add(service->events, EVENT_START, LOG_INFO, "",
		   "culvert " CULVERT_VERSION " is ready, in %s mode, with %s",
		   mode_name(config->mode), config->path);
	notify_ready("%s mode, %zu frontends", mode_name(config->mode), config->n_frontends);
	int code = event_base_dispatch(service->base);
	notify_stopping();
	if (code == 0)
		return 0;
	return err_set(err, -EIO, "the event loop broke down");
}
