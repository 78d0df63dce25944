// SPDX-License-Identifier: Apache-2.0
#include "golden_run.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../support/lib/cables.h"
#include "../../support/lib/notation.h"
#include "culvert/base/clock.h"

enum { FORWARDED_TTL = 63, SENT_TTL = 64, ABSURD_SECONDS = 20 };

void golden_run_complain(struct golden_run *run, const char *what)
{
	run->has_failed = true;
	cr_expect_fail("%s:%u: case %s: %s", run->table->path, run->line, run->test->name, what);
}

// ---- frames ------------------------------------------------------------------------------------

uint32_t golden_run_build(struct golden_run *run, const char *text, uint8_t *frame,
			  struct virtio_net_hdr *vnet, uint32_t *link)
{
	char why[200];
	struct notation notation;
	struct notation_source source = {
		.default_ttl = SENT_TTL,
		.link_macs = run->scene.link_macs,
	};
	if (notation_parse(text, &run->names, &source, &notation, why, sizeof(why))) {
		golden_run_complain(run, why);
		return 0;
	}
	*link = notation.link;
	uint32_t len = frame_build(&notation.spec, frame, vnet);
	struct frame_note note = {false, run->table->path, run->line, run->test->name, text};
	frame_log_add(run->log, &note, frame, len, vnet);
	return len;
}

static void log_frame(const struct golden_run *run, const char *text,
		      const struct mem_frame *output)
{
	struct frame_note note = {true, run->table->path, run->line, run->test->name, text};
	frame_log_add(run->log, &note, output->bytes, output->len, &output->vnet);
}

// NULL when `actual` is what the line says; names seen for the first time stay bound then.
static const char *mismatch(struct golden_run *run, const char *text,
			    const struct mem_frame *actual, char *why, size_t why_size)
{
	static uint8_t expected[FRAME_MAX];
	struct names names = run->names;
	struct virtio_net_hdr vnet;
	struct notation notation;
	struct notation_source source = {
		.frame = actual->bytes,
		.len = actual->len,
		.default_ttl = FORWARDED_TTL,
		.link_macs = run->scene.link_macs,
		.is_output = true,
		.is_id_free = run->scene.config->mode != MODE_DSR,
	};
	if (notation_parse(text, &names, &source, &notation, why, why_size))
		return why;
	if (notation.link != actual->link)
		return "went out on the other link";
	uint32_t len = frame_build(&notation.spec, expected, &vnet);
	if (run->way->completes_sums)
		cables_complete(expected, len, &vnet);
	if (frame_difference(expected, len, actual->bytes, actual->len, why, why_size))
		return why;
	if (memcmp(&vnet, &actual->vnet, sizeof(vnet)) != 0)
		return "checksum or segmentation state differs";
	run->names = names;
	log_frame(run, text, actual);
	return NULL;
}

// ---- steps -------------------------------------------------------------------------------------

void golden_run_end_step(struct golden_run *run)
{
	if (run->n_outputs)
		golden_run_complain(run, "the step before sent more than the table says");
	if (!run->has_verdict)
		golden_run_complain(run, "the step before has no verdict in the table");
	for (size_t i = 0; i < run->n_outputs; i++)
		free(run->outputs[i]);
	run->n_outputs = 0;
	run->has_verdict = true;
}

static void step_in(struct golden_run *run, const char *text)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	uint32_t link;
	uint32_t len = golden_run_build(run, text, frame, &vnet, &link);
	run->has_verdict = false;
	run->way->bring(run, link, frame, len, &vnet);
}

static void step_verdict(struct golden_run *run, const char *text)
{
	char why[100];
	run->has_verdict = true;
	if (strcmp(verdict_name(run->verdict), text) == 0)
		return;
	snprintf(why, sizeof(why), "verdict: expected %s, got %s", text,
		 verdict_name(run->verdict));
	golden_run_complain(run, why);
}

// The next to be compared with the line.
static size_t first_on_link(const struct golden_run *run, const char *text)
{
	uint32_t link = golden_after(text, "front") ? SCENE_FRONT : SCENE_BACK;
	for (size_t i = 0; run->way->is_by_link && i < run->n_outputs; i++) {
		if (run->outputs[i]->link == link)
			return i;
	}
	return 0;
}

static void step_out(struct golden_run *run, const char *text)
{
	char why[300];
	if (strcmp(text, "none") == 0)
		return; // golden_run_end_step() looks
	if (run->n_outputs == 0) {
		golden_run_complain(run, "nothing was sent");
		return;
	}
	size_t next = first_on_link(run, text);
	const char *what = mismatch(run, text, run->outputs[next], why, sizeof(why));
	if (what)
		golden_run_complain(run, what);
	free(run->outputs[next]);
	run->n_outputs--;
	for (size_t i = next; i < run->n_outputs; i++)
		run->outputs[i] = run->outputs[i + 1];
}

