// SPDX-License-Identifier: Apache-2.0
// Runs the packet tables of tests/golden through the whole packet path: step by step with every
// layout of threads, and, those cases that need no answer from a run, from capture files.
#include <criterion/criterion.h>
#include <glob.h>
#include <pcap/pcap.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../support/lib/frame_log.h"
#include "../support/lib/golden.h"
#include "../support/lib/notation.h"
#include "../support/lib/rig.h"
#include "culvert/base/clock.h"

enum { MAX_OUTPUTS = 512, FORWARDED_TTL = 63, SENT_TTL = 64, ABSURD_SECONDS = 20 };

// A case on its way.
struct run {
	const struct golden_table *table;
	const struct golden_case *test;
	struct scene scene;
	struct names names;
	struct rig rig;
	struct mem_frame *outputs[MAX_OUTPUTS]; // of the last step, not matched yet
	size_t n_outputs;
	enum verdict verdict; // of the last frame
	bool has_failed;
	bool has_verdict; // the last frame's was checked
	unsigned line;
};

static struct frame_log *frame_log; // NULL: nobody wants to see the frames

static void log_frame(const struct run *run, const char *text, const struct mem_frame *output)
{
	struct frame_note note = {true, run->table->path, run->line, run->test->name, text};
	frame_log_add(frame_log, &note, output->bytes, output->len, &output->vnet);
}

static void complain(struct run *run, const char *what)
{
	run->has_failed = true;
	cr_expect_fail("%s:%u: case %s: %s", run->table->path, run->line, run->test->name, what);
}

// ---- frames ------------------------------------------------------------------------------------

static uint32_t build_input(struct run *run, const char *text, uint8_t *frame,
			    struct virtio_net_hdr *vnet, uint32_t *link)
{
	char why[200];
	struct notation notation;
	struct notation_source source = {
		.default_ttl = SENT_TTL,
		.link_macs = run->scene.link_macs,
	};
	if (notation_parse(text, &run->names, &source, &notation, why, sizeof(why))) {
		complain(run, why);
		return 0;
	}
	*link = notation.link;
	uint32_t len = frame_build(&notation.spec, frame, vnet);
	struct frame_note note = {false, run->table->path, run->line, run->test->name, text};
	frame_log_add(frame_log, &note, frame, len, vnet);
	return len;
}

// NULL when `actual` is what the line says; names seen for the first time stay bound then.
static const char *mismatch(struct run *run, const char *text, const struct mem_frame *actual,
			    char *why, size_t why_size)
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
	if (frame_difference(expected, len, actual->bytes, actual->len, why, why_size))
		return why;
	if (memcmp(&vnet, &actual->vnet, sizeof(vnet)) != 0)
		return "checksum or segmentation state differs";
	run->names = names;
	log_frame(run, text, actual);
	return NULL;
}

// ---- steps -------------------------------------------------------------------------------------

static void take_outputs(struct run *run)
{
	struct mem_frame *frame;
	while (run->n_outputs < MAX_OUTPUTS && (frame = mem_io_take(run->rig.io)))
		run->outputs[run->n_outputs++] = frame;
}

// Before the next step: nothing may be left over from the one before.
static void end_step(struct run *run)
{
	if (run->n_outputs)
		complain(run, "the step before sent more than the table says");
	if (!run->has_verdict)
		complain(run, "the step before has no verdict in the table");
	for (size_t i = 0; i < run->n_outputs; i++)
		free(run->outputs[i]);
	run->n_outputs = 0;
	run->has_verdict = true;
}

static void step_in(struct run *run, const char *text)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct packet_stats before;
	uint32_t link;
	uint32_t len = build_input(run, text, frame, &vnet, &link);
	cr_assert_eq(engine_stats(run->rig.engine, &before), 0);
	rig_push(&run->rig, link, frame, len, &vnet);
	run->verdict = rig_verdict_since(&run->rig, &before);
	run->has_verdict = false;
	packet_stats_fini(&before);
	take_outputs(run);
}

