// SPDX-License-Identifier: Apache-2.0
// `culvertctl servers`: every backend, its state, health, weight and traffic.
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/field.h"
#include "ctl/server_text.h"
#include "ctl/table.h"
#include "ctl/units.h"
#include "ctl/usage.h"
#include "culvert/base/suggest.h"

enum { NAMES, NOTE_MAX = 512 };

static const struct table_column columns[] = {
	{"SERVER", TABLE_LEFT}, {"ADDRESS", TABLE_LEFT}, {"STATE", TABLE_LEFT},
	{"HEALTH", TABLE_LEFT}, {"FOR", TABLE_RIGHT},    {"WEIGHT", TABLE_RIGHT},
	{"SHARE", TABLE_RIGHT}, {"NOW", TABLE_RIGHT},    {"TOTAL", TABLE_RIGHT},
	{"IN", TABLE_RIGHT},    {"OUT", TABLE_RIGHT},    {"NOTE", TABLE_LEFT},
};

// For a narrow terminal: what can be looked up elsewhere goes first.
static const char *const less_needed[] = {"TOTAL", "IN",  "OUT",     "FOR", "WEIGHT",
					  "SHARE", "NOW", "ADDRESS", NULL};

static void add_row(struct table *table, const json_t *backend)
{
	char note[NOTE_MAX];
	char age[UNITS_TEXT_MAX];
	char weight[UNITS_TEXT_MAX];
	double age_s = units_age(field_text_or(backend, "health_since", ""), (double)time(NULL));
	table_text(table, PAINT_BOLD, field_text(backend, "name"));
	table_text(table, PAINT_NONE, field_text(backend, "address"));
	table_word(table, field_text(backend, "state"));
	table_word(table, field_text(backend, "health"));
	table_text(table, PAINT_NONE, age_s < 0 ? NULL : units_duration(age_s, age));
	table_text(table, PAINT_NONE, units_weight(server_weight(backend), weight));
	table_share(table, backend, "share");
	table_count(table, backend, "connections.current");
	table_count(table, backend, "connections.total");
	table_bytes(table, backend, "bytes.tx");
	table_bytes(table, backend, "bytes.rx");
	if (*server_note(backend, note, sizeof(note)))
		table_text(table, PAINT_NONE, note);
	table_end_row(table);
}

static void print_panic(const json_t *answer, const char *wanted)
{
	size_t i;
	json_t *pool;
	json_array_foreach(field_list(answer, "pools"), i, pool)
	{
		const char *raw = field_text_or(pool, "name", "?");
		if (!field_is_true(pool, "in_panic") || (wanted && strcmp(raw, wanted) != 0))
			continue;
		char *name = paint_clean(raw);
		printf("\nPool %s is in panic: too few of its servers are healthy, so all are "
		       "used.\n",
		       name ? name : "?");
		free(name);
	}
}

static bool is_wanted(const json_t *backend, const char *pool)
{
	return !pool || strcmp(field_text_or(backend, "pool", ""), pool) == 0;
}

static void print_unknown(const json_t *answer, const char *wanted)
{
	size_t i;
	json_t *pool;
	struct suggestion near = {.wanted = wanted};
	json_array_foreach(field_list(answer, "pools"), i, pool)
	{
		suggest_offer(&near, field_text_or(pool, "name", ""));
	}
	char *name = near.best ? paint_clean(near.best) : NULL;
	fprintf(stderr, "culvertctl: there is no pool \"%s\", or it has no servers\n", wanted);
	if (name)
		fprintf(stderr, "did you mean \"%s\"?\n", name);
	free(name);
}

static int print_table(const struct ctl *ctl, const json_t *answer, const char *pool)
{
	struct table *table = table_create(columns, sizeof(columns) / sizeof(*columns));
	size_t i;
	json_t *backend;
	if (!table)
		return CTL_NO;
	json_array_foreach(field_list(answer, "backends"), i, backend)
	{
		if (is_wanted(backend, pool))
			add_row(table, backend);
	}
	int code = CTL_OK;
	table_fit(table, ctl->n_columns, less_needed);
	if (pool && table_is_empty(table)) {
		print_unknown(answer, pool);
		code = CTL_NO;
	} else if (!table_print(table, stdout, ctl->has_color)) {
		code = CTL_NO;
	}
	table_destroy(table);
	if (code == CTL_OK)
		print_panic(answer, pool);
	return code;
}

// One a line, for scripts and the shell's completion.
static void print_names(const json_t *answer, const char *pool)
{
	size_t i;
	json_t *backend;
	json_array_foreach(field_list(answer, "backends"), i, backend)
	{
		char *name = paint_clean(field_text_or(backend, "name", ""));
		if (name && *name && is_wanted(backend, pool))
			puts(name);
		free(name);
	}
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	json_t *answer = NULL;
	const char *pool = args->n_arguments > 0 ? args->arguments[0] : NULL;
	if (pool && ctl->is_json)
		return usage_error(&servers_command, "--json prints all pools: leave %s out", pool);
	int code = ask_get(ctl, "/api/v1/backends", &answer);
	if (code != CTL_OK)
		return code;
	if (args->values[NAMES])
		print_names(answer, pool);
	else if (ctl->is_json)
		code = ask_print_json(answer);
	else
		code = print_table(ctl, answer, pool);
	json_decref(answer);
	return code;
}

static const struct command_option options[] = {
	[NAMES] = {"names", NULL, "only the names, one a line"},
};

const struct command servers_command = {
	.name = "servers",
	.arguments = "[POOL]",
	.max_arguments = 1,
	.summary = "every server: state, health, weight, traffic",
	.help = "Every server, or those of a pool: what the operator says (STATE), what the checks "
		"say\n"
		"(HEALTH, and for how long), its weight and its share now of the pool's new "
		"connections,\n"
		"connections now and in total, bytes from clients (IN) and back to them (OUT).",
	.options = options,
	.n_options = sizeof(options) / sizeof(*options),
	.run = run,
};
