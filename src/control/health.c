// SPDX-License-Identifier: Apache-2.0
// Checks of all backends: one timer and at most one probe each, on the control thread's event loop.
//
// A backend's next check starts one interval after its last one started, or when that one ends,
// whichever is later. All first checks start at once; the second ones are spread over the interval,
// and a little jitter keeps several balancers from falling into step. A probe that could not be
// made for want of local resources leaves the state and both counts as they are.
#include "culvert/control/health.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/probe.h"
#include "culvert/base/clock.h"
#include "culvert/base/line.h"
#include "culvert/base/log.h"
#include "culvert/config/compare.h"

enum { REASON_MAX = 256, JITTER_PERCENT = 5 };

static const char unchecked[] = "not checked (health_check = none)";

struct check {
	struct health *health;               // borrowed
	const struct config_pool *pool;      // borrowed; NULL: the slot has no backend
	const struct config_backend *config; // borrowed
	struct event timer;
	struct probe probe;
	uint64_t due_ns;   // start of the next probe
	uint32_t n_passed; // in a row, at most rise; 0 while failures are counted
	uint32_t n_failed; // in a row, at most fall; 0 while passes are counted
	bool is_up;
	bool is_suspect; // the data path hears nothing: the next result decides alone
	bool is_known;   // was up once, or its failure from the start was logged
	int64_t since_ms;
	char reason[REASON_MAX];     // of the last change
	char result[PROBE_TEXT_MAX]; // what the last probe said
};

struct health {
	health_change_fn on_change;
	void *arg;
	struct event_base *base; // borrowed
	size_t n_slots;
	struct check checks[]; // by slot
};

static size_t backend_of(const struct check *check)
{
	return (size_t)(check - check->health->checks);
}

static void schedule(struct check *check)
{
	uint64_t now = clock_now_ns();
	uint64_t delay_us = check->due_ns > now ? (check->due_ns - now) / 1000 : 0;
	struct timeval delay = {.tv_sec = (time_t)(delay_us / 1000000),
				.tv_usec = (suseconds_t)(delay_us % 1000000)};
	char name[CONFIG_BACKEND_LABEL_MAX];
	if (event_add(&check->timer, &delay))
		log_error("health", "no memory for a timer: backend %s is no longer checked",
			  config_backend_label(check->pool, check->config, name));
}

static uint64_t with_jitter(uint64_t interval_ns)
{
	uint64_t random;
	evutil_secure_rng_get_bytes(&random, sizeof(random));
	uint64_t range = interval_ns * JITTER_PERCENT / 100;
	return interval_ns - range + random % (2 * range + 1);
}

// On a host that lacks something every probe fails at once: one line per period tells it.
static void log_lack(const struct check *check, const char *text)
{
	static struct log_limit limit = LOG_LIMIT(1);
	char name[CONFIG_BACKEND_TEXT_MAX];
	log_limited(&limit, LOG_ERROR, "health", NULL,
		    "cannot check %s from here: %s; its state stays %s",
		    config_backend_format(check->config, name), text, check->is_up ? "up" : "down");
}

// Count one result. Returns whether the state has changed.
static bool count(struct check *check, bool is_pass)
{
	uint32_t needed = is_pass ? check->pool->rise : check->pool->fall;
	uint32_t *n = is_pass ? &check->n_passed : &check->n_failed;
	if (is_pass)
		check->n_failed = 0;
	else
		check->n_passed = 0;
	if (check->is_suspect && !is_pass)
		*n = needed;
	else if (*n < needed)
		++*n;
	if (*n < needed || check->is_up == is_pass)
		return false;
	check->is_up = is_pass;
	return true;
}

static const char *format_reason(const struct check *check, const struct probe_result *result,
				 char *reason)
{
	bool is_pass = result->outcome == PROBE_PASSED;
	if (check->is_suspect && !is_pass) {
		snprintf(reason, REASON_MAX, "%s, nor do clients get any answer", result->text);
		return reason;
	}
	snprintf(reason, REASON_MAX, "%s, %u of %u checks %s", result->text,
		 is_pass ? check->n_passed : check->n_failed,
		 is_pass ? check->pool->rise : check->pool->fall, is_pass ? "passed" : "failed");
	return reason;
}

static void note_change(struct check *check, const char *reason)
{
	check->since_ms = clock_wall_ms();
	snprintf(check->reason, sizeof(check->reason), "%s", reason);
	line_make_valid(check->reason); // it may quote half a character of what was looked for
}