static void step_verdict(struct run *run, const char *text)
{
	char why[100];
	run->has_verdict = true;
	if (strcmp(verdict_name(run->verdict), text) == 0)
		return;
	snprintf(why, sizeof(why), "verdict: expected %s, got %s", text,
		 verdict_name(run->verdict));
	complain(run, why);
}

static void step_out(struct run *run, const char *text)
{
	char why[300];
	if (strcmp(text, "none") == 0)
		return; // end_step() looks
	if (run->n_outputs == 0) {
		complain(run, "nothing was sent");
		return;
	}
	const char *what = mismatch(run, text, run->outputs[0], why, sizeof(why));
	if (what)
		complain(run, what);
	free(run->outputs[0]);
	run->n_outputs--;
	for (size_t i = 0; i < run->n_outputs; i++)
		run->outputs[i] = run->outputs[i + 1];
}

// As step_out(), for packets that come in no certain order: "any out".
static void step_any_out(struct run *run, const char *text)
{
	char why[300];
	for (size_t i = 0; i < run->n_outputs; i++) {
		if (mismatch(run, text, run->outputs[i], why, sizeof(why)))
			continue;
		free(run->outputs[i]);
		run->outputs[i] = run->outputs[--run->n_outputs];
		return;
	}
	complain(run, "no such packet was sent");
}

static void step_set_up(struct run *run, const char *backend, bool is_up)
{
	uint32_t id = 0;
	if (!names_find_number(&run->names, backend, &id))
		complain(run, "no such backend");
	registry_set_up(run->scene.registry, id, is_up);
	rig_publish(&run->rig);
}

// Down, with the number of clients that get a reset: "down b1 resets 2".
static void step_down(struct run *run, const char *text)
{
	char backend[NAME_MAX_LEN] = "";
	unsigned n_resets = 0;
	uint64_t n_sent = mem_io_n_sent(run->rig.io);
	(void)sscanf(text, "%23s resets %u", backend, &n_resets); // NOLINT(cert-err34-c)
	step_set_up(run, backend, false);
	if (!mem_io_await_sent(run->rig.io, n_sent + n_resets))
		complain(run, "not as many resets were sent");
	take_outputs(run);
}

static void step_hop(struct run *run, const char *text)
{
	char backend[NAME_MAX_LEN] = "";
	char state[NAME_MAX_LEN] = "";
	uint32_t id = 0;
	(void)sscanf(text, "%23s %23s", backend, state);
	if (!names_find_number(&run->names, backend, &id))
		complain(run, "no such backend");
	const struct snapshot_backend *known = registry_backend(run->scene.registry, id);
	struct snapshot_hop hop = known->hop;
	hop.state = strcmp(state, "no-route") == 0     ? HOP_NO_ROUTE
		    : strcmp(state, "unresolved") == 0 ? HOP_UNRESOLVED
						       : HOP_READY;
	registry_set_hop(run->scene.registry, id, &hop, known->snat_mask);
	rig_publish(&run->rig);
}

// All the names have values, and no two the same.
static void step_distinct(struct run *run, const char *text)
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
			complain(run, "a name without a value");
		for (unsigned i = 0; i < n; i++) {
			if (memcmp(&values[i], &values[n], sizeof(values[n])) == 0)
				complain(run, "two names have one value");
		}
		n++;
	}
}

static uint64_t count_flows(const struct run *run)
{
	struct packet_stats stats;
	cr_assert_eq(engine_stats(run->rig.engine, &stats), 0);
	uint64_t n = stats.flows;
	packet_stats_fini(&stats);
	return n;
}

static uint64_t count_held(const struct run *run)
{
	struct packet_stats stats;
	cr_assert_eq(engine_stats(run->rig.engine, &stats), 0);
	uint64_t n = stats.held;
	packet_stats_fini(&stats);
	return n;
}

