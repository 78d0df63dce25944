// SPDX-License-Identifier: Apache-2.0
// A datagram in fragments counts for its flow with all of its bytes, not with those of the first.
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "../support/lib/frame.h"
#include "../support/lib/pump.h"

enum {
	CLIENT = 0x0a030001,
	VIP = 0x0a010064,
	LOCAL = 0x0a020001,
	BACKEND = 0x0a020014,
	PART = 1480,
	PAYLOAD = 3000, // behind 8 bytes of header, in three parts
	N_PARTS = 3,
	IP_BYTES = N_PARTS * 20 + 8 + PAYLOAD,
};

struct bench {
	struct scene scene;
	struct pump pump;
};

static void begin(struct bench *bench, enum mode mode, enum dsr_method method)
{
	struct scene *scene = &bench->scene;
	scene_init(scene, "10.2.0.1");
	scene->config->mode = mode;
	scene->config->dsr.method = method;
	size_t pool = scene_add_pool(scene, "dns", IPPROTO_UDP);
	scene_add_backend(scene, pool, "one", "10.2.0.20:53", 1);
	scene_add_frontend(scene, "10.1.0.100:53", pool, HASH_5_TUPLE);
	scene_build(scene);
	pump_open(&bench->pump, scene);
}

static void end(struct bench *bench)
{
	cr_expect_null(pump_check_ledger(&bench->pump));
	pump_close(&bench->pump);
	scene_fini(&bench->scene);
}

// Returns how many frames left; *port is the source port of the last first fragment.
static unsigned push(struct bench *bench, uint32_t link, const struct frame_spec *spec,
		     uint16_t *port)
{
	uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct mem_frame *sent;
	unsigned n = 0;
	for (unsigned i = 0; i < N_PARTS; i++) {
		struct frame_spec part = *spec;
		part.dst_mac = bench->scene.link_macs[link];
		part.part_at = i * PART;
		part.part_len = i + 1 < N_PARTS ? PART : 8 + PAYLOAD - i * PART;
		part.fragment = (uint16_t)((i + 1 < N_PARTS ? 0x2000 : 0) | i * PART / 8);
		uint32_t len = frame_build(&part, frame, &vnet);
		mem_io_push(bench->pump.io, link, frame, len, &vnet);
		pump_round(&bench->pump);
	}
	while ((sent = mem_io_take(bench->pump.io))) {
		if (n++ == 0)
			*port = (uint16_t)(sent->bytes[34] << 8 | sent->bytes[35]);
		free(sent);
	}
	return n;
}

static const struct frame_spec question = {
	.proto = IPPROTO_UDP,
	.ttl = 64,
	.id = 77,
	.src_port = 4000,
	.dst_port = 53,
	.payload_len = PAYLOAD,
};

static struct frame_spec between(uint32_t src, uint32_t dst)
{
	struct frame_spec spec = question;
	spec.src = frame_v4(src);
	spec.dst = frame_v4(dst);
	return spec;
}

static const struct flow *only_flow(const struct bench *bench)
{
	const struct flow_table *flows = bench->pump.worker.flows;
	cr_assert_eq(flows->n_flows, 1);
	return &flows->flows[1];
}

Test(fragment_counts, passthrough_counts_both_ways)
{
	struct bench bench;
	uint16_t port = 0;
	begin(&bench, MODE_PASSTHROUGH, DSR_NAT);
	struct frame_spec there = between(CLIENT, VIP);
	cr_expect_eq(push(&bench, SCENE_FRONT, &there, &port), N_PARTS);
	cr_expect_eq(only_flow(&bench)->bytes_tx, IP_BYTES);
	struct frame_spec back = between(BACKEND, LOCAL);
	back.src_port = 53;
	back.dst_port = port;
	cr_expect_eq(push(&bench, SCENE_BACK, &back, &port), N_PARTS);
	cr_expect_eq(only_flow(&bench)->bytes_rx, IP_BYTES);
	const struct traffic_counters *backend = &bench.pump.worker.flows->backends[0];
	cr_expect_eq(counter_read(&backend->bytes_tx), IP_BYTES);
	cr_expect_eq(counter_read(&backend->bytes_rx), IP_BYTES);
	end(&bench);
}

Test(fragment_counts, dsr_counts_what_clients_send)
{
	static const enum dsr_method methods[] = {DSR_NAT, DSR_L2};
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		struct bench bench;
		uint16_t port = 0;
		begin(&bench, MODE_DSR, methods[i]);
		struct frame_spec there = between(CLIENT, VIP);
		cr_expect_eq(push(&bench, SCENE_FRONT, &there, &port), N_PARTS);
		cr_expect_eq(only_flow(&bench)->bytes_tx, IP_BYTES);
		end(&bench);
	}
}

// Its entry is somebody else's by then.
Test(fragment_counts, what_comes_late_does_not_count_for_another_flow)
{
	struct bench bench;
	uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	begin(&bench, MODE_PASSTHROUGH, DSR_NAT);
	struct frame_spec first = between(CLIENT, VIP);
	first.dst_mac = bench.scene.link_macs[SCENE_FRONT];
	first.part_len = PART;
	first.fragment = 0x2000;
	uint32_t len = frame_build(&first, frame, &vnet);
	mem_io_push(bench.pump.io, SCENE_FRONT, frame, len, &vnet);
	pump_round(&bench.pump);
	flow_table_end(bench.pump.worker.flows, 1, FLOW_REMOVED);
	struct frame_spec other = between(CLIENT + 1, VIP);
	other.payload_len = 10;
	other.dst_mac = first.dst_mac;
	len = frame_build(&other, frame, &vnet);
	mem_io_push(bench.pump.io, SCENE_FRONT, frame, len, &vnet);
	pump_round(&bench.pump);
	struct frame_spec last = first;
	last.part_at = PART;
	last.part_len = PART;
	last.fragment = 0x2000 | PART / 8;
	len = frame_build(&last, frame, &vnet);
	mem_io_push(bench.pump.io, SCENE_FRONT, frame, len, &vnet);
	pump_round(&bench.pump);
	cr_expect_eq(only_flow(&bench)->bytes_tx, 20 + 8 + 10);
	struct mem_frame *sent;
	while ((sent = mem_io_take(bench.pump.io)))
		free(sent);
	end(&bench);
}
