// SPDX-License-Identifier: Apache-2.0
#include "reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_watch.h"
#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "culvert/base/notify.h"
#include "reload_queue.h"
#include "service.h"

enum { LINE_MAX_BYTES = ERR_MESSAGE_MAX + 512 };

struct reload {
	struct service *service; // borrowed
	char *path;              // owned
	struct config_watch *watch;
	struct reload_queue *queue; // owned
	struct reload_last last;
	int64_t loaded_ms;  // 0: at the start
	bool is_incomplete; // what was taken over last lacks something: RELOAD_FAILED
};

// ---- what is wrong -----------------------------------------------------------------------------

static void add_error(struct reload_result *result, const struct err *err)
{
	struct config_errors *errors = &result->errors;
	struct err *grown = reallocarray(errors->list, errors->count + 1, sizeof(*grown));
	if (!grown)
		return;
	errors->list = grown;
	grown[errors->count] = *err;
	grown[errors->count++].file = result->path;
}

// Some findings have borrowed the name from a configuration that is not to stay.
static void own_names(struct reload_result *result)
{
	for (size_t i = 0; i < result->errors.count; i++)
		result->errors.list[i].file = result->path;
}

static const char *format_error(const struct err *err, char *line, size_t size)
{
	if (err->line)
		snprintf(line, size, "%s:%u:%u: %s", err->file, err->line, err->column,
			 err->message);
	else
		snprintf(line, size, "%s: %s", err->file, err->message);
	return line;
}

static void refuse(struct reload_result *result, const char *why)
{
	result->outcome = RELOAD_REFUSED;
	snprintf(result->summary, sizeof(result->summary), "%s", why);
}

// Where it has no place in the file, the summary says all of it.
static void refuse_for(struct reload_result *result, const struct err *err)
{
	if (err->line)
		add_error(result, err);
	refuse(result, err->line ? "the file cannot be taken over here" : err->message);
}

// ---- steps -------------------------------------------------------------------------------------

// `code` is that of the step which failed; files that are wrong are -EINVAL.
static const char *why_not_loaded(const struct reload_result *result, int code)
{
	if (result->errors.count == 0)
		return "not enough memory";
	if (code == -ENOENT || code == -ENOTDIR)
		return "the file is not there";
	return code == -EINVAL ? "the file has errors" : "the file cannot be read";
}

// NULL with the result refused.
static struct config *load(struct reload *reload, const struct reload_request *request,
			   struct reload_result *result)
{
	const struct config_overrides *overrides = &reload->service->config->overrides;
	const enum mode *mode = overrides->has_mode ? &overrides->mode : NULL;
	struct config *config = NULL;
	int code = request->name ? config_load_text(request->text, request->length, request->name,
						    mode, &config, &result->errors)
				 : config_load_for(reload->path, mode, &config, &result->errors);
	if (!code)
		code = config_override(config, overrides);
	if (!code)
		code = config_check_mode(config, config->mode, &result->errors);
	own_names(result);
	if (!code)
		return config;
	config_unref(config);
	refuse(result, why_not_loaded(result, code));
	return NULL;
}

// The live flows of each backend slot, for free(), or NULL.
static uint64_t *gather_flows(struct service *service)
{
	struct stats stats = {0};
	uint32_t n = registry_max_backends(service->registry);
	uint64_t *flows = calloc(n + 1, sizeof(*flows));
	if (flows && service->hooks->gather(service->arg, &stats) == 0) {
		for (uint32_t i = 0; i < n && i < stats.packets.n_backends; i++)
			flows[i] = stats.packets.backends[i].current_connections;
		for (uint32_t i = 0; i < n && i < stats.sessions.n_backends; i++)
			flows[i] = stats.sessions.backends[i].traffic.current_connections;
	}
	stats_fini(&stats);
	return flows;
}

static int make_plan(struct reload *reload, const struct config *config,
		     struct reload_result *result)
{
	struct err err = {0};
	uint64_t *flows = gather_flows(reload->service);
	int code = flows ? reload_plan_make(&result->plan, reload->service->registry, config, flows,
					    &err)
			 : err_set(&err, -ENOMEM, "not enough memory to compare configurations");
	free(flows);
	if (code)
		refuse_for(result, &err);
	result->has_plan = !code;
	return code;
}

static int check_obstacles(struct reload_result *result)
{
	const struct reload_plan *plan = &result->plan;
	for (size_t i = 0; i < plan->n_obstacles; i++) {
		struct err err = {0};
		err_set(&err, 0, "%s", plan->obstacles[i].message);
		add_error(result, &err);
	}
	if (plan->n_obstacles)
		refuse(result, "the file changes what only a restart can change");
	return plan->n_obstacles ? -EBUSY : 0;
}