// No change of state, so nobody else would say it.
static void log_down_from_start(struct check *check, const char *reason)
{
	char name[CONFIG_BACKEND_LABEL_MAX];
	if (check->is_known || check->n_failed < check->pool->fall)
		return;
	check->is_known = true;
	note_change(check, reason);
	log_warn("health", "backend %s is down from the start: %s",
		 config_backend_label(check->pool, check->config, name), reason);
}

static void on_probe_done(void *arg, const struct probe_result *result)
{
	struct check *check = arg;
	struct health *health = check->health;
	char reason[REASON_MAX];
	schedule(check);
	if (result->outcome == PROBE_UNKNOWN) {
		log_lack(check, result->text);
		return;
	}
	memcpy(check->result, result->text, sizeof(check->result));
	bool has_changed = count(check, result->outcome == PROBE_PASSED);
	format_reason(check, result, reason);
	check->is_suspect = false;
	if (has_changed) {
		check->is_known = true;
		note_change(check, reason);
		// Last: the callee may stop health.
		health->on_change(health->arg, backend_of(check), check->is_up, reason);
	} else if (!check->is_up) {
		log_down_from_start(check, reason);
	}
}

// So that the checks of a pool which began together are spread evenly over one interval.
static uint64_t share_of_interval(const struct check *check)
{
	size_t place = (size_t)(check->config - check->pool->backends) + 1;
	return check->pool->health_check_interval_ms * NS_PER_MS * place / check->pool->n_backends;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct check *check = arg;
	uint64_t interval_ns = check->due_ns ? check->pool->health_check_interval_ms * NS_PER_MS
					     : share_of_interval(check); // after the first check
	check->due_ns = clock_now_ns() + with_jitter(interval_ns);
	probe_start(&check->probe, check->pool, check->config);
}

static int begin(struct check *check)
{
	static const struct timeval at_once = {0};
	check->due_ns = 0;
	return event_add(&check->timer, &at_once) ? -ENOMEM : 0;
}

static void end(struct check *check)
{
	event_del(&check->timer);
	probe_cancel(&check->probe);
	check->n_passed = check->n_failed = 0;
	check->is_suspect = false;
}

int health_create(struct health **health, struct event_base *base, size_t n_slots,
		  health_change_fn on_change, void *arg, struct err *err)
{
	struct health *made = calloc(1, sizeof(*made) + n_slots * sizeof(made->checks[0]));
	if (!made)
		return err_sys(err, -ENOMEM, "cannot start health checks");
	made->base = base;
	made->n_slots = n_slots;
	made->on_change = on_change;
	made->arg = arg;
	*health = made;
	return 0;
}

int health_add(struct health *health, size_t slot, const struct config_pool *pool,
	       const struct config_backend *backend, struct err *err)
{
	struct check *check = &health->checks[slot];
	assert(slot < health->n_slots && !check->pool);
	*check = (struct check){
		.health = health,
		.pool = pool,
		.config = backend,
		.is_up = pool->health_check == HEALTH_NONE,
	};
	evtimer_assign(&check->timer, health->base, on_timer, check);
	probe_init(&check->probe, health->base, on_probe_done, check);
	note_change(check, check->is_up ? unchecked : "");
	if (check->is_up) {
		health->on_change(health->arg, slot, true, unchecked);
		return 0;
	}
	if (begin(check) == 0)
		return 0;
	check->pool = NULL;
	return err_sys(err, -ENOMEM, "cannot check backend %s", backend->name);
}

// Other checks than before, or the first ones, or none any more. What was known stays until they
// say otherwise: connections are not to pay for a change of the file.
static int change_kind(struct check *check, enum health_kind before, struct err *err)
{
	struct health *health = check->health;
	bool is_checked = check->pool->health_check != HEALTH_NONE;
	bool was_up = check->is_up;
	end(check);
	if (is_checked && begin(check))
		return err_sys(err, -ENOMEM, "cannot check backend %s", check->config->name);
	if (is_checked) {
		if (before == HEALTH_NONE)
			note_change(check, "checks begin");
		return 0;
	}
	check->is_up = true;
	check->is_known = false;
	note_change(check, unchecked);
	if (!was_up)
		health->on_change(health->arg, backend_of(check), true, check->reason);
	return 0;
}

static int ask_again(struct check *check, struct err *err)
{
	static const struct timeval at_once = {0};
	if (event_add(&check->timer, &at_once) == 0)
		return 0;
	return err_sys(err, -ENOMEM, "cannot check backend %s", check->config->name);
}

static bool asks_the_same(const struct check *check, const struct config_pool *pool,
			  const struct config_backend *backend)
{
	char text[CONFIG_CHANGES_MAX];
	return !*config_compare_pools(check->pool, pool, text) &&
	       !*config_compare_backends(check->config, backend, text);
}