// Timers that a step has set off may still be at work in another thread.
static void await_count(struct run *run, uint64_t (*count)(const struct run *run), const char *text,
			const char *complaint)
{
	uint64_t expected = strtoull(text, NULL, 10);
	uint64_t deadline = clock_now_ns() + ABSURD_SECONDS * NS_PER_SEC;
	while (count(run) != expected && clock_now_ns() < deadline)
		sched_yield();
	if (count(run) != expected)
		complain(run, complaint);
}

static void step_opens(struct run *run, const char *text)
{
	char backend[NAME_MAX_LEN] = "";
	unsigned long answered = ~0UL;
	unsigned long refused = ~0UL;
	uint32_t id = 0;
	struct opens opens;
	// NOLINTNEXTLINE(cert-err34-c)
	(void)sscanf(text, "%23s answered %lu refused %lu", backend, &answered, &refused);
	if (!names_find_number(&run->names, backend, &id))
		complain(run, "no such backend");
	engine_opens(run->rig.engine, id, &opens);
	if (opens.answered != answered || opens.refused != refused)
		complain(run, "other numbers of connections were answered and refused");
}

static void step_driver(struct run *run, const char *text)
{
	enum verdict refusal = strcmp(text, "full") == 0     ? VERDICT_DROP_TX_FULL
			       : strcmp(text, "broken") == 0 ? VERDICT_DROP_TX_ERROR
							     : VERDICT_NONE;
	mem_io_refuse(run->rig.io, refusal);
}

static void run_step(struct run *run, const char *line)
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
		step_any_out(run, rest);
		return;
	}
	end_step(run);
	if ((rest = golden_after(line, "in")))
		step_in(run, rest);
	else if ((rest = golden_after(line, "down")))
		step_down(run, rest);
	else if ((rest = golden_after(line, "up")))
		step_set_up(run, rest, true);
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
		complain(run, "unknown step");
}

// False when there are fewer NAT ports than workers, which a configuration must not say, or when
// the table is about fewer workers.
static bool open_scene(struct run *run, int workers)
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

static void run_case(const struct golden_table *table, const struct golden_case *test, int workers)
{
	struct run run = {.table = table, .test = test, .has_verdict = true};
	if (!open_scene(&run, workers))
		return;
	rig_start(&run.rig, &run.scene);
	for (size_t i = 0; i < test->n_steps && !run.has_failed; i++) {
		run.line = test->steps[i].number;
		run_step(&run, test->steps[i].text);
	}
	if (!run.has_failed)
		end_step(&run);
	for (size_t i = 0; i < run.n_outputs; i++)
		free(run.outputs[i]);
	const char *wrong = rig_stop(&run.rig);
	if (wrong)
		complain(&run, wrong);
	scene_fini(&run.scene);
}

// ---- capture files -----------------------------------------------------------------------------

struct files {
	char dir[32];
	char in[SCENE_N_LINKS][64];
	char out[SCENE_N_LINKS][64];
};

static void files_open(struct files *files)
{
	snprintf(files->dir, sizeof(files->dir), "/tmp/culvert-golden-XXXXXX");
	cr_assert_not_null(mkdtemp(files->dir));
	for (unsigned i = 0; i < SCENE_N_LINKS; i++) {
		snprintf(files->in[i], sizeof(files->in[i]), "%s/in%u", files->dir, i);
		snprintf(files->out[i], sizeof(files->out[i]), "%s/out%u", files->dir, i);
	}
}

static void files_close(const struct files *files)
{
	for (unsigned i = 0; i < SCENE_N_LINKS; i++) {
		unlink(files->in[i]);
		unlink(files->out[i]);
	}
	rmdir(files->dir);
}

static void write_record(pcap_dumper_t *file, const uint8_t *frame, uint32_t len,
			 const struct virtio_net_hdr *vnet)
{
	static uint8_t record[sizeof(*vnet) + FRAME_MAX];
	uint32_t whole = (uint32_t)sizeof(*vnet) + len;
	struct pcap_pkthdr header = {.caplen = whole, .len = whole};
	memcpy(record, vnet, sizeof(*vnet));
	memcpy(record + sizeof(*vnet), frame, len);
	pcap_dump((u_char *)file, &header, record);
}

