// SPDX-License-Identifier: Apache-2.0
// What commands do with the API: ask, print what is not an answer, and turn it into an exit code.
#pragma once

#include <jansson.h>

#include "ctl/client.h"
#include "ctl/ctl.h"

// GET, or POST with a JSON body that is taken over. On CTL_OK *answer is the object that culvert
// sent, for json_decref(). Otherwise the failure has been printed, and the exit code is returned.
int ask_get(const struct ctl *ctl, const char *path, json_t **answer);
int ask_post(const struct ctl *ctl, const char *path, json_t *body, json_t **answer);

// As both, but every status is a result; for commands that have their own words for some. *answer
// is NULL where the body was no JSON object and the status not 200.
int ask_any(const struct ctl *ctl, const char *path, json_t *body, long *status, json_t **answer);

// "culvertctl: ..." from the error that an answer holds; with --json the answer itself. Returns the
// exit code that belongs to the status.
int ask_refusal(const struct ctl *ctl, long status, const json_t *answer);

// For a stream: what to say when it did not come. Returns an exit code.
int ask_stream_failure(const struct ctl *ctl, int code, const struct err *err,
		       const struct client_answer *answer);

// Print the answer as JSON. Returns CTL_OK, or CTL_NO when it could not be written.
int ask_print_json(const json_t *answer);
// A string for that of anything, such as the name of a file; JSON is UTF-8. NULL without memory.
json_t *ask_text_json(const char *text);

// The answer of GET `path`, printed as JSON or by `show`.
int ask_show(const struct ctl *ctl, const char *path,
	     int (*show)(const struct ctl *ctl, const json_t *answer));
