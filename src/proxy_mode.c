// SPDX-License-Identifier: Apache-2.0
// Proxy mode as a whole. Everything here runs on the main thread, which is control: it owns the
// event loop, starts the threads that relay, and hands them a new snapshot whenever health changes.
#include "proxy_mode.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "culvert/base/notify.h"
#include "culvert/control/activity.h"
#include "culvert/control/firewall.h"
#include "culvert/control/instance.h"
#include "culvert/proxy/proxy.h"
#include "inquiry.h"
#include "privileges.h"
#include "proxy_hold.h"
#include "service.h"

enum { DRAIN_LOOK_US = 20000, FIRST_CHECKS_MS = 1000, REASON_MAX = 128, SESSIONS_TEXT_MAX = 32 };

struct proxy_mode {
	// Everything is owned.
	struct service service;
	struct proxy *proxy;
	struct proxy_hold hold;
	struct event *alarm;    // the data path suspects a backend
	struct event *steering; // every minute
	struct event *draining; // while sessions are let finish
	uint64_t drain_end_ns;  // 0: not draining
	bool is_ready;
};

// ---- stopping ----------------------------------------------------------------------------------

static const char *format_sessions(uint64_t count, char *text)
{
	snprintf(text, SESSIONS_TEXT_MAX, "%llu session%s", (unsigned long long)count,
		 count == 1 ? "" : "s");
	return text;
}

static void look_at_drain(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct proxy_mode *self = arg;
	char text[SESSIONS_TEXT_MAX];
	bool is_drained = proxy_is_drained(self->proxy);
	if (!is_drained && clock_now_ns() < self->drain_end_ns)
		return;
	if (!is_drained)
		log_warn("culvert", "drain_timeout is over: resetting %s",
			 format_sessions(proxy_n_sessions(self->proxy), text));
	event_base_loopbreak(self->service.base);
}

static void start_drain(struct proxy_mode *self, int signal_number, uint64_t n_sessions)
{
	const struct timeval look = {.tv_usec = DRAIN_LOOK_US};
	uint32_t drain_ms = self->service.config->proxy.drain_timeout_ms;
	char text[SESSIONS_TEXT_MAX];
	if (n_sessions)
		log_info("culvert",
			 "SIG%s: no new connections; waiting up to %g s for %s (a second signal "
			 "stops at once)",
			 sigabbrev_np(signal_number), drain_ms / 1000.0,
			 format_sessions(n_sessions, text));
	else
		log_info("culvert", "SIG%s: stopping, no session is open",
			 sigabbrev_np(signal_number));
	notify_status("no new connections; waiting for %s", format_sessions(n_sessions, text));
	self->drain_end_ns = clock_now_ns() + drain_ms * NS_PER_MS;
	proxy_drain(self->proxy);
	event_add(self->draining, &look);
}

static void on_stop(void *arg, int signal_number)
{
	struct proxy_mode *self = arg;
	char text[SESSIONS_TEXT_MAX];
	uint64_t n_sessions = proxy_n_sessions(self->proxy);
	bool is_again = self->drain_end_ns != 0;
	if (!is_again && self->service.config->proxy.drain_timeout_ms > 0) {
		start_drain(self, signal_number, n_sessions);
		return;
	}
	log_info("culvert", "SIG%s%s: stopping, resetting %s", sigabbrev_np(signal_number),
		 is_again ? " again" : "", format_sessions(n_sessions, text));
	event_base_loopbreak(self->service.base);
}

// ---- running -----------------------------------------------------------------------------------

static int on_publish(void *arg, struct snapshot *snapshot, struct err *err)
{
	(void)err;
	struct proxy_mode *self = arg;
	proxy_publish(self->proxy, snapshot);
	return 0;
}

static int gather(void *arg, struct stats *stats)
{
	const struct proxy_mode *self = arg;
	return proxy_stats(self->proxy, &stats->sessions);
}

static uint64_t frontend_users(void *arg, uint32_t frontend)
{
	const struct proxy_mode *self = arg;
	return proxy_frontend_users(self->proxy, frontend);
}

static uint64_t backend_users(void *arg, uint32_t backend)
{
	const struct proxy_mode *self = arg;
	return proxy_backend_users(self->proxy, backend);
}

