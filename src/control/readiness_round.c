// SPDX-License-Identifier: Apache-2.0
#include "control/readiness_round.h"

#include <event2/event.h>
#include <event2/util.h>

#include "culvert/balance/registry.h"
#include "culvert/base/log.h"

// Balancers with the same check source do not meet every round.
enum { ROUND_MIN_MS = 4000, ROUND_SPREAD_MS = 2000 };

static void schedule(struct round *round)
{
	uint16_t random;
	evutil_secure_rng_get_bytes(&random, sizeof(random));
	long ms = ROUND_MIN_MS + random % ROUND_SPREAD_MS;
	struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	if (event_add(&round->timer, &wait))
		log_error("dsr", "no memory for a timer: readiness is not checked again");
}

static void finish(struct round *round)
{
	round->is_first = false;
	if (round->n_failed)
		schedule(round);
	else
		round->is_logged = false;
	round->kind->on_over(round);
}

static void begin(struct round *round)
{
	round->n_awaited = 0;
	round->n_failed = 0;
	round->kind->check_all(round);
	if (round->n_awaited == 0)
		finish(round);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	begin(arg);
}

void round_init(struct round *round, struct event_base *base)
{
	evtimer_assign(&round->timer, base, on_timer, round);
}

void round_stop(struct round *round)
{
	event_del(&round->timer);
	// All that are under way, of whatever round, are looked through.
	if (round->n_awaited)
		dsr_check_cancel(round->check, round);
	round->n_awaited = 0;
	round->is_first = false;
}

void round_start(struct round *round)
{
	round_stop(round);
	round->is_logged = false;
	round->is_first = true;
	begin(round);
}

void round_check(struct round *round, uint32_t frontend, uint32_t backend)
{
	const struct snapshot_frontend *f = registry_frontend(round->registry, frontend);
	const struct snapshot_backend *b = registry_backend(round->registry, backend);
	const struct dsr_subject subject = {
		.frontend = frontend,
		.backend = backend,
		.vip = f->endpoint,
		.backend_endpoint = b->endpoint,
		.is_health_checked = b->pool_config->health_check != HEALTH_NONE,
		.asker = round,
	};
	if (dsr_check_start_subject(round->check, &subject) == 0)
		round->n_awaited++;
	else
		round->n_failed++;
}

static bool is_said(const struct round *round, const struct dsr_result *result)
{
	return round->is_logged && round->logged_verdict == result->verdict &&
	       round->logged_frontend == result->frontend &&
	       round->logged_backend == result->backend;
}

static void log_failure(struct round *round, const struct dsr_result *result)
{
	struct dsr_advice advice;
	const char *backend =
		registry_backend(round->registry, (uint32_t)result->backend)->config->name;
	if (is_said(round, result))
		return;
	round->is_logged = true;
	round->logged_verdict = result->verdict;
	round->logged_frontend = result->frontend;
	round->logged_backend = result->backend;
	round->kind->log(round, result);
	dsr_result_explain(result, &advice);
	if (advice.cause[0])
		log_warn("dsr", "backend %s: %s", backend, advice.cause);
	for (unsigned i = 0; i < advice.n_commands; i++)
		log_warn("dsr", "backend %s:   %s", backend, advice.commands[i]);
}

void round_take_result(void *arg, const struct dsr_result *result)
{
	(void)arg;
	struct round *round = result->asker;
	// The first failure of a round is told; the others mostly have the same cause.
	if (!dsr_verdict_passes(result->verdict) && round->n_failed++ == 0)
		log_failure(round, result);
	if (--round->n_awaited == 0)
		finish(round);
}
