// SPDX-License-Identifier: Apache-2.0
// `culvertctl drops`: the ledger of packets, or in proxy mode how sessions ended.
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/facts.h"
#include "ctl/field.h"
#include "ctl/sample.h"
#include "ctl/table.h"
#include "ctl/units.h"
#include "ctl/usage.h"

enum {
	SAMPLE,
	COUNT,
	SECONDS,
	MAX_COUNT = 10000, // of culvert, as the next
	MAX_SECONDS = 60,
	DEFAULT_COUNT = 100,
	DEFAULT_SECONDS = 10,
};

static const struct table_column drop_columns[] = {{"REASON", TABLE_LEFT},
						   {"PACKETS", TABLE_RIGHT},
						   {"WHAT IT MEANS", TABLE_LEFT}};
static const struct table_column end_columns[] = {{"END", TABLE_LEFT},
						  {"SESSIONS", TABLE_RIGHT},
						  {"WHAT IT MEANS", TABLE_LEFT}};

// Only what has happened: the list of what could is in the manual.
static int print_counts(const struct ctl *ctl, const json_t *list, const char *name,
			const struct table_column *columns)
{
	size_t i;
	json_t *entry;
	struct table *table = table_create(columns, 3);
	if (!table)
		return CTL_NO;
	json_array_foreach(list, i, entry)
	{
		if (field_number_or(entry, "count", 0) <= 0)
			continue;
		table_text(table, PAINT_BOLD, field_text(entry, name));
		table_count(table, entry, "count");
		table_text(table, PAINT_NONE, field_text(entry, "text"));
		table_end_row(table);
	}
	bool is_good = table_print(table, stdout, ctl->has_color);
	if (table_is_empty(table))
		puts("None.");
	table_destroy(table);
	return is_good ? CTL_OK : CTL_NO;
}

static void add_packets(struct table *facts, const char *label, const json_t *answer,
			const char *member)
{
	char count[UNITS_TEXT_MAX];
	char share[UNITS_TEXT_MAX];
	double n;
	double received = field_number_or(answer, "received", 0);
	if (!field_number(answer, member, &n))
		return;
	facts_add(facts, label, PAINT_NONE, "%s (%s)", units_whole(n, count),
		  units_share(received > 0 ? n / received : 0, share));
}

static int print_ledger(const struct ctl *ctl, const json_t *answer)
{
	char count[UNITS_TEXT_MAX];
	struct table *facts = facts_create();
	if (!facts)
		return CTL_NO;
	facts_add(facts, "Received", PAINT_NONE, "%s packets",
		  units_whole(field_number_or(answer, "received", 0), count));
	add_packets(facts, "Forwarded", answer, "forwarded");
	add_packets(facts, "Passed to the kernel", answer, "passed");
	table_print(facts, stdout, ctl->has_color);
	table_destroy(facts);
	puts("\nDropped:");
	return print_counts(ctl, field_list(answer, "drops"), "reason", drop_columns);
}

static int show(const struct ctl *ctl, const json_t *answer)
{
	if (field_at(answer, "ends"))
		return print_counts(ctl, field_list(answer, "ends"), "end", end_columns);
	return print_ledger(ctl, answer);
}

static int run_sample(const struct ctl *ctl, const struct command_args *args)
{
	struct sample sample = {
		.reason = args->values[SAMPLE],
		.n_packets = DEFAULT_COUNT,
		.duration_s = DEFAULT_SECONDS,
	};
	if (args->n_arguments != 1)
		return usage_error(&drops_command, "--sample takes a file to write: drops "
						   "--sample=REASON FILE.pcap");
	sample.file = args->arguments[0];
	if (args->values[COUNT] &&
	    !usage_parse_number(args->values[COUNT], 1, MAX_COUNT, &sample.n_packets))
		return usage_error(&drops_command, "--count takes 1 to %d", MAX_COUNT);
	if (args->values[SECONDS] &&
	    !usage_parse_number(args->values[SECONDS], 1, MAX_SECONDS, &sample.duration_s))
		return usage_error(&drops_command, "--seconds takes 1 to %d", MAX_SECONDS);
	return sample_take(ctl, &sample);
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	if (args->values[SAMPLE])
		return run_sample(ctl, args);
	if (args->n_arguments > 0 || args->values[COUNT] || args->values[SECONDS])
		return usage_error(&drops_command, "a file, --count and --seconds go with "
						   "--sample=REASON");
	return ask_show(ctl, "/api/v1/drops", show);
}

static const struct command_option options[] = {
	[SAMPLE] = {"sample", "REASON", "capture packets that are dropped for it"},
	[COUNT] = {"count", "N", "so many packets at most; default 100"},
	[SECONDS] = {"seconds", "S", "so long at most; default 10"},
};

const struct command drops_command = {
	.name = "drops",
	.arguments = "[--sample=REASON FILE.pcap]",
	.max_arguments = 1,
	.summary = "packets dropped and why; a capture of them",
	.help = "What became of the packets: forwarded, passed to the kernel, or dropped and why. "
		"In proxy\n"
		"mode, how sessions have ended. With --sample=REASON, the next packets that are "
		"dropped\n"
		"for that reason are written to FILE.pcap, for tcpdump and Wireshark; \"-\" is "
		"standard\n"
		"output.",
	.options = options,
	.n_options = sizeof(options) / sizeof(*options),
	.run = run,
};