static void write_inputs(struct run *run, const struct files *files)
{
	static uint8_t frame[FRAME_MAX];
	pcap_dumper_t *out[SCENE_N_LINKS];
	pcap_t *dead = pcap_open_dead(DLT_USER0, 262144);
	for (unsigned i = 0; i < SCENE_N_LINKS; i++) {
		out[i] = pcap_dump_open(dead, files->in[i]);
		cr_assert_not_null(out[i]);
	}
	for (size_t i = 0; i < run->test->n_steps; i++) {
		const char *text = golden_after(run->test->steps[i].text, "in");
		struct virtio_net_hdr vnet;
		uint32_t link;
		if (!text)
			continue;
		run->line = run->test->steps[i].number;
		uint32_t len = build_input(run, text, frame, &vnet, &link);
		write_record(out[link], frame, len, &vnet);
	}
	for (unsigned i = 0; i < SCENE_N_LINKS; i++)
		pcap_dump_close(out[i]);
	pcap_close(dead);
}

static void read_outputs(struct run *run, const struct files *files)
{
	char reason[PCAP_ERRBUF_SIZE];
	for (uint32_t link = 0; link < SCENE_N_LINKS; link++) {
		struct pcap_pkthdr *header;
		const u_char *bytes;
		pcap_t *in = pcap_open_offline(files->out[link], reason);
		cr_assert_not_null(in, "%s", reason);
		while (run->n_outputs < MAX_OUTPUTS && pcap_next_ex(in, &header, &bytes) == 1) {
			uint32_t len = header->caplen - (uint32_t)sizeof(struct virtio_net_hdr);
			struct mem_frame *frame = malloc(sizeof(*frame) + len);
			cr_assert_not_null(frame);
			frame->link = link;
			frame->len = len;
			memcpy(&frame->vnet, bytes, sizeof(frame->vnet));
			memcpy(frame->bytes, bytes + sizeof(frame->vnet), len);
			run->outputs[run->n_outputs++] = frame;
		}
		pcap_close(in);
	}
}

// The table's verdicts, counted, are those of the run.
static void compare_verdicts(struct run *run, const struct packet_stats *stats)
{
	uint64_t expected[N_VERDICTS] = {0};
	for (size_t i = 0; i < run->test->n_steps; i++) {
		const char *name = golden_after(run->test->steps[i].text, "verdict");
		for (int v = 0; name && v < N_VERDICTS; v++)
			expected[v] += strcmp(name, verdict_name((enum verdict)v)) == 0;
	}
	for (int v = 0; v < N_VERDICTS; v++) {
		char why[100];
		if (expected[v] == stats->verdicts[v])
			continue;
		snprintf(why, sizeof(why), "%s: expected %llu times, got %llu",
			 verdict_name((enum verdict)v), (unsigned long long)expected[v],
			 (unsigned long long)stats->verdicts[v]);
		complain(run, why);
	}
}

static void replay(struct run *run, const struct files *files)
{
	struct err err = {0};
	struct packet_stats stats;
	struct io_link links[SCENE_N_LINKS] = {
		{.name = files->in[0], .write_to = files->out[0]},
		{.name = files->in[1], .write_to = files->out[1]},
	};
	struct engine_params params = {
		.config = run->scene.config,
		.driver = &io_pcap,
		.links = links,
		.n_links = SCENE_N_LINKS,
		.registry = run->scene.registry,
		.secret = 7,
	};
	struct engine *engine = NULL;
	cr_assert_eq(engine_create(&engine, &params, scene_snapshot(&run->scene), &err), 0, "%s",
		     err.message);
	cr_assert_eq(engine_start(engine, &err), 0, "%s", err.message);
	while (!engine_is_finished(engine))
		sched_yield();
	engine_stop(engine);
	cr_assert_eq(engine_stats(engine, &stats), 0);
	if (rig_check_ledger(&stats))
		complain(run, rig_check_ledger(&stats));
	compare_verdicts(run, &stats);
	packet_stats_fini(&stats);
	engine_destroy(engine);
}

