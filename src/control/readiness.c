// SPDX-License-Identifier: Apache-2.0
// A backend's round of checks: one for each frontend of its pool. It is over with the last result;
// one that did not pass begins the next round after a while.
#include "culvert/control/readiness.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>

#include "culvert/balance/registry.h"
#include "culvert/base/log.h"
#include "culvert/control/dsr_check.h"

enum { REASON_MAX = 256, SEEN_MAX = 640 };

// Balancers with the same check source do not meet every round.
enum { ROUND_MIN_MS = 4000, ROUND_SPREAD_MS = 2000 };

struct candidate {
	struct readiness *readiness; // borrowed, as the rest
	struct event timer;          // the next round
	unsigned n_awaited;          // results of this round
	unsigned n_failed;
	bool is_awaited;         // the first round since health found it up is under way
	bool is_up;              // as on_change said last
	char reason[REASON_MAX]; // why health says that it is up
	// What was logged last, so that the same is not said every round.
	bool is_logged;
	enum dsr_verdict logged_verdict;
	size_t logged_frontend;
};

struct readiness {
	struct readiness_params params;
	struct dsr_check *check; // owned
	size_t n_candidates;
	struct candidate candidates[]; // by slot of the backend
};

static size_t number_of(const struct candidate *candidate)
{
	return (size_t)(candidate - candidate->readiness->candidates);
}

static const struct snapshot_backend *backend_of(const struct candidate *candidate)
{
	return registry_backend(candidate->readiness->params.registry,
				(uint32_t)number_of(candidate));
}

// Last in whatever calls it: the callee may close all of it.
static void tell(struct candidate *candidate, bool is_up, const char *reason)
{
	struct readiness *self = candidate->readiness;
	candidate->is_up = is_up;
	self->params.on_change(self->params.arg, number_of(candidate), is_up, reason);
}

static void stop_round(struct candidate *candidate)
{
	event_del(&candidate->timer);
	dsr_check_cancel(candidate->readiness->check, number_of(candidate));
	candidate->n_awaited = 0;
	candidate->is_awaited = false;
}

static void schedule_round(struct candidate *candidate)
{
	uint16_t random;
	evutil_secure_rng_get_bytes(&random, sizeof(random));
	long ms = ROUND_MIN_MS + random % ROUND_SPREAD_MS;
	struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	if (event_add(&candidate->timer, &wait))
		log_error("dsr", "no memory for a timer: backend %s is not checked again",
			  backend_of(candidate)->config->name);
}

static void finish_round(struct candidate *candidate)
{
	char reason[REASON_MAX + 32];
	candidate->is_awaited = false;
	if (candidate->n_failed) {
		schedule_round(candidate);
		return;
	}
	candidate->is_logged = false;
	snprintf(reason, sizeof(reason), "%s; ready for dsr", candidate->reason);
	tell(candidate, true, reason);
}

// Returns whether any check was begun. Out of memory the round is one that did not pass.
static bool begin_checks(struct candidate *candidate)
{
	const struct readiness *self = candidate->readiness;
	const struct registry *registry = self->params.registry;
	const struct snapshot_backend *backend = backend_of(candidate);
	for (uint32_t i = 0; i < registry_n_frontends(registry); i++) {
		const struct snapshot_frontend *frontend = registry_frontend(registry, i);
		if (frontend->state != SLOT_ACTIVE || frontend->pool != backend->pool)
			continue;
		const struct dsr_subject subject = {
			.frontend = i,
			.backend = number_of(candidate),
			.vip = frontend->endpoint,
			.backend_endpoint = backend->endpoint,
			.is_health_checked = backend->pool_config->health_check != HEALTH_NONE,
		};
		if (dsr_check_start_subject(self->check, &subject) == 0)
			candidate->n_awaited++;
		else
			candidate->n_failed++;
	}
	return candidate->n_awaited;
}

static void begin_round(struct candidate *candidate)
{
	candidate->n_awaited = 0;
	candidate->n_failed = 0;
	if (!begin_checks(candidate))
		finish_round(candidate);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	begin_round(arg);
}

