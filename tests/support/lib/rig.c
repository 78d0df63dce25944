// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "cover.h"
#include "culvert/base/clock.h"
#include "packet/plan.h"

enum { START_SECONDS = 1000, NUDGE_MS = 250 };

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

// As a packet mode does: shield.c.
static void tell_scope(struct rig *rig)
{
	const struct snapshot *snapshot = plan_snapshot(rig->engine);
	struct err err = {0};
	struct cover cover;
	check(cover_make(&cover, snapshot, NULL), &err);
	struct io_scope scope = {.vips = cover.vips, .n_vips = cover.n_vips};
	if (rig->scene->config->mode != MODE_DSR) {
		scope.backends = cover.backends;
		scope.n_backends = cover.n_backends;
		scope.own = snapshot->snats;
		scope.n_own = snapshot->n_snats;
		scope.nat_port_min = snapshot->nat_port_min;
		scope.nat_port_max = snapshot->nat_port_max;
	}
	check(engine_set_scope(rig->engine, &scope, &err), &err);
	cover_fini(&cover);
}

void rig_start_over(struct rig *rig, struct scene *scene, const struct io_driver *driver,
		    const struct io_link *links)
{
	struct err err = {0};
	struct engine_params params = {
		.config = scene->config,
		.driver = driver,
		.links = links,
		.n_links = SCENE_N_LINKS,
		.registry = scene->registry,
		.secret = 42,
		.now_ns = rig_now_ns,
	};
	*rig = (struct rig){.scene = scene, .seconds = START_SECONDS};
	atomic_store_explicit(&clock_ns, START_SECONDS * NS_PER_SEC, memory_order_relaxed);
	check(engine_create(&rig->engine, &params, scene_snapshot(scene), &err), &err);
	tell_scope(rig);
	rig->io = driver == &io_memory ? mem_io_last() : NULL;
	check(engine_start(rig->engine, &err), &err);
}

void rig_start(struct rig *rig, struct scene *scene)
{
	static const struct io_link links[SCENE_N_LINKS] = {{.name = "front"}, {.name = "back"}};
	rig_start_over(rig, scene, &io_memory, links);
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

bool rig_is_settled(const struct rig *rig)
{
	struct packet_stats stats;
	if (engine_stats(rig->engine, &stats))
		abort();
	uint64_t n_ended = stats.held;
	for (int i = 0; i < N_VERDICTS; i++)
		n_ended += stats.verdicts[i];
	packet_stats_fini(&stats);
	return n_ended == rig->n_pushed;
}

void rig_settle(struct rig *rig)
{
	while (!rig_is_settled(rig))
		sched_yield();
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
	rig->seconds += seconds;
	if (rig->seconds * NS_PER_SEC > rig_now_ns())
		atomic_store_explicit(&clock_ns, rig->seconds * NS_PER_SEC, memory_order_relaxed);
	// Each thread that was in the middle of a batch has ended it.
	rig_publish(rig);
}

void rig_nudge(struct rig *rig)
{
	struct engine *engine = rig->engine;
	atomic_fetch_add_explicit(&clock_ns, NUDGE_MS * NS_PER_MS, memory_order_relaxed);
	doorbell_wake(&engine->capture_bell);
	for (uint32_t i = 0; i < engine->n_workers; i++)
		doorbell_wake(&engine->workers[i].bell);
}