static void replay_case(const struct golden_table *table, const struct golden_case *test,
			int workers)
{
	struct run run = {.table = table, .test = test, .has_verdict = true};
	struct files files;
	if (!open_scene(&run, workers))
		return;
	files_open(&files);
	write_inputs(&run, &files);
	replay(&run, &files);
	read_outputs(&run, &files);
	for (size_t i = 0; i < test->n_steps; i++) {
		const char *text = golden_after(test->steps[i].text, "any out");
		text = text ? text : golden_after(test->steps[i].text, "out");
		run.line = test->steps[i].number;
		if (text && strcmp(text, "none") != 0)
			step_any_out(&run, text);
	}
	end_step(&run);
	files_close(&files);
	scene_fini(&run.scene);
}

// Its packets are known before the run, and nothing happens between them.
static bool is_replayable(const struct golden_case *test)
{
	for (size_t i = 0; i < test->n_steps; i++) {
		const char *line = test->steps[i].text;
		const char *in = golden_after(line, "in");
		if (in && strchr(in, '$'))
			return false;
		// What waits at the end of a file waits in vain.
		if (strcmp(line, "verdict none") == 0)
			return false;
		if (!in && !golden_after(line, "out") && !golden_after(line, "any out") &&
		    !golden_after(line, "verdict") && !golden_after(line, "distinct"))
			return false;
	}
	return true;
}

// ---- tests -------------------------------------------------------------------------------------

typedef void (*run_fn)(const struct golden_table *table, const struct golden_case *test,
		       int workers);

static size_t for_each_case(run_fn run, int workers, bool is_replay)
{
	glob_t found;
	size_t n_cases = 0;
	cr_assert_eq(glob("tests/golden/*.txt", 0, NULL, &found), 0, "run from the repository");
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct golden_table table;
		const char *wrong = golden_read(&table, found.gl_pathv[i]);
		cr_assert_null(wrong, "%s: %s", found.gl_pathv[i], wrong);
		for (size_t c = 0; c < table.n_cases; c++) {
			if (is_replay && !is_replayable(&table.cases[c]))
				continue;
			run(&table, &table.cases[c], workers);
			n_cases++;
		}
		golden_free(&table);
	}
	globfree(&found);
	return n_cases;
}

Test(golden, packets_in_one_thread)
{
	cr_expect_geq(for_each_case(run_case, WORKERS_INLINE, false), 60);
}

Test(golden, packets_with_one_worker)
{
	for_each_case(run_case, 1, false);
}

Test(golden, packets_with_three_workers)
{
	for_each_case(run_case, 3, false);
}

Test(golden, captures_in_one_thread)
{
	cr_expect_geq(for_each_case(replay_case, WORKERS_INLINE, true), 20);
}

Test(golden, captures_with_one_worker)
{
	for_each_case(replay_case, 1, true);
}

Test(golden, captures_with_three_workers)
{
	for_each_case(replay_case, 3, true);
}

// What scapy makes of every frame that comes in and of every one that was sent.
Test(golden, an_independent_parser_finds_the_frames_as_right_and_wrong_as_the_tables_say)
{
	char dir[] = "/tmp/culvert-frames-XXXXXX";
	char command[100];
	cr_assert_not_null(mkdtemp(dir));
	frame_log = frame_log_open(dir);
	for_each_case(run_case, WORKERS_INLINE, false);
	frame_log_close(frame_log);
	frame_log = NULL;
	snprintf(command, sizeof(command), "/usr/bin/python3 tests/golden/check_frames %s", dir);
	cr_expect_eq(system(command), 0); // NOLINT(cert-env33-c)
	snprintf(command, sizeof(command), "rm -r %s", dir);
	cr_expect_eq(system(command), 0); // NOLINT(cert-env33-c)
}
