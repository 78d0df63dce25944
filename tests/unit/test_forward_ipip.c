// SPDX-License-Identifier: Apache-2.0
// Super-frames on their way into a tunnel, as far as buffers are concerned. What leaves is in
// tests/golden/dsr_ipip.txt.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "../support/lib/frame.h"
#include "../support/lib/pump.h"

enum { CLIENT = 0x0a01000b, VIP = 0x0a010064 };

struct bench {
	struct scene scene;
	struct pump pump;
};

static void bench_open(struct bench *bench)
{
	struct scene *scene = &bench->scene;
	scene_init(scene, "10.2.0.1");
	scene->config->mode = MODE_DSR;
	scene->config->dsr.method = DSR_IPIP;
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "10.2.0.21:80", 1);
	scene_add_frontend(scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene_build(scene);
	pump_open(&bench->pump, scene);
	pump_round(&bench->pump);
}

static void bench_close(struct bench *bench)
{
	cr_expect_null(pump_check_ledger(&bench->pump));
	pump_close(&bench->pump);
	scene_fini(&bench->scene);
}

static void push(struct bench *bench, uint32_t len, uint16_t gso_size)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct frame_spec spec = {
		.src = frame_v4(CLIENT),
		.dst = frame_v4(VIP),
		.dst_mac = bench->scene.link_macs[SCENE_FRONT],
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.fragment = 0x4000,
		.src_port = 1000,
		.dst_port = 80,
		.flags = TCP_FLAG_ACK,
		.sum = SUM_PARTIAL,
		.payload_len = len,
		.gso_size = gso_size,
	};
	uint32_t frame_len = frame_build(&spec, frame, &vnet);
	mem_io_push(bench->pump.io, SCENE_FRONT, frame, frame_len, &vnet);
}

static uint64_t count(const struct bench *bench, enum verdict verdict)
{
	return counter_read(&bench->pump.transmit.ledger.verdicts[verdict]);
}

static unsigned count_sent(struct bench *bench)
{
	unsigned n = 0;
	struct mem_frame *sent;
	while ((sent = mem_io_take(bench->pump.io))) {
		n++;
		free(sent);
	}
	return n;
}

Test(forward_ipip, a_whole_burst_of_super_frames_is_cut)
{
	struct bench bench;
	bench_open(&bench);
	for (int i = 0; i < PACKET_BURST; i++)
		push(&bench, 64000, 1400);
	pump_round(&bench.pump);
	cr_expect_eq(count(&bench, VERDICT_FORWARDED), PACKET_BURST);
	cr_expect_eq(count_sent(&bench), PACKET_BURST * 46);
	bench_close(&bench);
}

Test(forward_ipip, without_empty_packets_a_super_frame_is_dropped_by_name)
{
	struct bench bench;
	bench_open(&bench);
	push(&bench, 3000, 1000);
	push(&bench, 500, 0);
	uint32_t n_spares = bench.pump.worker.n_spares;
	struct packet *packets[PACKET_BURST];
	bool is_idle;
	uint32_t n = capture_burst(&bench.pump.capture, bench.pump.snapshot, SCENE_FRONT, packets,
				   &is_idle);
	bench.pump.worker.n_spares = 0;
	worker_begin(&bench.pump.worker, bench.pump.snapshot, bench.pump.now_ns);
	worker_process(&bench.pump.worker, packets, n);
	transmit_burst(&bench.pump.transmit, packets, n);
	packet_pool_give_back(&bench.pump.capture.pool, packets, n);
	bench.pump.worker.n_spares = n_spares;
	cr_expect_eq(count(&bench, VERDICT_DROP_NO_BUFFER), 1);
	cr_expect_eq(count(&bench, VERDICT_FORWARDED), 1);
	cr_expect_eq(count_sent(&bench), 1);
	bench_close(&bench);
}

Test(forward_ipip, more_segments_than_one_buffer_has_room_for_headers_of)
{
	struct bench bench;
	bench_open(&bench);
	push(&bench, 60000, 60);
	pump_round(&bench.pump);
	cr_expect_eq(count(&bench, VERDICT_DROP_TOO_BIG), 1);
	push(&bench, 60000, 100);
	pump_round(&bench.pump);
	cr_expect_eq(count(&bench, VERDICT_FORWARDED), 1);
	cr_expect_eq(count_sent(&bench), 600);
	bench_close(&bench);
}

Test(forward_ipip, a_full_device_loses_the_packet_and_no_buffer)
{
	struct bench bench;
	bench_open(&bench);
	mem_io_refuse(bench.pump.io, VERDICT_DROP_TX_FULL);
	push(&bench, 30000, 1400);
	pump_round(&bench.pump);
	cr_expect_eq(count(&bench, VERDICT_DROP_TX_FULL), 1);
	cr_expect_eq(count_sent(&bench), 0);
	bench_close(&bench);
}
