// SPDX-License-Identifier: Apache-2.0
// Taking over the configuration file while the process runs: on SIGHUP, when the file changes, or
// when the API asks. All or nothing: a file that is wrong, or that wants what only a restart can
// change, changes nothing.
// Called by: control.
#pragma once

#include <jansson.h>

#include "reload_plan.h"

struct reload;
struct service;

enum reload_cause { RELOAD_BY_SIGNAL, RELOAD_BY_FILE, RELOAD_BY_API };

enum reload_outcome {
	RELOAD_OK,
	RELOAD_UNCHANGED,
	RELOAD_PLANNED, // only asked for
	RELOAD_REFUSED, // nothing has changed
	RELOAD_FAILED,  // it has been taken over, but for what `errors` says
};

struct reload_request {
	enum reload_cause cause;
	bool is_plan;          // say what would happen, and change nothing
	const char *name;      // of another file, which is planned alone; NULL: ours
	const char *text;      // what that file holds; borrowed, as its name, until the result
	size_t length;         // is done with
	double max_disruption; // 0 to 1; negative: as the file says
};

struct reload_result {
	enum reload_outcome outcome;
	bool has_plan; // the file could be read
	struct reload_plan plan;
	double max_disruption;
	const char *path;              // of the file; borrowed
	struct config_errors errors;   // of RELOAD_REFUSED, RELOAD_FAILED
	char summary[ERR_MESSAGE_MAX]; // a line for people
};

// What became of the last request that was no mere plan.
struct reload_last {
	bool is_any;
	int64_t time_ms; // since 1970
	enum reload_cause cause;
	enum reload_outcome outcome;
	char summary[ERR_MESSAGE_MAX];
	char **errors; // owned; "FILE:LINE:COLUMN: MESSAGE"
	size_t n_errors;
};

// The service is complete but for this; borrowed, and outlives it. 0 or -errno.
int reload_open(struct reload **reload, struct service *service, struct err *err);
// Every few seconds: has the file changed, and nobody has told? NULL is legal.
void reload_look(struct reload *reload);
void reload_close(struct reload *reload); // NULL is legal

// The mode is settled (service.h). `result` is for reload_result_fini(); it borrows from `reload`
// until the next request. What has happened is logged, but for plans.
void reload_run(struct reload *reload, const struct reload_request *request,
		struct reload_result *result);
void reload_result_fini(struct reload_result *result);
// For a cause that nobody waits for, and when the mode is settled.
void reload_soon(struct reload *reload, enum reload_cause cause);
// The same, for who wants to know: reload_queue.h.
struct reload_queue *reload_queue(struct reload *reload);

const struct reload_last *reload_last(const struct reload *reload);
int64_t reload_loaded_ms(const struct reload *reload); // since 1970; 0: at the start

const char *reload_cause_name(enum reload_cause cause);       // "signal", ...
const char *reload_outcome_name(enum reload_outcome outcome); // "ok", ...

// As the API says it; NULL when memory is short. The last reload: null when there was none.
json_t *reload_result_json(const struct reload_result *result);
int reload_result_status(const struct reload_result *result); // of HTTP
json_t *reload_last_json(const struct reload *reload);
