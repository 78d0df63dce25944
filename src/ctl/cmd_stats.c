// SPDX-License-Identifier: Apache-2.0
// `culvertctl stats`: the traffic, frontend by frontend and pool by pool.
#include <string.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/facts.h"
#include "ctl/field.h"
#include "ctl/table.h"
#include "ctl/units.h"

static const struct table_column frontend_columns[] = {
	{"FRONTEND", TABLE_LEFT}, {"NOW", TABLE_RIGHT}, {"TOTAL", TABLE_RIGHT},
	{"IN", TABLE_RIGHT},      {"OUT", TABLE_RIGHT},
};
static const struct table_column pool_columns[] = {
	{"POOL", TABLE_LEFT}, {"NOW", TABLE_RIGHT}, {"TOTAL", TABLE_RIGHT},
	{"IN", TABLE_RIGHT},  {"OUT", TABLE_RIGHT}, {"UP", TABLE_RIGHT},
};
enum {
	N_FRONTEND_COLUMNS = sizeof(frontend_columns) / sizeof(*frontend_columns),
	N_POOL_COLUMNS = sizeof(pool_columns) / sizeof(*pool_columns),
	FACT_MAX = 128,
};

// In DSR mode backends answer past culvert, which is not nothing.
static bool sees_answers(const json_t *stats)
{
	return strcmp(field_text_or(stats, "mode", ""), "dsr") != 0;
}

static void add_traffic(struct table *table, const char *name, const json_t *object,
			bool has_answers)
{
	table_text(table, PAINT_BOLD, name);
	table_count(table, object, "current_connections");
	table_count(table, object, "total_connections");
	table_bytes(table, object, "bytes_tx");
	table_bytes(table, has_answers ? object : NULL, "bytes_rx");
}

static void add_up(struct table *table, const json_t *pool)
{
	size_t n_up = 0;
	char text[FACT_MAX];
	const char *address;
	json_t *is_up;
	json_t *servers = json_object_get(pool, "servers");
	json_object_foreach (servers, address, is_up)
		n_up += json_is_true(is_up);
	snprintf(text, sizeof(text), "%zu of %zu", n_up, json_object_size(servers));
	table_text(table, n_up < json_object_size(servers) ? PAINT_WARN : PAINT_GOOD, text);
}

struct section {
	const char *key; // of what GET /stats answers
	const struct table_column *columns;
	size_t n_columns;
	bool has_servers;
	const char *removed; // key of what reloads have left out; NULL: the others have it
};

static int print_section(const struct ctl *ctl, const json_t *stats, const struct section *section)
{
	const char *name;
	json_t *object;
	json_t *all = json_object_get(stats, section->key);
	struct table *table = table_create(section->columns, section->n_columns);
	if (!table)
		return CTL_NO;
	json_object_foreach (all, name, object) {
		add_traffic(table, name, object, sees_answers(stats));
		if (section->has_servers)
			add_up(table, object);
		table_end_row(table);
	}
	const json_t *removed = section->removed ? field_at(stats, section->removed) : NULL;
	if (field_number_or(removed, "total_connections", 0) > 0) {
		add_traffic(table, "(removed)", removed, sees_answers(stats));
		table_end_row(table);
	}
	putchar('\n');
	bool is_good = table_print(table, stdout, ctl->has_color);
	table_destroy(table);
	return is_good ? CTL_OK : CTL_NO;
}

static void add_packets(struct table *facts, const json_t *stats)
{
	char received[UNITS_TEXT_MAX];
	char forwarded[UNITS_TEXT_MAX];
	char dropped[UNITS_TEXT_MAX];
	if (!field_at(stats, "packets"))
		return;
	double n_dropped = field_number_or(stats, "packets.dropped", 0);
	facts_add(facts, "Packets", PAINT_NONE, "%s received, %s forwarded, %s dropped%s",
		  units_whole(field_number_or(stats, "packets.received", 0), received),
		  units_whole(field_number_or(stats, "packets.forwarded", 0), forwarded),
		  units_whole(n_dropped, dropped),
		  n_dropped > 0 ? " (culvertctl drops says why)" : "");
}

// Packet modes.
static void add_fast_path(struct table *facts, const json_t *stats)
{
	char flows[UNITS_TEXT_MAX];
	char packets[UNITS_TEXT_MAX];
	char share[UNITS_TEXT_MAX];
	double n_packets = field_number_or(stats, "fast_path.packets", 0);
	double n_forwarded = field_number_or(stats, "packets.forwarded", 0);
	double n_flows = field_number_or(stats, "fast_path.flows", 0);
	if (!field_at(stats, "fast_path"))
		return;
	bool is_off = strcmp(field_text_or(stats, "fast_path.state", "on"), "off") == 0;
	if (is_off && n_packets == 0) {
		facts_add(facts, "Fast path", PAINT_NONE, "off");
		return;
	}
	facts_add(facts, "Fast path", PAINT_NONE,
		  "%s%s flow%s, %s packet%s (%s of those forwarded)", is_off ? "off; " : "",
		  units_whole(n_flows, flows), n_flows == 1 ? "" : "s",
		  units_whole(n_packets, packets), n_packets == 1 ? "" : "s",
		  units_share(n_forwarded > 0 ? n_packets / n_forwarded : 0, share));
}

static void print_totals(const struct ctl *ctl, const json_t *stats, struct table *facts)
{
	char now[UNITS_TEXT_MAX];
	char total[UNITS_TEXT_MAX];
	char in[UNITS_TEXT_MAX];
	char out[UNITS_TEXT_MAX];
	facts_add(facts, "Connections", PAINT_NONE, "%s now, %s in total",
		  units_whole(field_number_or(stats, "current_connections", 0), now),
		  units_whole(field_number_or(stats, "total_connections", 0), total));
	units_bytes(field_number_or(stats, "total_bytes_tx", 0), in);
	units_bytes(field_number_or(stats, "total_bytes_rx", 0), out);
	if (sees_answers(stats))
		facts_add(facts, "Traffic", PAINT_NONE, "%s from clients, %s back to them", in,
			  out);
	else
		facts_add(facts, "Traffic", PAINT_NONE,
			  "%s from clients; servers answer them directly", in);
	add_packets(facts, stats);
	add_fast_path(facts, stats);
	table_print(facts, stdout, ctl->has_color);
}

static int show(const struct ctl *ctl, const json_t *stats)
{
	static const struct section frontends = {"frontends", frontend_columns, N_FRONTEND_COLUMNS,
						 false, "removed_frontends"};
	static const struct section pools = {"backends", pool_columns, N_POOL_COLUMNS, true, NULL};
	struct table *facts = facts_create();
	if (!facts)
		return CTL_NO;
	print_totals(ctl, stats, facts);
	table_destroy(facts);
	int code = print_section(ctl, stats, &frontends);
	return code == CTL_OK ? print_section(ctl, stats, &pools) : code;
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	(void)args;
	return ask_show(ctl, "/stats", show);
}

const struct command stats_command = {
	.name = "stats",
	.summary = "the traffic of frontends and pools",
	.help = "The traffic in all, by frontend and by pool: connections now and in total, bytes "
		"from\n"
		"clients (IN) and back to them (OUT). With --json it is what GET /stats answers.",
	.run = run,
};