static int check_disruption(struct reload_result *result)
{
	struct err err = {0};
	double disruption = reload_plan_disruption(&result->plan);
	if (disruption <= result->max_disruption)
		return 0;
	err_set(&err, -EDQUOT,
		"%.1f%% of the slots would move, and max_disruption allows %.1f%%; change fewer "
		"backends at a time, or raise max_disruption",
		100 * disruption, 100 * result->max_disruption);
	refuse_for(result, &err);
	return -EDQUOT;
}

static int check_here(struct reload *reload, struct config *config, struct reload_result *result)
{
	const struct service *service = reload->service;
	struct err err = {0};
	int code = registry_check_room(service->registry, config, &err);
	if (!code)
		code = service->hooks->check_config(service->arg, config, &err);
	if (code)
		refuse_for(result, &err);
	return code;
}

// 0, or -errno and then nothing has changed.
static int apply(struct service *service, struct config *config, struct err *err)
{
	const struct service_hooks *hooks = service->hooks;
	int code = hooks->prepare_config ? hooks->prepare_config(service->arg, config, err) : 0;
	if (code)
		return code;
	code = registry_apply(service->registry, config, clock_now_ns(), err);
	if (code && hooks->abandon_config)
		hooks->abandon_config(service->arg);
	return code;
}

static void take_over(struct reload *reload, struct config *config, struct reload_result *result)
{
	struct err err = {0};
	if (apply(reload->service, config, &err)) {
		refuse_for(result, &err);
		return;
	}
	result->outcome = RELOAD_OK;
	reload->loaded_ms = clock_wall_ms();
	log_set_level(config->log_level);
	int code = service_follow_config(reload->service, config, &err);
	reload->is_incomplete = code != 0;
	reload_plan_summary(&result->plan, result->summary, sizeof(result->summary));
	if (!code)
		return;
	result->outcome = RELOAD_FAILED;
	add_error(result, &err);
}

static void decide(struct reload *reload, struct config *config,
		   const struct reload_request *request, struct reload_result *result)
{
	double configured = config->reload.max_disruption_permille / 1000.0;
	result->max_disruption = request->max_disruption < 0 ? configured : request->max_disruption;
	if (make_plan(reload, config, result) || check_obstacles(result) ||
	    check_here(reload, config, result) || check_disruption(result))
		return;
	if (request->is_plan) {
		result->outcome = RELOAD_PLANNED;
		reload_plan_summary(&result->plan, result->summary, sizeof(result->summary));
	} else if (result->plan.n_changes == 0 && !reload->is_incomplete) {
		result->outcome = RELOAD_UNCHANGED;
		snprintf(result->summary, sizeof(result->summary), "nothing has changed");
	} else {
		take_over(reload, config, result);
	}
}

// ---- what is said of it ------------------------------------------------------------------------

static const char *const cause_names[] = {
	[RELOAD_BY_SIGNAL] = "signal",
	[RELOAD_BY_FILE] = "file",
	[RELOAD_BY_API] = "api",
};

static const char *const outcome_names[] = {
	[RELOAD_OK] = "ok",           [RELOAD_UNCHANGED] = "unchanged",
	[RELOAD_PLANNED] = "planned", [RELOAD_REFUSED] = "refused",
	[RELOAD_FAILED] = "failed",
};

const char *reload_cause_name(enum reload_cause cause)
{
	return cause_names[cause];
}

const char *reload_outcome_name(enum reload_outcome outcome)
{
	return outcome_names[outcome];
}

static const char *opening(enum reload_outcome outcome)
{
	return outcome == RELOAD_REFUSED ? "refused, the configuration stays as it is"
					 : outcome_names[outcome];
}

// An order of long ago is easily forgotten.
static void tell_orders(const struct reload *reload, const struct reload_change *change)
{
	if (!change->by_hand)
		return;
	log_info("reload", "backend %s is still as it was set by hand: %s", change->name,
		 change->by_hand);
	events_add(reload->service->events, EVENT_ADMIN, LOG_INFO, change->name,
		   "still as it was set by hand: %s", change->by_hand);
}

