// SPDX-License-Identifier: Apache-2.0
#include "golden_wire.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/clock.h"

enum { ABSURD_SECONDS = 30, MOMENT_MS = 1, CUT_LEN = 65536 };
enum { HEADER_LEN = 14, TAG_LEN = 4, TYPE_AT = 12, TCI_AT = 14, VLAN_MASK = 0xfff };

static const char *const reasons[WIRE_N_REASONS] = {
	[WIRE_DRIVER_STEP] = "the driver is told to refuse frames",
	[WIRE_NOT_SENT] = "the kernel does not send the frame that is to come in",
	[WIRE_TAGGED] = "the frame that is to come in is of a VLAN, or ends within a tag",
	[WIRE_CUT] = "the kernel cuts the super-frame that is to come in",
};

// ---- what does not fit -------------------------------------------------------------------------

static enum wire_reason judge(const struct golden_case *test)
{
	for (size_t i = 0; i < test->n_steps; i++) {
		if (golden_after(test->steps[i].text, "driver"))
			return WIRE_DRIVER_STEP;
	}
	return WIRE_FITS;
}

// The kernel takes tags off frames before packet sockets see them, and the capture filter leaves
// those of VLANs to it.
static bool is_of_vlan(const uint8_t *frame, uint32_t len)
{
	uint32_t type = len < HEADER_LEN ? 0 : frame[TYPE_AT] << 8U | frame[TYPE_AT + 1];
	if (type != ETH_P_8021Q && type != ETH_P_8021AD)
		return false;
	if (len < HEADER_LEN + TAG_LEN)
		return true;
	return ((frame[TCI_AT] << 8U | frame[TCI_AT + 1]) & VLAN_MASK) != 0;
}

// A veth device with XDP takes none whole, and nobody one beyond that length.
static bool is_cut(const struct golden_wire *wire, uint32_t len, const struct virtio_net_hdr *vnet)
{
	return vnet->gso_type && (wire->driver == &io_afxdp || len >= CUT_LEN);
}

static void leave_out(struct golden_run *run, enum wire_reason reason)
{
	struct golden_wire *wire = run->arg;
	wire->n_left_out[reason]++;
	run->is_left_out = true;
}

// ---- the way -----------------------------------------------------------------------------------

static void wire_start(struct golden_run *run)
{
	struct golden_wire *wire = run->arg;
	run->scene.config->passthrough.fast_path = wire->fast_path;
	cables_follow_scene(&wire->cables, &run->scene);
	rig_start_over(&run->rig, &run->scene, wire->driver, wire->cables.links);
}

static void take(struct golden_run *run)
{
	struct golden_wire *wire = run->arg;
	struct mem_frame *frame;
	while (run->n_outputs < GOLDEN_RUN_OUTPUTS && (frame = cables_take(&wire->cables)))
		run->outputs[run->n_outputs++] = frame;
}

// What the kernel has forwarded has its verdict when a worker has asked for its counters, which it
// does by the clock. One that forwards nothing itself is as quick as it is.
static bool await_end(struct golden_run *run, const struct packet_stats *before)
{
	struct golden_wire *wire = run->arg;
	uint64_t deadline = clock_now_ns() + ABSURD_SECONDS * NS_PER_SEC;
	bool may_be_fast = before->fast_flows != 0;
	while (!rig_is_settled(&run->rig)) {
		if (clock_now_ns() > deadline)
			return false;
		cables_wait(&wire->cables, MOMENT_MS);
		take(run);
		if (!may_be_fast || run->n_outputs == 0)
			continue;
		rig_nudge(&run->rig);
		may_be_fast = false;
	}
	return true;
}

static void bring(struct golden_run *run, const struct packet_stats *before)
{
	struct golden_wire *wire = run->arg;
	struct packet_stats after;
	run->rig.n_pushed++;
	if (!await_end(run, before)) {
		golden_run_complain(run, "the frame has not met its end");
		return;
	}
	run->verdict = rig_verdict_since(&run->rig, before);
	cr_assert_eq(engine_stats(run->rig.engine, &after), 0);
	wire->n_fast += after.fast_packets - before->fast_packets;
	packet_stats_fini(&after);
	cables_settle(&wire->cables);
	take(run);
}

static void wire_bring(struct golden_run *run, uint32_t link, const uint8_t *frame, uint32_t len,
		       const struct virtio_net_hdr *vnet)
{
	struct golden_wire *wire = run->arg;
	struct packet_stats before;
	cr_assert_eq(engine_stats(run->rig.engine, &before), 0);
	if (is_of_vlan(frame, len))
		leave_out(run, WIRE_TAGGED);
	else if (is_cut(wire, len, vnet))
		leave_out(run, WIRE_CUT);
	else if (cables_send(&wire->cables, link, frame, len, vnet))
		leave_out(run, WIRE_NOT_SENT);
	else
		bring(run, &before);
	packet_stats_fini(&before);
}

static void wire_publish(struct golden_run *run, unsigned n_sent)
{
	struct golden_wire *wire = run->arg;
	uint64_t deadline = clock_now_ns() + ABSURD_SECONDS * NS_PER_SEC;
	rig_publish(&run->rig);
	while (run->n_outputs < n_sent && clock_now_ns() < deadline) {
		cables_wait(&wire->cables, MOMENT_MS);
		take(run);
	}
	if (run->n_outputs < n_sent)
		golden_run_complain(run, "not as many resets were sent");
	cables_settle(&wire->cables);
	take(run);
}

// Such cases are left out.
static void wire_refuse(struct golden_run *run, enum verdict verdict)
{
	(void)verdict;
	golden_run_complain(run, "nobody tells a driver for interfaces to refuse frames");
}

static const struct golden_way by_wire = {
	.start = wire_start,
	.bring = wire_bring,
	.publish = wire_publish,
	.refuse = wire_refuse,
	.completes_sums = true,
	.is_by_link = true,
};

// ---- the whole ---------------------------------------------------------------------------------

void golden_wire_open(struct golden_wire *wire, const struct io_driver *driver,
		      enum fast_path_use fast_path)
{
	*wire = (struct golden_wire){.driver = driver, .fast_path = fast_path};
	if (!cables_open(&wire->cables))
		cr_skip("needs root, for a private network namespace");
}

uint64_t golden_wire_left_out(const struct golden_wire *wire)
{
	uint64_t n = 0;
	for (int i = 0; i < WIRE_N_REASONS; i++)
		n += wire->n_left_out[i];
	return n;
}

void golden_wire_close(struct golden_wire *wire)
{
	cables_close(&wire->cables);
	printf("%s%s: %" PRIu64 " cases, %" PRIu64 " packets by the fast path\n",
	       wire->driver->name, wire->fast_path == FAST_PATH_OFF ? ", no fast path" : "",
	       wire->n_cases, wire->n_fast);
	for (int i = 0; i < WIRE_N_REASONS; i++) {
		if (wire->n_left_out[i])
			printf("  %" PRIu64 " left out: %s\n", wire->n_left_out[i], reasons[i]);
	}
}

void golden_wire_run(struct golden_wire *wire, const struct golden_table *table,
		     const struct golden_case *test, int workers)
{
	struct golden_run run = {.way = &by_wire, .arg = wire, .table = table, .test = test};
	enum wire_reason reason = judge(test);
	if (reason != WIRE_FITS) {
		leave_out(&run, reason);
		return;
	}
	if (!golden_run_open(&run, workers))
		return;
	golden_run_steps(&run);
	wire->n_cases += !run.is_left_out;
	scene_fini(&run.scene);
}