static void forget_frontend(void *arg, uint32_t frontend)
{
	const struct proxy_mode *self = arg;
	proxy_forget_frontend(self->proxy, frontend);
}

static void forget_backend(void *arg, uint32_t backend, struct traffic *counted)
{
	const struct proxy_mode *self = arg;
	proxy_forget_backend(self->proxy, backend, counted);
}

static void get_status(void *arg, struct api_status *status)
{
	const struct proxy_mode *self = arg;
	status->state = self->is_ready ? API_READY : API_STARTING;
	if (self->drain_end_ns)
		status->state = API_DRAINING;
	status->n_threads = proxy_n_threads(self->proxy);
	status->max_sessions = proxy_max_sessions(self->proxy);
}

static int refuse_while_stopping(const struct proxy_mode *self, struct err *err)
{
	return self->drain_end_ns ? err_set(err, -EBUSY, "culvert is stopping") : 0;
}

static int check_config(void *arg, const struct config *config, struct err *err)
{
	const struct proxy_mode *self = arg;
	int code = refuse_while_stopping(self, err);
	return code ? code : proxy_check(self->proxy, config, err);
}

static bool is_settled(void *arg)
{
	const struct proxy_mode *self = arg;
	return proxy_is_settled(self->proxy);
}

static int prepare_config(void *arg, const struct config *config, struct err *err)
{
	struct proxy_mode *self = arg;
	return proxy_prepare(self->proxy, config, err);
}

static void abandon_config(void *arg)
{
	struct proxy_mode *self = arg;
	proxy_abandon(self->proxy);
}

static int follow_config(void *arg, struct err *err)
{
	(void)err;
	struct proxy_mode *self = arg;
	proxy_commit(self->proxy);
	proxy_hold_start(&self->hold);
	return 0;
}

static void on_alarm(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct proxy_mode *self = arg;
	int32_t backend;
	while ((backend = proxy_take_suspect(self->proxy)) >= 0) {
		char reason[REASON_MAX];
		const struct snapshot_backend *b =
			registry_backend(self->service.registry, (uint32_t)backend);
		if (!b->config) // it has drained, and the data path is about to hear of it
			continue;
		snprintf(reason, sizeof(reason), "%u connects of clients in a row failed",
			 b->pool_config->fall);
		health_report_failure(self->service.health, (size_t)backend, reason);
	}
}

static void on_steering(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct proxy_mode *self = arg;
	proxy_steer(self->proxy);
}

static int open_events(struct proxy_mode *self, struct err *err)
{
	static const struct timeval minute = {.tv_sec = 60};
	struct event_base *base = self->service.base;
	self->alarm =
		event_new(base, proxy_alarm_fd(self->proxy), EV_READ | EV_PERSIST, on_alarm, self);
	self->draining = event_new(base, -1, EV_PERSIST, look_at_drain, self);
	self->steering = event_new(base, -1, EV_PERSIST, on_steering, self);
	if (!self->alarm || !self->draining || !self->steering || event_add(self->alarm, NULL) ||
	    event_add(self->steering, &minute))
		return err_set(err, -ENOMEM, "not enough memory for events");
	return proxy_hold_open(&self->hold, &self->service, self->proxy, err);
}

// The library would complain by itself, on standard error.
static bool may_change_rules(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	return syscall(SYS_capget, &header, data) == 0 &&
	       (data[0].effective & (1U << CAP_NET_ADMIN));
}

// What a packet mode has rules for never reaches a listening socket.
static void warn_of_packet_mode(void)
{
	if (instance_holder() >= 0)
		log_warn("culvert",
			 "culvert runs in a packet mode as well in this network namespace; clients "
			 "of the addresses and ports that it serves do not come here");
}

static int open_proxy(struct proxy_mode *self, struct err *err)
{
	struct snapshot *snapshot;
	warn_of_packet_mode();
	int code = registry_snapshot(self->service.registry, &snapshot, err);
	if (code)
		return code;
	code = proxy_create(&self->proxy, self->service.config, snapshot, err);
	if (code)
		snapshot_destroy(snapshot);
	else
		proxy_tell_activity(self->proxy, activity_bell(self->service.activity));
	return code;
}

