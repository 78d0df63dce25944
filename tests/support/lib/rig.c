// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "culvert/base/clock.h"

enum { START_SECONDS = 1000 };

static _Atomic uint64_t clock_ns; // w: the thread of the test, r: any

uint64_t rig_now_ns(void)
{
	return atomic_load_explicit(&clock_ns, memory_order_relaxed);
}

static void check(int code, const struct err *err)
{
	if (code == 0)
		return;
	fprintf(stderr, "rig: %s\n", err->message);
	abort();
}

void rig_start(struct rig *rig, struct scene *scene)
{
	static const struct io_link links[SCENE_N_LINKS] = {{.name = "front"}, {.name = "back"}};
	struct err err = {0};
	struct engine_params params = {
		.config = scene->config,
		.driver = &io_memory,
		.links = links,
		.n_links = SCENE_N_LINKS,
		.registry = scene->registry,
		.secret = 42,
		.now_ns = rig_now_ns,
	};
	*rig = (struct rig){.scene = scene};
	atomic_store_explicit(&clock_ns, START_SECONDS * NS_PER_SEC, memory_order_relaxed);
	check(engine_create(&rig->engine, &params, scene_snapshot(scene), &err), &err);
	rig->io = mem_io_last();
	check(engine_start(rig->engine, &err), &err);
}

const char *rig_check_ledger(const struct packet_stats *stats)
{
	uint64_t sum = stats->held;
	for (int i = 0; i < N_VERDICTS; i++)
		sum += stats->verdicts[i];
	if (stats->verdicts[VERDICT_NONE])
		return "packets without a verdict";
	return sum == stats->received ? NULL : "verdicts and received packets differ";
}

const char *rig_stop(struct rig *rig)
{
	struct packet_stats stats;
	engine_stop(rig->engine);
	if (engine_stats(rig->engine, &stats))
		abort();
	const char *wrong = rig_check_ledger(&stats);
	packet_stats_fini(&stats);
	engine_destroy(rig->engine);
	*rig = (struct rig){0};
	return wrong;
}

void rig_push(struct rig *rig, uint32_t link, const uint8_t *frame, uint32_t len,
	      const struct virtio_net_hdr *vnet)
{
	rig->n_pushed++;
	mem_io_push(rig->io, link, frame, len, vnet);
}

void rig_settle(struct rig *rig)
{
	for (;;) {
		struct packet_stats stats;
		uint64_t n_ended = 0;
		if (engine_stats(rig->engine, &stats))
			abort();
		for (int i = 0; i < N_VERDICTS; i++)
			n_ended += stats.verdicts[i];
		n_ended += stats.held;
		packet_stats_fini(&stats);
		if (n_ended == rig->n_pushed)
			return;
		sched_yield();
	}
}

enum verdict rig_verdict_since(struct rig *rig, const struct packet_stats *before)
{
	struct packet_stats stats;
	enum verdict verdict = VERDICT_NONE;
	rig_settle(rig);
	if (engine_stats(rig->engine, &stats))
		abort();
	for (int i = 0; i < N_VERDICTS; i++) {
		if (stats.verdicts[i] != before->verdicts[i])
			verdict = (enum verdict)i;
	}
	packet_stats_fini(&stats);
	return verdict;
}

void rig_publish(struct rig *rig)
{
	engine_publish(rig->engine, scene_snapshot(rig->scene));
}

void rig_move_clock(struct rig *rig, uint64_t seconds)
{
	atomic_fetch_add_explicit(&clock_ns, seconds * NS_PER_SEC, memory_order_relaxed);
	// Each thread that was in the middle of a batch has ended it.
	rig_publish(rig);
}
