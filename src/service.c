// SPDX-License-Identifier: Apache-2.0
#include "service.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "culvert/base/clock.h"
#include "culvert/base/event_loop.h"
#include "culvert/base/log.h"
#include "culvert/base/notify.h"
#include "culvert/control/activity.h"
#include "culvert/control/live.h"
#include "flow_writer.h"
#include "inquiry.h"
#include "reload.h"
#include "service_private.h"
#include "slow_start.h"

enum { LOOK_EVERY_S = 5 };

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
	activity_stir(service->activity); // who came up, or is new, is looked at from now on
	if (!code) {
		flow_writer_follow(service->flow_writer, service->registry);
		code = service->hooks->publish(service->arg, snapshot, &err);
	}
	if (code)
		publish_later(service, &err);
}

void service_publish_now(struct service *service)
{
	event_del(service->publishing);
	publish(service);
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

static void on_reopen(evutil_socket_t signal_number, short what, void *arg)
{
	(void)signal_number;
	(void)what;
	struct service *service = arg;
	flow_writer_reopen(service->flow_writer);
}

// All in one: a wake-up costs more than what is done.
static void on_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct service *service = arg;
	log_flush_limits(clock_now_ns());
	reload_look(service->reload);
	if (service->hooks->look)
		service->hooks->look(service->arg);
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
		reload_soon(service->reload, RELOAD_BY_SIGNAL);
}

int service_follow_config(struct service *service, struct config *config, struct err *err)
{
	struct config *before = service->config;
	service->config = config_ref(config);
	int code = service->hooks->follow_config(service->arg, err);
	int other = service_follow_registry(service, code ? NULL : err);
	config_unref(before); // until now checks had borrowed from it
	event_del(service->publishing);
	publish(service);
	return code ? code : other;
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
	static const struct timeval look_every = {.tv_sec = LOOK_EVERY_S};
	service->reopening = evsignal_new(service->base, SIGUSR1, on_reopen, service);
	service->looking = event_new(service->base, -1, EV_PERSIST, on_look, service);
	if (!service->reopening || !service->looking || event_add(service->reopening, NULL) ||
	    event_add(service->looking, &look_every) || open_watchdog(service))
		return err_set(err, -ENOMEM, "not enough memory for timers");
	return 0;
}

static int open_events(struct service *service, struct err *err)
{
	service->base = event_loop_create();
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
	service->draining = evtimer_new(service->base, service_on_draining, service);
	service->tending = evtimer_new(service->base, service_on_tending, service);
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
		code = activity_create(&service->activity, service->base, err);
	if (!code)
		code = events_create(&service->events, err);
	if (!code)
		code = registry_create(&service->registry, service->config, service->secret,
				       n_threads, err);
	if (!code)
		registry_watch_panics(service->registry, service_take_panic, service);
	if (!code)
		code = slow_start_create(&service->slow_start, service->registry, err);
	return code;
}

int service_open_health(struct service *service, struct err *err)
{
	struct health **health = &service->health;
	uint32_t n = registry_max_backends(service->registry);
	int code;
	if (service->readiness)
		code = health_create(health, service->base, n, readiness_take_health,
				     service->readiness, err);
	else
		code = health_create(health, service->base, n, service_take_health, service, err);
	return code ? code : service_follow_registry(service, err);
}

int service_open_api(struct service *service, struct err *err)
{
	struct api_source source = {
		.registry = service->registry,
		.health = service->health,
		.ops = service_ops(service->config->mode),
		.arg = service,
	};
	int code = api_start(&service->api, service->base, &source, err);
	if (!code)
		code = live_start(&service->live, service->activity, &source, service->api,
				  service->events, err);
	return code;
}

int service_open_reload(struct service *service, struct err *err)
{
	return reload_open(&service->reload, service, err);
}

int service_open_flow_log(struct service *service, struct flow_journal *const *journals, uint32_t n,
			  struct err *err)
{
	struct flow_writer_params params = {
		.config = service->config,
		.registry = service->registry,
		.journals = journals,
		.n_journals = n,
	};
	if (!service->config->flow_log.path)
		return 0;
	return flow_writer_start(&service->flow_writer, &params, err);
}

// ---- taking down, last opened first ------------------------------------------------------------

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void service_close_outward(struct service *service)
{
	inquiry_forget(service->inquiry);
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

void service_close_flow_log(struct service *service)
{
	flow_writer_stop(service->flow_writer);
	service->flow_writer = NULL;
}

void service_close(struct service *service)
{
	inquiry_close(service->inquiry);
	slow_start_destroy(service->slow_start);
	registry_destroy(service->registry);
	events_destroy(service->events);
	free_event(service->tending);
	free_event(service->draining);
	log_flush_limits(UINT64_MAX);
	free_event(service->watchdog);
	free_event(service->looking);
	free_event(service->reopening);
	free_event(service->hangup);
	free_event(service->publishing);
	activity_destroy(service->activity);
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

void service_await(struct service *service, bool (*is_over)(const void *arg), uint32_t patience_ms)
{
	static const struct timeval step = {.tv_usec = 10000};
	struct event_base *base = service->base;
	uint64_t deadline = clock_now_ns() + patience_ms * NS_PER_MS;
	while (!is_over(service->arg) && clock_now_ns() < deadline) {
		event_base_loopexit(base, &step);
		if (event_base_dispatch(base) < 0 || event_base_got_break(base))
			return;
	}
	// What has been found is published before anything else happens.
	event_base_loop(base, EVLOOP_NONBLOCK);
}

int service_run(struct service *service, struct err *err)
{
	const struct config *config = service->config;
	events_add(service->events, EVENT_START, LOG_INFO, "",
		   "culvert " CULVERT_VERSION " is ready, in %s mode, with %s",
		   mode_name(config->mode), config->path);
	notify_ready("%s mode, %zu frontend%s", mode_name(config->mode), config->n_frontends,
		     config->n_frontends == 1 ? "" : "s");
	int code = event_base_dispatch(service->base);
	notify_stopping();
	if (code == 0)
		return 0;
	return err_set(err, -EIO, "the event loop broke down");
}

void service_log_failure(bool was_ready, const struct err *err)
{
	log_error("culvert", "cannot %s: %s", was_ready ? "go on" : "start", err->message);
}
