// SPDX-License-Identifier: Apache-2.0
// `culvertctl explain`: who would answer a client, and how that comes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/facts.h"
#include "ctl/field.h"
#include "ctl/table.h"
#include "ctl/usage.h"
#include "culvert/net/addr.h"

enum { UDP, PATH_MAX_BYTES = 512 };

static void add_text(struct table *facts, const char *label, const json_t *answer, const char *path)
{
	const char *text = field_text(answer, path);
	if (text)
		facts_add(facts, label, PAINT_NONE, "%s", text);
}

static void add_hop(struct table *facts, const json_t *answer)
{
	const json_t *hop = field_at(answer, "hop");
	const char *state = field_text_or(hop, "state", "?");
	const char *mac = field_text(hop, "mac");
	const char *interface = field_text(hop, "interface");
	const char *source = field_text(hop, "source");
	if (hop)
		facts_add(facts, "Next hop", paint_of_word(state), "%s%s%s%s%s%s%s", state,
			  mac ? ", " : "", mac ? mac : "", interface ? " on " : "",
			  interface ? interface : "", source ? ", from " : "",
			  source ? source : "");
}

static void add_flow(struct table *facts, const json_t *answer)
{
	const json_t *flow = field_at(answer, "flow");
	const char *state = field_text(flow, "state");
	const char *backend = field_text(flow, "backend");
	if (flow)
		facts_add(facts, "Flow", PAINT_NONE, "there is one%s%s%s%s", state ? ", " : "",
			  state ? state : "", backend ? ", to " : "", backend ? backend : "");
	else if (field_text(answer, "frontend"))
		facts_add(facts, "Flow", PAINT_DIM, "none");
}

// Schedulers that go by turns or loads decide when the connection comes.
static size_t count_candidates(const json_t *answer)
{
	return json_array_size(field_list(answer, "candidates"));
}

static void add_server(struct table *facts, const json_t *answer)
{
	const char *backend = field_text(answer, "backend");
	size_t n = count_candidates(answer);
	size_t i;
	json_t *candidate;
	if (backend || n == 0) {
		facts_add(facts, "Server", backend ? PAINT_BOLD : PAINT_BAD, "%s",
			  backend ? backend : "none");
		return;
	}
	facts_add(facts, "Server", PAINT_BOLD, "one of %zu, decided when the connection comes", n);
	json_array_foreach(field_list(answer, "candidates"), i, candidate)
		facts_add(facts, i == 0 ? "Candidates" : "", PAINT_NONE, "%s",
			  json_is_string(candidate) ? json_string_value(candidate) : "?");
}

static void add_skipped(struct table *facts, const json_t *answer)
{
	size_t i;
	json_t *skipped;
	json_array_foreach(field_list(answer, "skipped"), i, skipped)
		facts_add(facts, i == 0 ? "Skipped" : "", PAINT_WARN, "%s: %s",
			  field_text_or(skipped, "backend", "?"),
			  field_text_or(skipped, "reason", "?"));
}

static void add_scheduler(struct table *facts, const json_t *answer)
{
	const char *scheduler = field_text(answer, "scheduler");
	const char *hash = field_text(answer, "hash");
	double slot;
	if (!scheduler)
		return;
	if (hash && field_number(answer, "slot", &slot))
		facts_add(facts, "Scheduler", PAINT_NONE, "%s, hash %s, slot %.0f", scheduler, hash,
			  slot);
	else
		facts_add(facts, "Scheduler", PAINT_NONE, "%s", scheduler);
}

static void print_steps(const json_t *answer)
{
	size_t i;
	json_t *step;
	json_array_foreach(field_list(answer, "steps"), i, step)
	{
		char *clean = json_is_string(step) ? paint_clean(json_string_value(step)) : NULL;
		if (clean)
			printf("%s%2zu. %s\n", i == 0 ? "\n" : "", i + 1, clean);
		free(clean);
	}
}

// The answer first, then what it follows from.
static int show(const struct ctl *ctl, const json_t *answer)
{
	struct table *facts = facts_create();
	if (!facts)
		return CTL_NO;
	add_server(facts, answer);
	add_text(facts, "Verdict", answer, "verdict");
	add_text(facts, "Frontend", answer, "frontend");
	add_text(facts, "Pool", answer, "pool");
	add_flow(facts, answer);
	add_scheduler(facts, answer);
	add_skipped(facts, answer);
	add_hop(facts, answer);
	bool is_good = table_print(facts, stdout, ctl->has_color);
	table_destroy(facts);
	print_steps(answer);
	return is_good ? CTL_OK : CTL_NO;
}

// Whatever else the packet meets: a drop, or the kernel.
static bool is_answered(const json_t *answer)
{
	const char *verdict = field_text(answer, "verdict");
	return verdict && (strcmp(verdict, "forwarded") == 0 || strcmp(verdict, "relayed") == 0);
}

static int ask(const struct ctl *ctl, const char *path)
{
	json_t *answer = NULL;
	int code = ask_get(ctl, path, &answer);
	if (code != CTL_OK)
		return code;
	code = ctl->is_json ? ask_print_json(answer) : show(ctl, answer);
	if (!is_answered(answer))
		code = CTL_NO;
	json_decref(answer);
	return code;
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	char path[PATH_MAX_BYTES] = "/api/v1/explain?client=";
	struct endpoint endpoint;
	for (size_t i = 0; i < args->n_arguments; i++) {
		if (!endpoint_parse(args->arguments[i], &endpoint))
			return usage_error(&explain_command,
					   "\"%s\" is no address with a port, as 192.0.2.1:4242 or "
					   "[2001:db8::1]:4242",
					   args->arguments[i]);
	}
	client_escape(path, sizeof(path), args->arguments[0]);
	size_t length = strlen(path);
	snprintf(path + length, sizeof(path) - length, "&vip=");
	client_escape(path, sizeof(path), args->arguments[1]);
	length = strlen(path);
	snprintf(path + length, sizeof(path) - length, "&protocol=%s",
		 args->values[UDP] ? "udp" : "tcp");
	return ask(ctl, path);
}

static const struct command_option options[] = {
	[UDP] = {"udp", NULL, "a datagram instead of a TCP connection"},
};

const struct command explain_command = {
	.name = "explain",
	.arguments = "CLIENT:PORT VIP:PORT",
	.min_arguments = 2,
	.max_arguments = 2,
	.summary = "which server a client gets, and why",
	.help = "Which server a packet of this client would go to, and how that is decided: "
		"frontend, flow\n"
		"entry, hash and slot, servers that are skipped and why, the next hop. Nothing is "
		"sent.\n"
		"The exit code is 1 when none would get it: it would be dropped, or be the "
		"kernel's.",
	.options = options,
	.n_options = sizeof(options) / sizeof(*options),
	.run = run,
};