static void tell(const struct reload *reload, enum reload_cause cause,
		 const struct reload_result *result)
{
	char line[LINE_MAX_BYTES];
	bool is_bad = result->outcome >= RELOAD_REFUSED;
	const struct log_field fields[] = {
		{"result", outcome_names[result->outcome]},
		{"cause", cause_names[cause]},
		{NULL, NULL},
	};
	log_event(is_bad ? LOG_ERROR : LOG_INFO, "reload", fields, "%s (by %s): %s%s",
		  opening(result->outcome), cause_names[cause], result->summary,
		  result->errors.count ? ":" : "");
	events_add(reload->service->events, EVENT_RELOAD, is_bad ? LOG_ERROR : LOG_INFO, "",
		   "%s (by %s): %s", opening(result->outcome), cause_names[cause], result->summary);
	for (size_t i = 0; i < result->errors.count; i++)
		log_error("reload", "%s",
			  format_error(&result->errors.list[i], line, sizeof(line)));
	for (size_t i = 0; i < result->plan.n_changes && !is_bad; i++) {
		const struct reload_change *change = &result->plan.changes[i];
		log_debug("reload", "%s %s %s: %s", reload_subject_name(change->subject),
			  change->name, reload_change_name(change->kind), change->detail);
		tell_orders(reload, change);
	}
}

static void forget_last(struct reload_last *last)
{
	for (size_t i = 0; i < last->n_errors; i++)
		free(last->errors[i]);
	free(last->errors);
	*last = (struct reload_last){0};
}

static void note_last(struct reload *reload, enum reload_cause cause,
		      const struct reload_result *result)
{
	struct reload_last *last = &reload->last;
	forget_last(last);
	*last = (struct reload_last){
		.is_any = true,
		.time_ms = clock_wall_ms(),
		.cause = cause,
		.outcome = result->outcome,
		.errors = calloc(result->errors.count + 1, sizeof(char *)),
	};
	snprintf(last->summary, sizeof(last->summary), "%s", result->summary);
	for (size_t i = 0; last->errors && i < result->errors.count; i++) {
		char line[LINE_MAX_BYTES];
		char *copy = strdup(format_error(&result->errors.list[i], line, sizeof(line)));
		if (copy)
			last->errors[last->n_errors++] = copy;
	}
}

// ---- the whole ---------------------------------------------------------------------------------

void reload_run(struct reload *reload, const struct reload_request *request,
		struct reload_result *result)
{
	*result = (struct reload_result){.path = request->name ? request->name : reload->path};
	if (!request->is_plan)
		notify_reloading();
	struct config *config = load(reload, request, result);
	if (config)
		decide(reload, config, request, result);
	config_unref(config);
	if (request->is_plan)
		return;
	tell(reload, request->cause, result);
	note_last(reload, request->cause, result);
	notify_ready("reload %s: %s", outcome_names[result->outcome], result->summary);
}

void reload_result_fini(struct reload_result *result)
{
	reload_plan_fini(&result->plan);
	config_errors_fini(&result->errors);
}

void reload_soon(struct reload *reload, enum reload_cause cause)
{
	const struct reload_request request = {.cause = cause, .max_disruption = -1};
	reload_queue_run(reload->queue, &request, NULL, NULL);
}

struct reload_queue *reload_queue(struct reload *reload)
{
	return reload->queue;
}

const struct reload_last *reload_last(const struct reload *reload)
{
	return &reload->last;
}

int64_t reload_loaded_ms(const struct reload *reload)
{
	return reload->loaded_ms;
}

static void on_file_change(void *arg)
{
	reload_soon(arg, RELOAD_BY_FILE);
}

// That changes are not noticed is no reason not to run.
static void open_watch(struct reload *reload)
{
	struct err err = {0};
	const struct service *service = reload->service;
	if (service->config->reload.watch &&
	    config_watch_start(&reload->watch, service->base, reload->path,
			       service->config->read_at, on_file_change, reload, &err))
		log_warn("reload", "%s; changes of the file are not noticed, send SIGHUP after one",
			 err.message);
}

void reload_look(struct reload *reload)
{
	if (reload)
		config_watch_look(reload->watch);
}

void reload_close(struct reload *reload)
{
	if (!reload)
		return;
	config_watch_stop(reload->watch);
	reload_queue_close(reload->queue);
	forget_last(&reload->last);
	free(reload->path);
	free(reload);
}

int reload_open(struct reload **reload, struct service *service, struct err *err)
{
	struct reload *made = calloc(1, sizeof(*made));
	if (made)
		made->path = strdup(service->config->path);
	if (!made || !made->path) {
		free(made);
		return err_set(err, -ENOMEM, "not enough memory for reloads");
	}
	made->service = service;
	int code = reload_queue_open(&made->queue, service, made, err);
	if (code) {
		reload_close(made);
		return code;
	}
	open_watch(made);
	*reload = made;
	return 0;
}