void golden_run_match(struct golden_run *run, const char *text)
{
	char why[300];
	for (size_t i = 0; i < run->n_outputs; i++) {
		if (mismatch(run, text, run->outputs[i], why, sizeof(why)))
			continue;
		free(run->outputs[i]);
		run->outputs[i] = run->outputs[--run->n_outputs];
		return;
	}
	golden_run_complain(run, "no such packet was sent");
}

static void step_set_up(struct golden_run *run, const char *backend, bool is_up, unsigned n_sent)
{
	uint32_t id = 0;
	if (!names_find_number(&run->names, backend, &id))
		golden_run_complain(run, "no such backend");
	registry_set_up(run->scene.registry, id, is_up);
	run->way->publish(run, n_sent);
}

// Down, with the number of clients that get a reset: "down b1 resets 2".
static void step_down(struct golden_run *run, const char *text)
{
	char backend[NAME_MAX_LEN] = "";
	unsigned n_resets = 0;
	(void)sscanf(text, "%23s resets %u", backend, &n_resets); // NOLINT(cert-err34-c)
	step_set_up(run, backend, false, n_resets);
}

static void step_hop(struct golden_run *run, const char *text)
{
	char backend[NAME_MAX_LEN] = "";
	char state[NAME_MAX_LEN] = "";
	uint32_t id = 0;
	(void)sscanf(text, "%23s %23s", backend, state);
	if (!names_find_number(&run->names, backend, &id))
		golden_run_complain(run, "no such backend");
	const struct snapshot_backend *known = registry_backend(run->scene.registry, id);
	struct snapshot_hop hop = known->hop;
	hop.state = strcmp(state, "no-route") == 0     ? HOP_NO_ROUTE
		    : strcmp(state, "unresolved") == 0 ? HOP_UNRESOLVED
						       : HOP_READY;
	registry_set_hop(run->scene.registry, id, &hop, known->snat_mask);
	rig_publish(&run->rig);
}

// All the names have values, and no two the same.
static void step_distinct(struct golden_run *run, const char *text)
{
	char copy[200];
	struct {
		uint32_t number;
		struct ip_addr host;
	} values[32] = {0};
	unsigned n = 0;
	char *place = NULL;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *name = strtok_r(copy, " ", &place); name; name = strtok_r(NULL, " ", &place)) {
		if (!names_find_number(&run->names, name, &values[n].number) &&
		    !names_find_host(&run->names, name, &values[n].host))
			golden_run_complain(run, "a name without a value");
		for (unsigned i = 0; i < n; i++) {
			if (memcmp(&values[i], &values[n], sizeof(values[n])) == 0)
				golden_run_complain(run, "two names have one value");
		}
		n++;
	}
}

static uint64_t count_flows(const struct golden_run *run)
{
	struct packet_stats stats;
	cr_assert_eq(engine_stats(run->rig.engine, &stats), 0);
	uint64_t n = stats.flows;
	packet_stats_fini(&stats);
	return n;
}

static uint64_t count_held(const struct golden_run *run)
{
	struct packet_stats stats;
	cr_assert_eq(engine_stats(run->rig.engine, &stats), 0);
	uint64_t n = stats.held;
	packet_stats_fini(&stats);
	return n;
}

// Timers that a step has set off may still be at work in another thread.
static void await_count(struct golden_run *run, uint64_t (*count)(const struct golden_run *run),
			const char *text, const char *complaint)
{
	uint64_t expected = strtoull(text, NULL, 10);
	uint64_t deadline = clock_now_ns() + ABSURD_SECONDS * NS_PER_SEC;
	while (count(run) != expected && clock_now_ns() < deadline)
		sched_yield();
	if (count(run) != expected)
		golden_run_complain(run, complaint);
}

static void step_opens(struct golden_run *run, const char *text)
{
	char backend[NAME_MAX_LEN] = "";
	unsigned long answered = ~0UL;
	unsigned long refused = ~0UL;
	uint32_t id = 0;
	struct opens opens;
	// NOLINTNEXTLINE(cert-err34-c)
	(void)sscanf(text, "%23s answered %lu refused %lu", backend, &answered, &refused);
	if (!names_find_number(&run->names, backend, &id))
		golden_run_complain(run, "no such backend");
	engine_opens(run->rig.engine, id, &opens);
	if (opens.answered != answered || opens.refused != refused)
		golden_run_complain(run, "other numbers of connections were answered and refused");
}

