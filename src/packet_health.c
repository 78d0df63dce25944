// SPDX-License-Identifier: Apache-2.0
#include "packet_health.h"

#include <errno.h>
#include <event2/event.h>

#include "culvert/base/log.h"

// Between health and traffic, when the configuration wants it.
static int open_readiness(struct packet_health *self, struct err *err)
{
	struct service *service = self->with.service;
	struct readiness_params params = {
		.base = service->base,
		.netwatch = self->with.netwatch,
		.config = service->config,
		.registry = service->registry,
		.on_change = service_take_health,
		.on_gate = service_take_gate,
		.arg = service,
	};
	if (service->config->mode != MODE_DSR || !service->config->dsr.require_ready)
		return 0;
	return readiness_open(&self->readiness, &params, err);
}

static int open_passive(struct packet_health *self, struct err *err)
{
	struct passive_params params = {
		.activity = self->with.service->activity,
		.registry = self->with.service->registry,
		.engine = self->with.engine,
		.health = self->with.service->health,
	};
	return passive_start(&self->passive, &params, err);
}

static int guard_in(const struct packet_health *self, int seconds)
{
	const struct timeval wait = {.tv_sec = seconds};
	return event_add(self->guarding, &wait);
}

static void on_guarding(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct packet_health *self = arg;
	struct err err = {0};
	int code = guard_refresh(self->with.guard, &err);
	if (code)
		log_warn("firewall", "a restart may cost connections, next try in %d s: %s",
			 GUARD_RETRY_S, err.message);
	guard_in(self, code ? GUARD_RETRY_S : GUARD_REFRESH_S);
}

static void on_settling_news(void *arg)
{
	struct packet_health *self = arg;
	service_publish_soon(self->with.service);
}

// What keeps connections alive from one run of DSR mode to the next.
static int open_restart_care(struct packet_health *self, struct err *err)
{
	struct settling_params params = {
		.base = self->with.service->base,
		.registry = self->with.service->registry,
		.health = self->with.service->health,
		.readiness = self->readiness,
		.on_news = on_settling_news,
		.arg = self,
	};
	self->guarding = event_new(params.base, -1, 0, on_guarding, self);
	if (!self->guarding || guard_in(self, GUARD_REFRESH_S))
		return err_set(err, -ENOMEM, "not enough memory for timers");
	return settling_start(&self->settling, &params, err);
}

int packet_health_open(struct packet_health *self, const struct packet_health_params *params,
		       struct err *err)
{
	struct service *service = params->service;
	self->with = *params;
	int code = open_readiness(self, err);
	service->readiness = self->readiness;
	if (!code)
		code = service_open_health(service, err);
	if (!code)
		code = open_passive(self, err);
	if (code || service->config->mode != MODE_DSR)
		return code;
	return open_restart_care(self, err);
}

void packet_health_stop(struct packet_health *self)
{
	settling_stop(self->settling);
	passive_stop(self->passive);
}

void packet_health_close(struct packet_health *self)
{
	readiness_close(self->readiness);
	if (self->guarding)
		event_free(self->guarding);
}
