// SPDX-License-Identifier: Apache-2.0
// `culvertctl reload`: take the configuration file over, or say what that would change.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/facts.h"
#include "ctl/field.h"
#include "ctl/table.h"
#include "ctl/units.h"
#include "ctl/usage.h"
#include "culvert/config/config.h"

enum { PLAN, MAX_DISRUPTION, HTTP_OK = 200 };

static const struct table_column change_columns[] = {{"", TABLE_LEFT},
						     {"", TABLE_LEFT},
						     {"", TABLE_LEFT},
						     {"", TABLE_LEFT}};

static const struct {
	const char *change;
	const char *sign;
	enum paint paint;
} signs[] = {
	{"added", "+", PAINT_GOOD},
	{"removed", "-", PAINT_BAD},
	{"changed", "~", PAINT_WARN},
	{"moved", ">", PAINT_WARN},
};

static void add_sign(struct table *table, const char *change)
{
	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
		if (strcmp(signs[i].change, change) == 0) {
			char text[UNITS_TEXT_MAX];
			snprintf(text, sizeof(text), "  %s %s", signs[i].sign, change);
			table_text(table, signs[i].paint, text);
			return;
		}
	}
	table_text(table, PAINT_NONE, change);
}

static void print_changes(const struct ctl *ctl, const json_t *plan)
{
	size_t i;
	json_t *change;
	struct table *table = table_create(change_columns, 4);
	if (!table)
		return;
	json_array_foreach(field_list(plan, "changes"), i, change)
	{
		add_sign(table, field_text_or(change, "change", "?"));
		table_text(table, PAINT_NONE, field_text(change, "what"));
		table_text(table, PAINT_BOLD, field_text(change, "name"));
		if (*field_text_or(change, "detail", ""))
			table_text(table, PAINT_NONE, field_text(change, "detail"));
		table_end_row(table);
	}
	table_print(table, stdout, ctl->has_color);
	if (!table_is_empty(table))
		putchar('\n');
	table_destroy(table);
}

static void add_slots(struct table *facts, const json_t *plan)
{
	char moved[UNITS_TEXT_MAX];
	char total[UNITS_TEXT_MAX];
	char share[UNITS_TEXT_MAX];
	double n_total = field_number_or(plan, "slots.total", 0);
	double n_moved = field_number_or(plan, "slots.moved", 0);
	if (n_total <= 0)
		return;
	facts_add(facts, "Maglev slots moved", PAINT_NONE, "%s of %s (%s)",
		  units_whole(n_moved, moved), units_whole(n_total, total),
		  units_percent(n_moved / n_total, share));
}

static void print_disruption(const struct ctl *ctl, const json_t *plan)
{
	char text[UNITS_TEXT_MAX];
	char most[UNITS_TEXT_MAX];
	struct table *facts = facts_create();
	double disruption;
	if (!facts)
		return;
	add_slots(facts, plan);
	facts_add(facts, "Live flows touched", PAINT_NONE, "%s",
		  units_whole(field_number_or(plan, "flows_touched", 0), text));
	if (field_number(plan, "disruption", &disruption)) {
		double max = field_number_or(plan, "max_disruption", 1);
		facts_add(facts, "Disruption", disruption > max ? PAINT_BAD : PAINT_NONE,
			  "%s, of %s allowed", units_percent(disruption, text),
			  units_percent(max, most));
	}
	table_print(facts, stdout, ctl->has_color);
	table_destroy(facts);
}

static bool is_among(const json_t *errors, const char *message)
{
	size_t i;
	json_t *error;
	json_array_foreach(errors, i, error)
	{
		if (strcmp(field_text_or(error, "message", ""), message) == 0)
			return true;
	}
	return false;
}

// The message may begin with the key, or stand among the errors that are told anyway.
static void print_needs_restart(const json_t *plan, const json_t *errors)
{
	size_t i;
	json_t *need;
	const char *heading = "\nOnly a restart can change:\n";
	json_array_foreach(field_list(plan, "needs_restart"), i, need)
	{
		const char *name = field_text_or(need, "key", "?");
		const char *text = field_text_or(need, "message", "");
		if (is_among(errors, text))
			continue;
		bool has_name = strncmp(text, name, strlen(name)) == 0;
		char *key = paint_clean(has_name ? "" : name);
		char *message = paint_clean(text);
		printf("%s  %s%s%s\n", heading, key ? key : "?", has_name ? "" : ": ",
		       message ? message : "");
		heading = "";
		free(message);
		free(key);
	}
}