static void log_failure(struct candidate *candidate, const struct dsr_result *result)
{
	const struct readiness *self = candidate->readiness;
	const struct snapshot_backend *backend = backend_of(candidate);
	const struct snapshot_frontend *frontend =
		registry_frontend(self->params.registry, (uint32_t)result->frontend);
	char seen[SEEN_MAX];
	struct dsr_advice advice;
	if (candidate->is_logged && candidate->logged_verdict == result->verdict &&
	    candidate->logged_frontend == result->frontend)
		return;
	candidate->is_logged = true;
	candidate->logged_verdict = result->verdict;
	candidate->logged_frontend = result->frontend;
	log_warn("dsr",
		 "backend %s of pool %s is not ready for frontend %s and gets no traffic: %s",
		 backend->config->name, backend->pool_config->name,
		 frontend->config ? frontend->config->name : "(gone)",
		 dsr_result_format(result, seen, sizeof(seen)));
	dsr_result_explain(result, &advice);
	if (advice.cause[0])
		log_warn("dsr", "backend %s: %s", backend_of(candidate)->config->name,
			 advice.cause);
	for (unsigned i = 0; i < advice.n_commands; i++)
		log_warn("dsr", "backend %s:   %s", backend_of(candidate)->config->name,
			 advice.commands[i]);
}

static void on_result(void *arg, const struct dsr_result *result)
{
	struct readiness *self = arg;
	struct candidate *candidate = &self->candidates[result->backend];
	// The first failure of a round is told; the others mostly have the same cause.
	if (!dsr_verdict_passes(result->verdict) && candidate->n_failed++ == 0)
		log_failure(candidate, result);
	if (--candidate->n_awaited == 0)
		finish_round(candidate);
}

void readiness_take_health(void *readiness, size_t backend, bool is_up, const char *reason)
{
	struct readiness *self = readiness;
	assert(backend < self->n_candidates);
	struct candidate *candidate = &self->candidates[backend];
	stop_round(candidate);
	candidate->is_logged = false;
	if (is_up) {
		snprintf(candidate->reason, sizeof(candidate->reason), "%s", reason);
		candidate->is_awaited = true;
		begin_round(candidate);
	} else if (candidate->is_up) {
		tell(candidate, false, reason);
	} else {
		// No change for the registry, so nobody else would say it.
		log_info("dsr", "backend %s, which had not passed the readiness check, is down: %s",
			 backend_of(candidate)->config->name, reason);
	}
}

static struct readiness *create(const struct readiness_params *params)
{
	size_t n = registry_max_backends(params->registry);
	struct readiness *self = calloc(1, sizeof(*self) + n * sizeof(self->candidates[0]));
	if (!self)
		return NULL;
	self->params = *params;
	self->n_candidates = n;
	for (size_t i = 0; i < n; i++) {
		self->candidates[i].readiness = self;
		evtimer_assign(&self->candidates[i].timer, params->base, on_timer,
			       &self->candidates[i]);
	}
	return self;
}

int readiness_open(struct readiness **readiness, const struct readiness_params *params,
		   struct err *err)
{
	struct readiness *opened = create(params);
	if (!opened)
		return err_sys(err, -ENOMEM, "readiness");
	struct dsr_check_params check = {
		.base = params->base,
		.netwatch = params->netwatch,
		.config = params->config,
		.on_result = on_result,
		.arg = opened,
	};
	int code = dsr_check_open(&opened->check, &check, err);
	if (code) {
		free(opened);
		return code;
	}
	*readiness = opened;
	return 0;
}

void readiness_close(struct readiness *readiness)
{
	if (!readiness)
		return;
	dsr_check_close(readiness->check);
	for (size_t i = 0; i < readiness->n_candidates; i++)
		event_del(&readiness->candidates[i].timer);
	free(readiness);
}

void readiness_forget(struct readiness *readiness, size_t backend)
{
	struct candidate *candidate = &readiness->candidates[backend];
	stop_round(candidate);
	candidate->is_up = false;
	candidate->is_logged = false;
}

bool readiness_is_awaited(const struct readiness *readiness, size_t backend)
{
	assert(backend < readiness->n_candidates);
	return readiness->candidates[backend].is_awaited;
}

bool readiness_is_up(const struct readiness *readiness, size_t backend)
{
	assert(backend < readiness->n_candidates);
	return readiness->candidates[backend].is_up;
}
