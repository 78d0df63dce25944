// SPDX-License-Identifier: Apache-2.0
// What the packet path costs per packet, without a network: capture, steering, a worker and
// transmitting in one thread, as with workers = 0, over a driver in memory. Prints one JSON object
// per row: nanoseconds of each round on a processor, and those that making the frames takes, which
// are in them; page faults of each round; and which part of the process's memory lies in huge pages
// after it. The clock of the flows does not move while something is measured, and no timer runs
// out. Under callgrind, instructions go into dumps named after the rows ("ROW" and "ROW
// generator"): tests/bench/micro reads both.
//
// A new flow costs one thing where flows come and go, and another in the first seconds, when the
// kernel gives memory for what has never been touched. The rows are "new-..." and "...-fresh".
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "bench_parts.h"
#include "meter.h"
#include "path_load.h"

enum {
	MAX_FLOW_COUNTS = 8,
	MAX_ROUNDS = 100,
	NAME_MAX_BYTES = 64,
	LINE_MAX_BYTES = 256,
	MIN_FLOWS = 100,
	MAX_FLOWS = 16000000
};

// Half-open flows may fill a quarter of a table.
enum { HALF_OPEN_PART = 4 };

struct options {
	uint32_t flows[MAX_FLOW_COUNTS];
	uint32_t n_flows;
	uint32_t n_packets;
	uint32_t n_rounds;
	const char *only; // NULL: every row
};

// Rows of one table share its flows.
struct row {
	const char *name;
	enum load_kind kind;
	bool is_fresh; // in a table that nobody has used before
};

struct table {
	uint8_t proto;
	bool is_dsr;
	const struct row *rows; // the last has no name
};

struct result {
	uint64_t ns[MAX_ROUNDS];
	uint64_t generator_ns[MAX_ROUNDS];
	uint64_t faults[MAX_ROUNDS];
	uint64_t huge_percent[MAX_ROUNDS];
};

// What a round of a row does: the packets, in batches, of the same flows each time.
struct work {
	const char *name;
	enum load_kind kind;
	uint32_t first;
	uint32_t n_batch;
	uint32_t n_batches;
};

static const struct row udp_rows[] = {
	{"forward-udp", LOAD_FORWARD, false},
	{"reply-udp", LOAD_REPLY, false},
	{"new-udp", LOAD_OPEN, false},
	{"new-udp-fresh", LOAD_OPEN, true},
	{"miss-frontend", LOAD_NO_FRONTEND, false},
	{"miss-flow", LOAD_NO_FLOW, false},
	{0},
};
static const struct row tcp_rows[] = {
	{"forward-tcp", LOAD_FORWARD, false}, {"reply-tcp", LOAD_REPLY, false},
	{"new-tcp", LOAD_OPEN, false},        {"new-tcp-fresh", LOAD_OPEN, true},
	{"reset-tcp", LOAD_RESET, false},     {0},
};
static const struct row dsr_udp_rows[] = {
	{"dsr-forward-udp", LOAD_FORWARD, false},
	{"dsr-new-udp", LOAD_OPEN, false},
	{"dsr-new-udp-fresh", LOAD_OPEN, true},
	{0},
};
static const struct row dsr_tcp_rows[] = {
	{"dsr-forward-tcp", LOAD_FORWARD, false},
	{"dsr-new-tcp", LOAD_OPEN, false},
	{"dsr-new-tcp-fresh", LOAD_OPEN, true},
	{0},
};
static const struct table tables[] = {
	{IPPROTO_UDP, false, udp_rows},
	{IPPROTO_TCP, false, tcp_rows},
	{IPPROTO_UDP, true, dsr_udp_rows},
	{IPPROTO_TCP, true, dsr_tcp_rows},
};

static const char expiry[] = "expire-tcp"; // what comes after a reset

static bool is_wanted(const struct options *options, const char *name)
{
	return !options->only || strcmp(options->only, name) == 0;
}

// ---- output ------------------------------------------------------------------------------------

static void print_numbers(const char *name, const uint64_t *numbers, uint32_t n)
{
	printf(", \"%s\": [", name);
	for (uint32_t i = 0; i < n; i++)
		printf("%s%llu", i ? ", " : "", (unsigned long long)numbers[i]);
	printf("]");
}

static void print_result(const char *row, uint32_t flows, uint32_t n_operations,
			 const struct result *result, uint32_t n_rounds)
{
	printf("{\"row\": \"%s\", \"flows\": %u, \"operations\": %u", row, flows, n_operations);
	print_numbers("ns", result->ns, n_rounds);
	print_numbers("generator_ns", result->generator_ns, n_rounds);
	print_numbers("faults", result->faults, n_rounds);
	print_numbers("huge_percent", result->huge_percent, n_rounds);
	puts("}");
	fflush(stdout);
}

// ---- rows --------------------------------------------------------------------------------------

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