static int show_result(const struct ctl *ctl, const json_t *answer)
{
	const char *result = field_text_or(answer, "result", "ok");
	const json_t *plan = field_at(answer, "plan");
	bool has_changes = json_array_size(field_list(plan, "changes")) > 0;
	if (strcmp(result, "unchanged") == 0 || (strcmp(result, "planned") == 0 && !has_changes)) {
		puts("Nothing to change: the file says what is in force.");
		return CTL_OK;
	}
	puts(strcmp(result, "planned") == 0 ? "A reload would change:\n" : "Reloaded:\n");
	if (!plan)
		return CTL_OK;
	print_changes(ctl, plan);
	print_disruption(ctl, plan);
	print_needs_restart(plan, NULL);
	return CTL_OK;
}

// As compilers do, for editors to find the place.
static void print_error(const json_t *error)
{
	char *file = paint_clean(field_text_or(error, "file", ""));
	char *message = paint_clean(field_text_or(error, "message", "?"));
	double line = field_number_or(error, "line", 0);
	if (file && message && *file && line > 0)
		fprintf(stderr, "%s:%.0f:%.0f: %s\n", file, line,
			field_number_or(error, "column", 0), message);
	else if (file && message)
		fprintf(stderr, "%s%s%s\n", file, *file ? ": " : "", message);
	free(message);
	free(file);
}

static int show_refusal(const struct ctl *ctl, long status, const json_t *answer)
{
	size_t i;
	json_t *error;
	int code = ask_refusal(ctl, status, answer);
	if (ctl->is_json || code == CTL_UNREACHABLE)
		return code;
	const json_t *errors = field_list(answer, "errors");
	const json_t *plan = field_at(answer, "plan");
	json_array_foreach(errors, i, error) print_error(error);
	if (json_array_size(field_list(plan, "changes")) > 0) {
		puts("It would have changed:\n");
		print_changes(ctl, plan);
		print_disruption(ctl, plan);
	}
	print_needs_restart(plan, errors);
	return code;
}

// The file goes along: culvert may not be allowed to read it. NULL with the reason printed.
static json_t *pack_file(const char *path)
{
	struct err err = {0};
	char *text = NULL;
	size_t length = 0;
	int code = config_read(path, &text, &length, &err);
	json_t *file = code ? NULL : json_pack("{s:s, s:s%}", "name", path, "text", text, length);
	free(text);
	if (!file)
		fprintf(stderr, "culvertctl: %s: %s\n", path,
			code ? err.message : "the file, or its name, is not UTF-8");
	return file;
}

// NULL with the reason printed.
static json_t *make_question(const struct command_args *args)
{
	const char *text = args->values[MAX_DISRUPTION];
	json_t *question = json_pack("{s:b}", "plan", args->values[PLAN] != NULL);
	json_t *file = args->n_arguments ? pack_file(args->arguments[0]) : NULL;
	if (args->n_arguments && !file) {
		json_decref(question);
		return NULL;
	}
	if (question && file)
		json_object_set_new(question, "file", file);
	if (question && text)
		json_object_set_new(question, "max_disruption", json_real(strtod(text, NULL)));
	return question;
}

static bool is_share(const char *text)
{
	char *end;
	double share = strtod(text, &end);
	return end != text && !*end && share >= 0 && share <= 1;
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	long status = 0;
	json_t *answer = NULL;
	if (args->values[MAX_DISRUPTION] && !is_share(args->values[MAX_DISRUPTION]))
		return usage_error(&reload_command, "--max-disruption takes 0 to 1, as 0.1");
	if (args->n_arguments && !args->values[PLAN])
		return usage_error(&reload_command,
				   "another file can only be planned: reload --plan %s",
				   args->arguments[0]);
	json_t *question = make_question(args);
	if (!question)
		return CTL_NO;
	int code = ask_any(ctl, "/api/v1/reload", question, &status, &answer);
	if (code != CTL_OK)
		return code;
	if (status != HTTP_OK)
		code = show_refusal(ctl, status, answer);
	else
		code = ctl->is_json ? ask_print_json(answer) : show_result(ctl, answer);
	json_decref(answer);
	return code;
}

static const struct command_option options[] = {
	[PLAN] = {"plan", NULL, "say what would change, and change nothing"},
	[MAX_DISRUPTION] = {"max-disruption", "SHARE", "refuse above it, 0 to 1"},
};

const struct command reload_command = {
	.name = "reload",
	.arguments = "[--plan [FILE]]",
	.max_arguments = 1,
	.summary = "take the configuration file over",
	.help = "Take the configuration file over, as it is now. A file with an error changes "
		"nothing.\n"
		"Says what is added, removed and changed, how many slots of the hash tables get "
		"another\n"
		"server, and how many live flows that touches; --plan says so before. As long as "
		"watch of\n"
		"[reload] is true, a file is taken over as soon as it is saved, and nothing is "
		"left to plan.\n"
		"With a FILE, --plan says what that one would change, were it in the place of the "
		"one in force.",
	.options = options,
	.n_options = sizeof(options) / sizeof(*options),
	.run = run,
};