// What was to be waited for by the longer interval of before.
static void come_sooner(struct check *check)
{
	uint64_t latest_ns = clock_now_ns() + with_jitter(share_of_interval(check));
	if (check->due_ns <= latest_ns)
		return;
	check->due_ns = latest_ns;
	// With no timer pending the probe is under way, and its end looks at due_ns.
	if (evtimer_pending(&check->timer, NULL))
		schedule(check);
}

// It is to be checked, and nothing would do it any more: the probe was dropped, or memory was short
// at an earlier change.
static bool is_idle(const struct check *check)
{
	return check->pool->health_check != HEALTH_NONE && !probe_is_under_way(&check->probe) &&
	       !evtimer_pending(&check->timer, NULL);
}

int health_change(struct health *health, size_t slot, const struct config_pool *pool,
		  const struct config_backend *backend, struct err *err)
{
	struct check *check = &health->checks[slot];
	assert(slot < health->n_slots && check->pool);
	enum health_kind before = check->pool->health_check;
	bool is_shorter = pool->health_check_interval_ms < check->pool->health_check_interval_ms;
	// Were it dropped each time, reloads in quick succession would keep it from ever ending.
	bool goes_on = probe_is_under_way(&check->probe) && asks_the_same(check, pool, backend);
	// It has borrowed the old ones, and may ask what is no longer to be asked.
	if (goes_on)
		probe_follow(&check->probe, pool, backend);
	else
		probe_cancel(&check->probe);
	check->pool = pool;
	check->config = backend;
	if (before != pool->health_check)
		return change_kind(check, before, err);
	if (is_shorter)
		come_sooner(check);
	return is_idle(check) ? ask_again(check, err) : 0;
}

void health_remove(struct health *health, size_t slot)
{
	struct check *check = &health->checks[slot];
	assert(slot < health->n_slots);
	if (!check->pool)
		return;
	end(check);
	*check = (struct check){0};
}

bool health_has(const struct health *health, size_t slot)
{
	assert(slot < health->n_slots);
	return health->checks[slot].pool != NULL;
}

int health_start(struct health **health, struct event_base *base, const struct config *config,
		 health_change_fn on_change, void *arg, struct err *err)
{
	size_t slot = 0;
	int code = health_create(health, base, config_n_backends(config), on_change, arg, err);
	if (code)
		return code;
	for (size_t i = 0; i < config->n_pools; i++) {
		const struct config_pool *pool = &config->pools[i];
		for (size_t k = 0; k < pool->n_backends && !code; k++)
			code = health_add(*health, slot++, pool, &pool->backends[k], err);
	}
	if (!code)
		return 0;
	health_stop(*health);
	*health = NULL;
	return code;
}

void health_stop(struct health *health)
{
	if (!health)
		return;
	for (size_t i = 0; i < health->n_slots; i++)
		health_remove(health, i);
	free(health);
}

static bool takes_reports(const struct check *check)
{
	return check->pool && check->pool->health_check != HEALTH_NONE &&
	       check->pool->passive_checks && check->is_up;
}

void health_report_failure(struct health *health, size_t slot, const char *reason)
{
	struct check *check = &health->checks[slot];
	assert(slot < health->n_slots);
	if (!takes_reports(check))
		return;
	check->n_passed = 0;
	check->is_suspect = false;
	check->is_up = false;
	note_change(check, reason);
	health->on_change(health->arg, slot, false, reason);
}

void health_report_silence(struct health *health, size_t slot)
{
	static const struct timeval at_once = {0};
	struct check *check = &health->checks[slot];
	assert(slot < health->n_slots);
	if (!takes_reports(check))
		return;
	check->is_suspect = true;
	// With no timer pending the probe is under way.
	if (evtimer_pending(&check->timer, NULL))
		event_add(&check->timer, &at_once);
}

void health_describe(const struct health *health, size_t slot, struct health_report *report)
{
	const struct check *check = &health->checks[slot];
	assert(slot < health->n_slots);
	*report = (struct health_report){
		.is_up = check->is_up,
		.is_known = health_is_known(health, slot),
		.is_checked = check->pool && check->pool->health_check != HEALTH_NONE,
		.reason = check->reason,
		.since_ms = check->since_ms,
	};
}

bool health_is_known(const struct health *health, size_t slot)
{
	assert(slot < health->n_slots);
	return health->checks[slot].is_up || health->checks[slot].is_known;
}

bool health_is_up(const struct health *health, size_t slot)
{
	assert(slot < health->n_slots);
	return health->checks[slot].is_up;
}

const char *health_last_result(const struct health *health, size_t slot)
{
	assert(slot < health->n_slots);
	return health->checks[slot].result;
}
