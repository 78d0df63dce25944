// SPDX-License-Identifier: Apache-2.0
// `culvertctl flows`: the connections that there are.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/field.h"
#include "ctl/table.h"
#include "ctl/units.h"
#include "ctl/usage.h"

enum { CLIENT, SERVER, FRONTEND, LIMIT, PATH_MAX_BYTES = 1536 };

static const struct command_option options[] = {
	[CLIENT] = {"client", "IP[:PORT]", "only of this client"},
	[SERVER] = {"server", "NAME", "only to this server"},
	[FRONTEND] = {"frontend", "NAME", "only through this frontend"},
	[LIMIT] = {"limit", "N", "so many at most; default 100"},
};
enum { N_OPTIONS = sizeof(options) / sizeof(*options) };

static const struct table_column columns[] = {
	{"PROTO", TABLE_LEFT},    {"CLIENT", TABLE_LEFT}, {"FRONTEND", TABLE_LEFT},
	{"SERVER", TABLE_LEFT},   {"STATE", TABLE_LEFT},  {"IDLE", TABLE_RIGHT},
	{"EXPIRES", TABLE_RIGHT}, {"IN", TABLE_RIGHT},    {"OUT", TABLE_RIGHT},
	{"PATH", TABLE_LEFT},     {"NAT", TABLE_LEFT},
};
static const char *const less_needed[] = {"NAT", "PROTO", "PATH", "EXPIRES", "FRONTEND",
					  "OUT", "IN",    "IDLE", NULL};
// The last two are not there in every mode.
enum { N_COLUMNS = sizeof(columns) / sizeof(*columns), N_COMMON = N_COLUMNS - 2 };

static void add_duration(struct table *table, const json_t *flow, const char *path)
{
	char text[UNITS_TEXT_MAX];
	double seconds;
	table_text(table, PAINT_NONE,
		   field_number(flow, path, &seconds) ? units_duration(seconds, text) : NULL);
}

// Only the packet modes have a fast path, and only passthrough mode addresses of its own to show.
static size_t count_columns(const json_t *flow)
{
	if (field_text(flow, "nat"))
		return N_COLUMNS;
	return field_at(flow, "fast_path") ? N_COMMON + 1 : N_COMMON;
}

static void add_row(struct table *table, const json_t *flow, size_t n_columns)
{
	table_text(table, PAINT_NONE, field_text(flow, "protocol"));
	table_text(table, PAINT_BOLD, field_text(flow, "client"));
	table_text(table, PAINT_NONE, field_text(flow, "frontend"));
	table_text(table, PAINT_NONE, field_text(flow, "backend"));
	table_text(table, PAINT_NONE, field_text(flow, "state"));
	add_duration(table, flow, "idle");
	add_duration(table, flow, "expires_in");
	table_bytes(table, flow, "bytes.tx");
	table_bytes(table, flow, "bytes.rx");
	if (n_columns > N_COMMON)
		table_text(table, PAINT_NONE, field_is_true(flow, "fast_path") ? "fast" : NULL);
	if (n_columns == N_COLUMNS)
		table_text(table, PAINT_NONE, field_text(flow, "nat"));
	table_end_row(table);
}

static void print_sum(const json_t *answer, size_t n_shown)
{
	char shown[UNITS_TEXT_MAX];
	char matched[UNITS_TEXT_MAX];
	double n_matched = field_number_or(answer, "n_matched", (double)n_shown);
	units_whole((double)n_shown, shown);
	units_whole(n_matched, matched);
	bool is_complete = !json_is_false(field_at(answer, "is_complete"));
	if (n_matched > (double)n_shown)
		printf("\n%s of %s%s flows shown; --limit=N shows more\n", shown,
		       is_complete ? "" : "at least ", matched);
	else if (n_shown == 0)
		puts("No flows.");
	else
		printf("\n%s flow%s%s\n", shown, n_shown == 1 ? "" : "s",
		       is_complete ? "" : "; there may be more");
}

static int show(const struct ctl *ctl, const json_t *answer)
{
	const json_t *flows = field_list(answer, "flows");
	size_t i;
	json_t *flow;
	size_t n_columns = count_columns(json_array_get(flows, 0));
	struct table *table = table_create(columns, n_columns);
	if (!table)
		return CTL_NO;
	json_array_foreach(flows, i, flow) add_row(table, flow, n_columns);
	table_fit(table, ctl->n_columns, less_needed);
	bool is_good = table_print(table, stdout, ctl->has_color);
	table_destroy(table);
	print_sum(answer, json_array_size(flows));
	return is_good ? CTL_OK : CTL_NO;
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	char path[PATH_MAX_BYTES] = "/api/v1/flows";
	const char *separator = "?";
	long limit;
	if (args->values[LIMIT] && !usage_parse_number(args->values[LIMIT], 1, INT_MAX, &limit))
		return usage_error(&flows_command, "--limit takes a number from 1");
	for (size_t i = 0; i < N_OPTIONS; i++) {
		if (!args->values[i])
			continue;
		size_t length = strlen(path);
		snprintf(path + length, sizeof(path) - length, "%s%s=", separator, options[i].name);
		client_escape(path, sizeof(path), args->values[i]);
		separator = "&";
	}
	return ask_show(ctl, path, show);
}

const struct command flows_command = {
	.name = "flows",
	.summary = "the connections that there are",
	.help = "The connections that there are: whose, through which frontend, to which server, "
		"how long\n"
		"silent, when they would lapse, bytes from the client (IN) and back (OUT). PATH is "
		"fast for\n"
		"those whose packets the kernel forwards.",
	.options = options,
	.n_options = N_OPTIONS,
	.run = run,
};