static void step_driver(struct golden_run *run, const char *text)
{
	enum verdict refusal = strcmp(text, "full") == 0     ? VERDICT_DROP_TX_FULL
			       : strcmp(text, "broken") == 0 ? VERDICT_DROP_TX_ERROR
							     : VERDICT_NONE;
	run->way->refuse(run, refusal);
}

static void run_step(struct golden_run *run, const char *line)
{
	const char *rest;
	if ((rest = golden_after(line, "verdict"))) {
		step_verdict(run, rest);
		return;
	}
	if ((rest = golden_after(line, "out"))) {
		step_out(run, rest);
		return;
	}
	if ((rest = golden_after(line, "any out"))) {
		golden_run_match(run, rest);
		return;
	}
	golden_run_end_step(run);
	if ((rest = golden_after(line, "in")))
		step_in(run, rest);
	else if ((rest = golden_after(line, "down")))
		step_down(run, rest);
	else if ((rest = golden_after(line, "up")))
		step_set_up(run, rest, true, 0);
	else if ((rest = golden_after(line, "hop")))
		step_hop(run, rest);
	else if ((rest = golden_after(line, "advance")))
		rig_move_clock(&run->rig, strtoull(rest, NULL, 10));
	else if ((rest = golden_after(line, "distinct")))
		step_distinct(run, rest);
	else if ((rest = golden_after(line, "flows")))
		await_count(run, count_flows, rest, "the number of flows is another");
	else if ((rest = golden_after(line, "held")))
		await_count(run, count_held, rest, "the number of fragments that wait is another");
	else if ((rest = golden_after(line, "opens")))
		step_opens(run, rest);
	else if ((rest = golden_after(line, "driver")))
		step_driver(run, rest);
	else
		golden_run_complain(run, "unknown step");
}

bool golden_run_open(struct golden_run *run, int workers)
{
	unsigned wrong = golden_set_scene(run->table, &run->scene, &run->names);
	cr_assert_eq(wrong, 0, "%s:%u: unknown setup", run->table->path, wrong);
	struct config_passthrough *passthrough = &run->scene.config->passthrough;
	bool is_for_fewer = passthrough->workers && workers > passthrough->workers;
	passthrough->workers = workers;
	if (passthrough->nat_port_max - passthrough->nat_port_min + 1 >= workers && !is_for_fewer)
		return true;
	scene_fini(&run->scene);
	return false;
}

void golden_run_steps(struct golden_run *run)
{
	run->has_verdict = true;
	run->way->start(run);
	for (size_t i = 0; i < run->test->n_steps && !run->has_failed && !run->is_left_out; i++) {
		run->line = run->test->steps[i].number;
		run_step(run, run->test->steps[i].text);
	}
	if (!run->has_failed && !run->is_left_out)
		golden_run_end_step(run);
	for (size_t i = 0; i < run->n_outputs; i++)
		free(run->outputs[i]);
	const char *wrong = rig_stop(&run->rig);
	if (wrong)
		golden_run_complain(run, wrong);
}

// ---- the driver in memory ----------------------------------------------------------------------

static void memory_start(struct golden_run *run)
{
	rig_start(&run->rig, &run->scene);
}

static void memory_take(struct golden_run *run)
{
	struct mem_frame *frame;
	while (run->n_outputs < GOLDEN_RUN_OUTPUTS && (frame = mem_io_take(run->rig.io)))
		run->outputs[run->n_outputs++] = frame;
}

static void memory_bring(struct golden_run *run, uint32_t link, const uint8_t *frame, uint32_t len,
			 const struct virtio_net_hdr *vnet)
{
	struct packet_stats before;
	cr_assert_eq(engine_stats(run->rig.engine, &before), 0);
	rig_push(&run->rig, link, frame, len, vnet);
	run->verdict = rig_verdict_since(&run->rig, &before);
	packet_stats_fini(&before);
	memory_take(run);
}

static void memory_publish(struct golden_run *run, unsigned n_sent)
{
	uint64_t n_before = mem_io_n_sent(run->rig.io);
	rig_publish(&run->rig);
	if (!mem_io_await_sent(run->rig.io, n_before + n_sent))
		golden_run_complain(run, "not as many resets were sent");
	memory_take(run);
}

static void memory_refuse(struct golden_run *run, enum verdict verdict)
{
	mem_io_refuse(run->rig.io, verdict);
}

void golden_run_case(const struct golden_table *table, const struct golden_case *test, int workers,
		     struct frame_log *log)
{
	static const struct golden_way by_memory = {
		.start = memory_start,
		.bring = memory_bring,
		.publish = memory_publish,
		.refuse = memory_refuse,
	};
	struct golden_run run = {.way = &by_memory, .table = table, .test = test, .log = log};
	if (!golden_run_open(&run, workers))
		return;
	golden_run_steps(&run);
	scene_fini(&run.scene);
}
