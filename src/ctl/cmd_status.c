// SPDX-License-Identifier: Apache-2.0
// `culvertctl status`: is it well?
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/facts.h"
#include "ctl/field.h"
#include "ctl/table.h"
#include "ctl/units.h"

enum { HTTP_OK = 200, HTTP_UNAVAILABLE = 503, MAX_NAMED = 5, NAMES_MAX = 512 };

static void add_state(struct table *facts, const json_t *status)
{
	const char *state = field_text_or(status, "state", "unknown");
	const char *started = field_text(status, "started");
	char uptime[UNITS_TEXT_MAX];
	char since[UNITS_TEXT_MAX];
	units_duration(field_number_or(status, "uptime", NAN), uptime);
	if (started)
		facts_add(facts, "State", paint_of_word(state), "%s, running for %s, since %s",
			  state, uptime, units_time(started, since));
	else
		facts_add(facts, "State", paint_of_word(state), "%s, running for %s", state,
			  uptime);
}

static void add_count(char *text, const char *separator, double count, const char *what)
{
	char number[UNITS_TEXT_MAX];
	if (count <= 0)
		return;
	units_whole(count, number);
	size_t length = strlen(text);
	snprintf(text + length, NAMES_MAX - length, "%s%s %s", length ? separator : "", number,
		 what);
}

static void add_backends(struct table *facts, const json_t *status)
{
	static const char *const states[] = {"up", "down", "unknown", "drain", "maint", "removed"};
	char text[NAMES_MAX] = "";
	char path[UNITS_TEXT_MAX];
	char total[UNITS_TEXT_MAX];
	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		snprintf(path, sizeof(path), "backends.%s", states[i]);
		add_count(text, ", ", field_number_or(status, path, 0), states[i]);
	}
	bool is_bad = field_number_or(status, "backends.down", 0) > 0;
	units_whole(field_number_or(status, "backends.total", 0), total);
	facts_add(facts, "Backends", is_bad ? PAINT_WARN : PAINT_NONE, "%s%s%s", total,
		  *text ? ": " : "", text);
}

// Which are down, and why, for the first few; the rest is in `servers`.
static void add_down(struct table *facts, const json_t *backends)
{
	size_t n_named = 0;
	size_t n_more = 0;
	size_t i;
	json_t *backend;
	json_array_foreach(field_list(backends, "backends"), i, backend)
	{
		if (strcmp(field_text_or(backend, "health", ""), "down") != 0)
			continue;
		if (n_named == MAX_NAMED) {
			n_more++;
			continue;
		}
		n_named++;
		const char *reason = field_text(backend, "health_reason");
		facts_add(facts, "", PAINT_BAD, "%s is down%s%s",
			  field_text_or(backend, "name", "?"), reason ? ": " : "",
			  reason ? reason : "");
	}
	if (n_more > 0)
		facts_add(facts, "", PAINT_NONE, "and %zu more: culvertctl servers", n_more);
}

static void add_load(struct table *facts, const json_t *status, const char *member,
		     const char *label, const char *limit)
{
	char path[UNITS_TEXT_MAX];
	char now[UNITS_TEXT_MAX];
	char max[UNITS_TEXT_MAX];
	char share[UNITS_TEXT_MAX];
	double current;
	snprintf(path, sizeof(path), "%s.current", member);
	if (!field_number(status, path, &current))
		return;
	units_whole(current, now);
	snprintf(path, sizeof(path), "%s.%s", member, limit);
	double most = field_number_or(status, path, 0);
	if (most > 0)
		facts_add(facts, label, PAINT_NONE, "%s of %s (%s)", now, units_whole(most, max),
			  units_share(current / most, share));
	else
		facts_add(facts, label, PAINT_NONE, "%s", now);
}

static void add_config(struct table *facts, const json_t *status)
{
	char when[UNITS_TEXT_MAX];
	bool is_missing = field_is_true(status, "config.is_missing");
	facts_add(facts, "Config", is_missing ? PAINT_WARN : PAINT_NONE, "%s%s",
		  field_text_or(status, "config.path", "?"),
		  is_missing ? ", which is not there any more" : "");
	facts_add(facts, "", PAINT_NONE, "generation %.0f, in force since %s",
		  field_number_or(status, "config.generation", 0),
		  units_time(field_text_or(status, "config.loaded", "?"), when));
}

