// SPDX-License-Identifier: Apache-2.0
// A case by capture files: what comes in is written down, the engine reads it, and what it has
// written is compared.
#include <criterion/criterion.h>
#include <pcap/pcap.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "golden_run.h"

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

static void write_inputs(struct golden_run *run, const struct files *files)
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
		uint32_t len = golden_run_build(run, text, frame, &vnet, &link);
		write_record(out[link], frame, len, &vnet);
	}
	for (unsigned i = 0; i < SCENE_N_LINKS; i++)
		pcap_dump_close(out[i]);
	pcap_close(dead);
}

static void read_outputs(struct golden_run *run, const struct files *files)
{
	char reason[PCAP_ERRBUF_SIZE];
	for (uint32_t link = 0; link < SCENE_N_LINKS; link++) {
		struct pcap_pkthdr *header;
		const u_char *bytes;
		pcap_t *in = pcap_open_offline(files->out[link], reason);
		cr_assert_not_null(in, "%s", reason);
		while (run->n_outputs < GOLDEN_RUN_OUTPUTS &&
		       pcap_next_ex(in, &header, &bytes) == 1) {
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
static void compare_verdicts(struct golden_run *run, const struct packet_stats *stats)
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
		golden_run_complain(run, why);
	}
}

static void replay(struct golden_run *run, const struct files *files)
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
		golden_run_complain(run, rig_check_ledger(&stats));
	compare_verdicts(run, &stats);
	packet_stats_fini(&stats);
	engine_destroy(engine);
}

void golden_replay_case(const struct golden_table *table, const struct golden_case *test,
			int workers, struct frame_log *log)
{
	static const struct golden_way by_files = {0};
	struct golden_run run = {
		.way = &by_files, .table = table, .test = test, .log = log, .has_verdict = true};
	struct files files;
	if (!golden_run_open(&run, workers))
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
			golden_run_match(&run, text);
	}
	golden_run_end_step(&run);
	files_close(&files);
	scene_fini(&run.scene);
}

bool golden_is_replayable(const struct golden_case *test)
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
