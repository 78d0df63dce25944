// SPDX-License-Identifier: Apache-2.0
// `culvertctl drain`, `maint`, `ready` and `weight`: what the operator wants of a server.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/field.h"
#include "ctl/paint.h"
#include "ctl/units.h"
#include "ctl/usage.h"

enum { PATH_MAX_BYTES = 1024, MAX_WEIGHT = 1000 };

// `fate` is what becomes of them, NULL: nothing.
static void print_connections(const json_t *backend, const char *fate)
{
	char count[UNITS_TEXT_MAX];
	double current;
	if (!field_number(backend, "connections.current", &current))
		return;
	units_whole(current, count);
	bool is_one = strcmp(count, "1") == 0;
	if (strcmp(count, "0") == 0)
		printf(", no connections on it");
	else if (fate)
		printf(", %s connection%s %s", count, is_one ? " is" : "s are", fate);
	else
		printf(", %s connection%s on it", count, is_one ? "" : "s");
}

static void print_weight(const json_t *backend)
{
	char text[UNITS_TEXT_MAX];
	double weight;
	double share;
	if (field_number(backend, "weight.set", &weight))
		printf(", weight %s (set by hand)", units_whole(weight, text));
	else if (field_number(backend, "weight.configured", &weight))
		printf(", weight %s", units_whole(weight, text));
	if (field_number(backend, "share", &share))
		printf(", %s of new connections", units_share(share, text));
}

// What counts is what happens to connections, the new ones and those that there are.
static void print_state(const struct ctl *ctl, const json_t *backend, const char *state)
{
	const char *health = field_text_or(backend, "health", "unknown");
	paint_print(stdout, ctl->has_color, paint_of_word(state), state);
	if (strcmp(state, "ready") != 0) {
		printf(", no new connections");
		return;
	}
	char *clean = paint_clean(health);
	printf(", health ");
	paint_print(stdout, ctl->has_color, paint_of_word(health), clean ? clean : "?");
	free(clean);
	print_weight(backend);
}

static int show(const struct ctl *ctl, const json_t *backend, const char *fate)
{
	char *name = paint_clean(field_text_or(backend, "name", "?"));
	char *state = paint_clean(field_text_or(backend, "state", "?"));
	if (name && state) {
		printf("%s: ", name);
		print_state(ctl, backend, state);
		print_connections(backend, fate);
		putchar('\n');
	}
	free(state);
	free(name);
	return CTL_OK;
}

// What a server that is removed has been told counts when it comes back.
static void print_later(const json_t *backend)
{
	const char *set = field_text_or(backend, "state_set", "ready");
	if (strcmp(field_text_or(backend, "state", ""), "removed") != 0)
		return;
	if (strcmp(set, "drain") == 0)
		puts("It is drained when a reload brings it back, until it is made ready.");
	else if (strcmp(set, "maint") == 0)
		puts("It is in maintenance when a reload brings it back, until it is made ready.");
}

static int show_state(const struct ctl *ctl, const json_t *backend)
{
	int code = show(ctl, backend, NULL);
	print_later(backend);
	return code;
}

// The answer has the connections that there were.
static int show_maint(const struct ctl *ctl, const json_t *backend)
{
	bool is_kept = strcmp(field_text_or(backend, "on_backend_down", "reset"), "keep") == 0;
	int code = show(ctl, backend, is_kept ? "kept" : "reset");
	print_later(backend);
	return code;
}

// A weight that is set while the server is out counts when it comes back.
static int show_weight(const struct ctl *ctl, const json_t *backend)
{
	const char *state = field_text_or(backend, "state", "ready");
	char text[UNITS_TEXT_MAX];
	double weight;
	int code = show(ctl, backend, NULL);
	if (strcmp(state, "ready") != 0 && field_number(backend, "weight.set", &weight))
		printf("Its weight is %s %s.\n", units_whole(weight, text),
		       strcmp(state, "removed") == 0 ? "when a reload brings it back"
						     : "once it is ready");
	return code;
}

static int post(const struct ctl *ctl, const char *server, const char *what, json_t *body,
		int (*show_answer)(const struct ctl *ctl, const json_t *backend))
{
	char path[PATH_MAX_BYTES] = "/api/v1/servers/";
	json_t *answer = NULL;
	client_escape(path, sizeof(path), server);
	size_t length = strlen(path);
	snprintf(path + length, sizeof(path) - length, "/%s", what);
	int code = ask_post(ctl, path, body, &answer);
	if (code != CTL_OK)
		return code;
	code = ctl->is_json ? ask_print_json(answer) : show_answer(ctl, answer);
	json_decref(answer);
	return code;
}

static int run_drain(const struct ctl *ctl, const struct command_args *args)
{
	return post(ctl, args->arguments[0], "state", json_pack("{s:s}", "state", "drain"),
		    show_state);
}

static int run_maint(const struct ctl *ctl, const struct command_args *args)
{
	return post(ctl, args->arguments[0], "state", json_pack("{s:s}", "state", "maint"),
		    show_maint);
}

static int run_ready(const struct ctl *ctl, const struct command_args *args)
{
	return post(ctl, args->arguments[0], "state", json_pack("{s:s}", "state", "ready"),
		    show_state);
}

static int run_weight(const struct ctl *ctl, const struct command_args *args)
{
	long weight;
	const char *text = args->arguments[1];
	if (strcmp(text, "default") == 0)
		return post(ctl, args->arguments[0], "weight", json_pack("{s:n}", "weight"),
			    show_weight);
	if (!usage_parse_number(text, 0, MAX_WEIGHT, &weight))
		return usage_error(&weight_command, "a weight is 0 to %d, or default", MAX_WEIGHT);
	return post(ctl, args->arguments[0], "weight",
		    json_pack("{s:I}", "weight", (json_int_t)weight), show_weight);
}

#define SERVER_NAMES                                                                         \
	"SERVER is POOL/SERVER, or the server's name alone where there is only one of it.\n" \
	"It stays so across reloads, until said otherwise or until culvert ends."

const struct command drain_command = {
	.name = "drain",
	.arguments = "SERVER",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "no new connections; those that it has go on",
	.help = "The server gets no new connections; those that it has go on until they "
		"end.\n" SERVER_NAMES,
	.run = run_drain,
};

const struct command maint_command = {
	.name = "maint",
	.arguments = "SERVER",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "out of service: as if it were down",
	.help = "The server is out of service, as if it were down: no new connections, and those "
		"that it\n"
		"has are ended as the pool's on_backend_down says.\n" SERVER_NAMES,
	.run = run_maint,
};

const struct command ready_command = {
	.name = "ready",
	.arguments = "SERVER",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "back into service, as its health allows",
	.help = "The server is back in service, as its health allows: the end of drain and maint.\n"
		"SERVER is POOL/SERVER, or the server's name alone where there is only one of it.",
	.run = run_ready,
};

const struct command weight_command = {
	.name = "weight",
	.arguments = "SERVER N|default",
	.min_arguments = 2,
	.max_arguments = 2,
	.summary = "its share of new connections",
	.help = "The server's weight among those of its pool, 0 to 1000; \"default\" is what the "
		"file says.\n" SERVER_NAMES,
	.run = run_weight,
};