// The number behind `name` in a line of /proc's, or what it was before.
static uint64_t read_kb(const char *line, const char *name, uint64_t before)
{
	size_t len = strlen(name);
	return strncmp(line, name, len) == 0 ? strtoull(line + len, NULL, 10) : before;
}

// Which part of the memory that this process has touched lies in huge pages; 0 when the kernel does
// not say.
static uint64_t huge_percent(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	char line[LINE_MAX_BYTES];
	uint64_t huge_kb = 0;
	uint64_t all_kb = 0;
	while (file && fgets(line, sizeof(line), file)) {
		all_kb = read_kb(line, "Anonymous:", all_kb);
		huge_kb = read_kb(line, "AnonHugePages:", huge_kb);
	}
	if (file)
		fclose(file);
	return all_kb ? huge_kb * 100 / all_kb : 0;
}

static void run_generator(struct load *load, const struct work *work, struct meter *meter)
{
	char name[NAME_MAX_BYTES];
	for (uint32_t i = 0; i < work->n_batches; i++) {
		meter_start(meter);
		load_run_generator(load, work->kind, work->first, work->n_batch);
		meter_stop(meter);
	}
	snprintf(name, sizeof(name), "%s generator", work->name);
	meter_dump(name);
}

static void measure_round(struct load *load, const struct work *work, struct result *result,
			  uint32_t round)
{
	struct meter generator = {0};
	struct meter meter = {0};
	run_generator(load, work, &generator);
	for (uint32_t i = 0; i < work->n_batches; i++) {
		meter_start(&meter);
		load_run(load, work->kind, work->first, work->n_batch);
		meter_stop(&meter);
		if (work->kind == LOAD_OPEN)
			load_end_flows(load, work->first, work->n_batch);
	}
	meter_dump(work->name);
	result->generator_ns[round] = generator.ns;
	result->ns[round] = meter.ns;
	result->faults[round] = meter.faults;
	result->huge_percent[round] = huge_percent();
}

static void measure_row(struct load *load, const struct row *row, const struct options *options)
{
	struct work work = {row->name, row->kind, 0, options->n_packets, 1};
	struct result result;
	for (uint32_t i = 0; i < options->n_rounds; i++)
		measure_round(load, &work, &result, i);
	print_result(row->name, load->params.n_flows, options->n_packets, &result,
		     options->n_rounds);
}

// Every entry has been used, and those that are free are so in no order. Half of the flows stay;
// rounds make others and end them again, batch by batch.
static void measure_new(const struct table *table, const struct row *row, uint32_t n_flows,
			const struct options *options)
{
	struct load_params params = {table->proto, table->is_dsr, n_flows};
	struct load load;
	struct result result;
	uint32_t n_stay = n_flows / 2;
	uint32_t n = least(n_flows / HALF_OPEN_PART, options->n_packets);
	struct work work = {row->name, LOAD_OPEN, n_stay, n, options->n_packets / n};
	load_open(&load, &params);
	load_make_flows(&load, 0, n_flows);
	load_end_flows(&load, n_stay, n_flows - n_stay);
	for (uint32_t i = 0; i < options->n_rounds; i++)
		measure_round(&load, &work, &result, i);
	print_result(row->name, n_flows, n * work.n_batches, &result, options->n_rounds);
	load_close(&load);
}

// The first flows of a table, which is another one each round.
static void measure_fresh(const struct table *table, const struct row *row, uint32_t n_flows,
			  const struct options *options)
{
	struct load_params params = {table->proto, table->is_dsr, n_flows};
	struct load load;
	struct result result;
	uint32_t n = least(n_flows / HALF_OPEN_PART, options->n_packets);
	struct work work = {row->name, LOAD_OPEN, 0, n, 1};
	for (uint32_t i = 0; i < options->n_rounds; i++) {
		load_open(&load, &params);
		load_run_generator(&load, LOAD_OPEN, 0, PACKET_BURST); // buffers are not fresh
		measure_round(&load, &work, &result, i);
		load_close(&load);
	}
	print_result(row->name, n_flows, n, &result, options->n_rounds);
}

// Flows are reset, and forgotten when that was long enough ago.
static void measure_end(const struct table *table, const struct row *row, uint32_t n_flows,
			const struct options *options)
{
	struct load_params params = {table->proto, table->is_dsr, n_flows};
	struct load load;
	struct result resets;
	struct result expiries = {0};
	uint32_t n = least(n_flows / options->n_rounds, options->n_packets);
	load_open(&load, &params);
	load_make_flows(&load, 0, n_flows);
	for (uint32_t i = 0; i < options->n_rounds; i++) {
		struct work work = {row->name, LOAD_RESET, i * n, n, 1};
		struct meter meter = {0};
		measure_round(&load, &work, &resets, i);
		load_let_time_pass(&load);
		meter_start(&meter);
		load_expire(&load, n);
		meter_stop(&meter);
		meter_dump(expiry);
		expiries.ns[i] = meter.ns;
		expiries.faults[i] = meter.faults;
		expiries.huge_percent[i] = huge_percent();
	}
	if (is_wanted(options, row->name))
		print_result(row->name, n_flows, n, &resets, options->n_rounds);
	if (is_wanted(options, expiry))
		print_result(expiry, n_flows, n, &expiries, options->n_rounds);
	load_close(&load);
}

