// SPDX-License-Identifier: Apache-2.0
// Would backends answer clients directly: the readiness check of --check-backends, of those that
// are up.
#include <errno.h>
#include <event2/event.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/control/dsr_check.h"
#include "doctor/checks.h"

enum { WAIT_S = 5, SEEN_MAX = 640, COMMANDS_MAX = DSR_COMMAND_MAX * DSR_COMMANDS_MAX };

struct readiness_trial {
	struct doctor *doctor;
	struct dsr_check *check;
	size_t n_started;
	size_t n_done;
};

static void join_commands(const struct dsr_advice *advice, char *text)
{
	size_t used = 0;
	text[0] = '\0';
	for (unsigned i = 0; i < advice->n_commands; i++)
		used += (size_t)snprintf(text + used, COMMANDS_MAX - used, "%s%s", i ? "; " : "",
					 advice->commands[i]);
}

static void say_unready(struct doctor *doctor, const struct dsr_result *result, const char *subject,
			const char *seen)
{
	struct dsr_advice advice;
	char commands[COMMANDS_MAX];
	dsr_result_explain(result, &advice);
	join_commands(&advice, commands);
	doctor_say(doctor, STATUS_ERROR, subject, "%s%s%s", seen, advice.cause[0] ? ". " : "",
		   advice.cause);
	if (commands[0])
		doctor_fix(doctor, "%s", commands);
	else
		doctor_fix(doctor, "culvert --dsr --check-backends --config=%s says more",
			   doctor->config->path);
}

static void on_result(void *arg, const struct dsr_result *result)
{
	char subject[SUBJECT_MAX];
	char seen[SEEN_MAX];
	struct readiness_trial *trial = arg;
	struct doctor *doctor = trial->doctor;
	doctor_backend_name(&doctor->hops[result->backend], subject);
	dsr_result_format(result, seen, sizeof(seen));
	if (dsr_verdict_passes(result->verdict))
		doctor_say(doctor, STATUS_OK, subject, "%s", seen);
	else if (result->verdict == DSR_UNKNOWN)
		doctor_say(doctor, STATUS_SKIPPED, subject, "%s", seen);
	else
		say_unready(doctor, result, subject, seen);
	if (++trial->n_done == trial->n_started)
		event_base_loopbreak(doctor->base);
}

// By running number over all pools.
static size_t first_of_pool(const struct config *config, size_t pool)
{
	size_t first = 0;
	for (size_t i = 0; i < pool; i++)
		first += config->pools[i].n_backends;
	return first;
}

static void start_all(struct readiness_trial *trial)
{
	struct doctor *doctor = trial->doctor;
	for (size_t i = 0; i < doctor->config->n_frontends; i++) {
		size_t pool = doctor->config->frontends[i].pool;
		size_t first = first_of_pool(doctor->config, pool);
		for (size_t k = first; k < first + doctor->config->pools[pool].n_backends; k++) {
			if (!doctor->hops[k].has_failed && dsr_check_start(trial->check, i, k) == 0)
				trial->n_started++;
		}
	}
}

static bool has_sources(const struct config *config)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		if (!config_check_source(config,
					 ip_addr_is_v4(&config->frontends[i].endpoint.addr)))
			return false;
	}
	return true;
}

static void await_results(struct readiness_trial *trial)
{
	static const struct timeval patience = {.tv_sec = WAIT_S};
	struct doctor *doctor = trial->doctor;
	if (!trial->n_started)
		return;
	event_base_loopexit(doctor->base, &patience);
	event_base_dispatch(doctor->base);
	if (trial->n_done < trial->n_started)
		doctor_say(doctor, STATUS_SKIPPED, "",
			   "%zu backends gave no result in time: culvert --dsr --check-backends "
			   "waits for them",
			   trial->n_started - trial->n_done);
}

void check_dsr(struct doctor *doctor)
{
	struct readiness_trial trial = {.doctor = doctor};
	struct err err = {0};
	struct dsr_check_params params = {
		.base = doctor->base,
		.netwatch = doctor->netwatch,
		.config = doctor->config,
		.on_result = on_result,
		.arg = &trial,
	};
	if (!doctor->netwatch || !doctor_has_capability(doctor, CAP_NET_RAW) ||
	    !doctor_has_capability(doctor, CAP_NET_ADMIN)) {
		doctor_say(doctor, STATUS_SKIPPED, "",
			   "whether backends answer clients: needs root");
	} else if (!has_sources(doctor->config)) {
		doctor_say(doctor, STATUS_SKIPPED, "",
			   "whether backends answer clients: give an address that no host has with "
			   "--check-source, or as check_source in the section dsr");
	} else if (dsr_check_open(&trial.check, &params, &err)) {
		doctor_say(doctor, STATUS_SKIPPED, "", "%s", err.message);
	} else {
		start_all(&trial);
		await_results(&trial);
	}
	dsr_check_close(trial.check);
}