// Listeners come before health: clients that are early wait in the listen queue until the first
// checks have passed, and are not turned away.
static int open_all(struct proxy_mode *self, struct err *err)
{
	int code = service_open(&self->service, proxy_count_threads(self->service.config), err);
	if (!code)
		code = open_proxy(self, err);
	if (!code)
		code = open_events(self, err);
	if (!code)
		code = service_open_health(&self->service, err);
	if (!code)
		code = inquiry_open_proxy(&self->service.inquiry, &self->service, self->proxy, err);
	if (!code)
		code = service_open_api(&self->service, err);
	if (!code)
		code = service_open_reload(&self->service, err);
	return code;
}

static void close_all(struct proxy_mode *self)
{
	service_close_outward(&self->service);
	proxy_hold_close(&self->hold);
	if (self->draining)
		event_free(self->draining);
	if (self->steering)
		event_free(self->steering);
	if (self->alarm)
		event_free(self->alarm);
	if (self->service.flow_writer)
		proxy_stop(self->proxy); // the last sessions end
	service_close_flow_log(&self->service);
	proxy_destroy(self->proxy);
	service_close(&self->service);
}

static void log_empty_pools(const struct service *service)
{
	for (uint32_t i = 0; i < registry_n_pools(service->registry); i++) {
		if (!service_has_backend(service, i))
			log_warn("culvert",
				 "pool %s has no backend that is up yet; until it has, its clients "
				 "are reset",
				 registry_pool(service->registry, i)->config->name);
	}
}

static bool is_complete(const void *arg)
{
	const struct proxy_mode *self = arg;
	return self->drain_end_ns || service_has_backends(&self->service);
}

// "Ready" should mean that the first client is served, so the first checks are awaited. A pool that
// has nobody holds up the others for no longer than FIRST_CHECKS_MS.
static void await_backends(struct proxy_mode *self)
{
	service_await(&self->service, is_complete, FIRST_CHECKS_MS);
}

static int open_flow_log(struct proxy_mode *self, struct err *err)
{
	struct flow_journal *journals[CONFIG_MAX_WORKERS];
	uint32_t n = proxy_n_threads(self->proxy);
	for (uint32_t i = 0; i < n; i++)
		journals[i] = proxy_flow_journal(self->proxy, i);
	return service_open_flow_log(&self->service, journals, n, err);
}

static int serve(struct proxy_mode *self, struct err *err)
{
	await_backends(self);
	if (self->drain_end_ns || event_base_got_break(self->service.base))
		return 0; // told to stop before it began
	int code = privileges_settle(self->service.config, err);
	if (!code)
		code = open_flow_log(self, err);
	if (!code)
		code = proxy_start(self->proxy, err);
	if (code)
		return code;
	service_log_frontends(&self->service);
	log_empty_pools(&self->service);
	uint32_t n = proxy_n_threads(self->proxy);
	self->is_ready = true;
	log_info("culvert", "ready: proxy, %u thread%s, at most %u connections", n,
		 n == 1 ? "" : "s", proxy_max_sessions(self->proxy));
	return service_run(&self->service, err);
}

void proxy_mode_clear_way(const struct config *config)
{
	if (config->firewall_manage && may_change_rules() && instance_holder() == -ENOENT)
		(void)firewall_remove_lapsing(NULL);
}

int proxy_mode_run(struct config *config)
{
	static const struct service_hooks hooks = {
		.stop = on_stop,
		.publish = on_publish,
		.frontend_users = frontend_users,
		.backend_users = backend_users,
		.forget_frontend = forget_frontend,
		.forget_backend = forget_backend,
		.check_config = check_config,
		.is_settled = is_settled,
		.prepare_config = prepare_config,
		.abandon_config = abandon_config,
		.follow_config = follow_config,
		.gather = gather,
		.status = get_status,
	};
	struct proxy_mode self = {0};
	self.service =
		(struct service){.config = config_ref(config), .hooks = &hooks, .arg = &self};
	log_info("culvert", "version " CULVERT_VERSION ", configuration %s", config->path);
	struct err err = {0};
	int code = open_all(&self, &err);
	if (!code)
		code = serve(&self, &err);
	if (code)
		service_log_failure(self.is_ready, &err);
	close_all(&self);
	return code;
}