static void add_last_reload(struct table *facts, const json_t *status)
{
	const json_t *last = field_at(status, "config.last_reload");
	const char *result = field_text_or(last, "result", "?");
	const char *summary = field_text_or(last, "summary", "");
	char when[UNITS_TEXT_MAX];
	if (!last)
		return;
	facts_add(facts, "Last reload", paint_of_word(result), "%s, %s, by %s%s%s", result,
		  units_time(field_text_or(last, "time", "?"), when),
		  field_text_or(last, "cause", "?"), *summary ? ": " : "", summary);
	size_t i;
	json_t *error;
	json_array_foreach(field_list(last, "errors"), i, error)
	{
		if (json_is_string(error))
			facts_add(facts, "", PAINT_BAD, "%s", json_string_value(error));
	}
}

static void add_panic(struct table *facts, const json_t *status)
{
	size_t i;
	json_t *pool;
	json_array_foreach(field_list(status, "pools_in_panic"), i, pool)
	{
		if (json_is_string(pool))
			facts_add(facts, i == 0 ? "Panic" : "", PAINT_BAD,
				  "pool %s: too few backends are healthy, all are used",
				  json_string_value(pool));
	}
}

// Whether every frontend has a usable backend; the words are culvert's.
static bool is_ready(const struct ctl *ctl, struct table *facts)
{
	struct client_answer raw = {0};
	struct err err = {0};
	bool is_no =
		client_ask(ctl, "/readyz", NULL, &raw, &err) == 0 && raw.status == HTTP_UNAVAILABLE;
	if (is_no && facts) {
		json_t *object = raw.text ? json_loadb(raw.text, raw.length, 0, NULL) : NULL;
		const char *text = field_text(object, "error.message");
		if (!text && raw.text) {
			raw.text[strcspn(raw.text, "\r\n")] = '\0';
			text = raw.text;
		}
		facts_add(facts, "Not ready", PAINT_BAD, "%s", text ? text : "no reason given");
		json_decref(object);
	}
	client_answer_fini(&raw);
	return !is_no;
}

static int print_status(const struct ctl *ctl, const json_t *status, const json_t *backends)
{
	struct table *facts = facts_create();
	if (!facts)
		return CTL_NO;
	facts_add(facts, "culvert", PAINT_BOLD, "%s, %s mode, process %.0f",
		  field_text_or(status, "version", "?"), field_text_or(status, "mode", "?"),
		  field_number_or(status, "pid", 0));
	add_state(facts, status);
	bool is_good = is_ready(ctl, facts);
	add_panic(facts, status);
	add_backends(facts, status);
	add_down(facts, backends);
	add_load(facts, status, "flows", "Flows", "capacity");
	add_load(facts, status, "sessions", "Sessions", "max");
	add_config(facts, status);
	add_last_reload(facts, status);
	if (!table_print(facts, stdout, ctl->has_color))
		is_good = false;
	table_destroy(facts);
	return is_good ? CTL_OK : CTL_NO;
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	(void)args;
	json_t *status = NULL;
	json_t *backends = NULL;
	int code = ask_get(ctl, "/api/v1/status", &status);
	if (code != CTL_OK)
		return code;
	if (ctl->is_json) {
		code = ask_print_json(status);
		if (!is_ready(ctl, NULL))
			code = CTL_NO;
	} else {
		if (field_number_or(status, "backends.down", 0) > 0)
			code = ask_get(ctl, "/api/v1/backends", &backends);
		if (code == CTL_OK)
			code = print_status(ctl, status, backends);
	}
	json_decref(status);
	json_decref(backends);
	return code;
}

const struct command status_command = {
	.name = "status",
	.summary = "is it well: state, health, load, the last reload",
	.help = "Is it well: state, health, load, the configuration and its last reload.\n"
		"The exit code is 1 when a frontend has no usable backend.",
	.run = run,
};
