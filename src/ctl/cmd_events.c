// SPDX-License-Identifier: Apache-2.0
// `culvertctl events`: what has happened, and with --follow what happens.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/field.h"
#include "ctl/paint.h"
#include "ctl/sse.h"
#include "ctl/units.h"
#include "ctl/usage.h"

enum { FOLLOW, LIMIT, HTTP_OK = 200, PATH_MAX_BYTES = 64, SUBJECT_WIDTH_MAX = 24 };

static const char default_limit[] = "50";

// Of --follow. The list is asked for when the stream has begun, so that nothing is lost between
// them; what is in both is printed once.
struct follower {
	const struct ctl *ctl;
	const char *list_path;
	json_t *listed; // owned; the answer with the list; NULL: not asked yet
	int code;       // of asking for it
	struct sse sse;
};

static void print_part(const struct ctl *ctl, enum paint paint, int width, const char *text)
{
	char *clean = paint_clean(text);
	if (clean) {
		paint_print(stdout, ctl->has_color, paint, clean);
		int rest = width - paint_width(clean);
		printf("%*s", rest > 0 ? rest + 2 : 2, "");
	}
	free(clean);
}

// So that what is said of each begins below that of the one before.
static int subject_width(const json_t *answer)
{
	size_t i;
	json_t *event;
	int widest = 0;
	json_array_foreach(field_list(answer, "events"), i, event)
	{
		int width = paint_width(field_text_or(event, "subject", ""));
		if (width > widest && width <= SUBJECT_WIDTH_MAX)
			widest = width;
	}
	return widest;
}

static void print_event(const struct ctl *ctl, const json_t *event, int width)
{
	enum { LEVEL_WIDTH = 5, KIND_WIDTH = 7 };
	char when[UNITS_TEXT_MAX];
	const char *level = field_text_or(event, "level", "?");
	const char *subject = field_text_or(event, "subject", "");
	if (ctl->is_json) {
		json_dumpf(event, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	print_part(ctl, PAINT_DIM, 0, units_time(field_text_or(event, "time", "?"), when));
	print_part(ctl, paint_of_word(level), LEVEL_WIDTH, level);
	print_part(ctl, PAINT_NONE, KIND_WIDTH, field_text_or(event, "kind", "?"));
	if (*subject)
		print_part(ctl, PAINT_BOLD, width, subject);
	char *text = paint_clean(field_text_or(event, "text", ""));
	puts(text ? text : "");
	free(text);
}

// The API begins with the newest; people read downwards.
static void print_list(const struct ctl *ctl, const json_t *answer)
{
	const json_t *events = field_list(answer, "events");
	int width = subject_width(answer);
	for (size_t i = json_array_size(events); i > 0; i--)
		print_event(ctl, json_array_get(events, i - 1), width);
}

static int show(const struct ctl *ctl, const json_t *answer)
{
	if (json_array_size(field_list(answer, "events")) == 0)
		puts("No events.");
	print_list(ctl, answer);
	return CTL_OK;
}

static bool is_listed(const struct follower *follower, const json_t *event)
{
	size_t i;
	json_t *other;
	json_array_foreach(field_list(follower->listed, "events"), i, other)
	{
		if (json_equal(other, event))
			return true;
	}
	return false;
}

static bool take_event(void *arg, const char *name, const char *data)
{
	struct follower *follower = arg;
	if (strcmp(name, "event") != 0)
		return true;
	json_t *event = json_loads(data, 0, NULL);
	if (json_is_object(event) && !is_listed(follower, event)) {
		print_event(follower->ctl, event, subject_width(follower->listed));
		fflush(stdout);
	}
	json_decref(event);
	return !ferror(stdout);
}

static bool take_bytes(void *arg, const char *bytes, size_t length)
{
	struct follower *follower = arg;
	if (!follower->listed) {
		follower->code = ask_get(follower->ctl, follower->list_path, &follower->listed);
		if (follower->code != CTL_OK)
			return false;
		print_list(follower->ctl, follower->listed);
		fflush(stdout);
	}
	return sse_feed(&follower->sse, bytes, length);
}

static int follow(const struct ctl *ctl, const char *list_path)
{
	struct follower follower = {.ctl = ctl, .list_path = list_path};
	struct client_answer answer = {0};
	struct err err = {0};
	follower.sse.take = take_event;
	follower.sse.arg = &follower;
	struct client_stream stream = {
		.path = "/api/v1/stream",
		.sink = take_bytes,
		.arg = &follower,
		.silence_ms = ctl->timeout_ms, // a sample comes every second
	};
	int code = client_stream(ctl, &stream, &answer, &err);
	if (follower.code == CTL_OK && !ferror(stdout)) {
		if (code == 0 && answer.status == HTTP_OK)
			code = err_set(&err, -1, "culvert has ended the stream of events");
		follower.code = ask_stream_failure(ctl, code, &err, &answer);
	}
	client_answer_fini(&answer);
	sse_fini(&follower.sse);
	json_decref(follower.listed);
	return follower.code;
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	char path[PATH_MAX_BYTES];
	long limit;
	const char *text = args->values[LIMIT] ? args->values[LIMIT] : default_limit;
	if (!usage_parse_number(text, 1, INT_MAX, &limit))
		return usage_error(&events_command, "--limit takes a number from 1");
	snprintf(path, sizeof(path), "/api/v1/events?limit=%ld", limit);
	if (args->values[FOLLOW])
		return follow(ctl, path);
	return ask_show(ctl, path, show);
}

static const struct command_option options[] = {
	[FOLLOW] = {"follow", NULL, "go on with those that happen, until Ctrl-C"},
	[LIMIT] = {"limit", "N", "the last N; default 50"},
};

const struct command events_command = {
	.name = "events",
	.summary = "what has happened: health, reloads, orders",
	.help = "What has happened lately, the newest last: health, reloads, orders, the network. "
		"With\n"
		"--follow and --json, every event is a line of JSON.",
	.options = options,
	.n_options = sizeof(options) / sizeof(*options),
	.run = run,
};