// Do the flows stay as they are?
static bool is_steady(const struct row *row)
{
	return row->kind != LOAD_OPEN && row->kind != LOAD_RESET;
}

static bool has_wanted(const struct table *table, const struct options *options)
{
	for (const struct row *row = table->rows; row->name; row++) {
		if (is_steady(row) && is_wanted(options, row->name))
			return true;
	}
	return false;
}

static void measure_open_flows(const struct table *table, uint32_t n_flows,
			       const struct options *options)
{
	struct load_params params = {table->proto, table->is_dsr, n_flows};
	struct load load;
	if (!has_wanted(table, options))
		return;
	load_open(&load, &params);
	load_make_flows(&load, 0, n_flows);
	for (const struct row *row = table->rows; row->name; row++) {
		if (is_steady(row) && is_wanted(options, row->name))
			measure_row(&load, row, options);
	}
	load_close(&load);
}

static void measure_table(const struct table *table, uint32_t n_flows,
			  const struct options *options)
{
	measure_open_flows(table, n_flows, options);
	for (const struct row *row = table->rows; row->name; row++) {
		if (row->kind == LOAD_OPEN && is_wanted(options, row->name))
			(row->is_fresh ? measure_fresh : measure_new)(table, row, n_flows, options);
		if (row->kind == LOAD_RESET &&
		    (is_wanted(options, row->name) || is_wanted(options, expiry)))
			measure_end(table, row, n_flows, options);
	}
}

static void measure_parts(const struct options *options)
{
	static const uint32_t sizes[] = {10, 100, 1000};
	struct result result = {0};
	char name[NAME_MAX_BYTES];
	for (uint32_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
		snprintf(name, sizeof(name), "maglev-%u", sizes[k]);
		if (!is_wanted(options, name))
			continue;
		for (uint32_t i = 0; i < options->n_rounds; i++)
			result.ns[i] = bench_maglev(sizes[k], name);
		print_result(name, 0, 1, &result, options->n_rounds);
	}
	if (!is_wanted(options, "ring"))
		return;
	for (uint32_t i = 0; i < options->n_rounds; i++)
		result.ns[i] = bench_ring(options->n_packets);
	print_result("ring", 0, options->n_packets, &result, options->n_rounds);
}

// ---- the command line --------------------------------------------------------------------------

static void usage(FILE *out)
{
	fputs("Usage: packet_path [--flows N,N,...] [--packets N] [--rounds N] [--row NAME]\n"
	      "Nanoseconds per packet of the packet path, as one JSON object per row. Defaults: "
	      "1000,\n"
	      "10000, 100000 and 1000000 flows, 1000000 packets a round, 5 rounds, every row. "
	      "Rows:\n",
	      out);
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		for (const struct row *row = tables[i].rows; row->name; row++)
			fprintf(out, "  %s\n", row->name);
	}
	fprintf(out, "  %s\n", expiry);
	fputs("  maglev-10\n  maglev-100\n  maglev-1000\n  ring\n", out);
}

static bool parse_flows(char *text, struct options *options)
{
	char *rest = NULL;
	options->n_flows = 0;
	for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
		uint64_t number;
		if (options->n_flows == MAX_FLOW_COUNTS ||
		    !parse_number(part, MIN_FLOWS, MAX_FLOWS, &number))
			return false;
		options->flows[options->n_flows++] = (uint32_t)number;
	}
	return options->n_flows > 0;
}

static bool parse_u32(const char *text, uint64_t max, uint32_t *number)
{
	uint64_t value;
	if (!parse_number(text, 1, max, &value))
		return false;
	*number = (uint32_t)value;
	return true;
}

static bool parse_option(int c, char *value, struct options *options)
{
	switch (c) {
	case 'f':
		return parse_flows(value, options);
	case 'p':
		return parse_u32(value, UINT32_MAX, &options->n_packets);
	case 'r':
		return parse_u32(value, MAX_ROUNDS, &options->n_rounds);
	case 'o':
		options->only = value;
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"flows", required_argument, NULL, 'f'},
					      {"packets", required_argument, NULL, 'p'},
					      {"rounds", required_argument, NULL, 'r'},
					      {"row", required_argument, NULL, 'o'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	struct options options = {.flows = {1000, 10000, 100000, 1000000},
				  .n_flows = 4,
				  .n_packets = 1000000,
				  .n_rounds = 5};
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (!parse_option(c, optarg, &options)) {
			usage(stderr);
			return 2;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return 2;
	}
	for (uint32_t i = 0; i < options.n_flows; i++) {
		for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++)
			measure_table(&tables[t], options.flows[i], &options);
	}
	measure_parts(&options);
	return 0;
}
