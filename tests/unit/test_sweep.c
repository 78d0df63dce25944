// SPDX-License-Identifier: Apache-2.0
// Resets for the clients of a backend that went down, round by round. Their numbers are in
// tests/golden/backends.txt.
#include "packet/sweep.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "../support/lib/frame.h"
#include "../support/lib/pump.h"

enum { CLIENT = 0x0a030000, VIP = 0x0a010064, LOCAL = 0x0a020001, BACKEND = 0x0a020015, N = 100 };

struct bench {
	struct scene scene;
	struct pump pump;
};

static void bench_open(struct bench *bench)
{
	struct scene *scene = &bench->scene;
	scene_init(scene, "10.2.0.1");
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "10.2.0.21:8080", 1);
	size_t api = scene_add_pool(scene, "api", IPPROTO_TCP);
	scene_add_backend(scene, api, "two", "10.2.0.21:8080", 1);
	scene_add_frontend(scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene_add_frontend(scene, "10.1.0.100:81", api, HASH_5_TUPLE);
	scene_build(scene);
	pump_open(&bench->pump, scene);
}

static void bench_close(struct bench *bench)
{
	cr_expect_null(pump_check_ledger(&bench->pump));
	pump_close(&bench->pump);
	scene_fini(&bench->scene);
}

static void push(struct bench *bench, uint32_t link, const struct frame_spec *spec)
{
	uint8_t frame[128];
	struct virtio_net_hdr vnet;
	struct frame_spec sent = *spec;
	sent.dst_mac = bench->scene.link_macs[link];
	uint32_t len = frame_build(&sent, frame, &vnet);
	mem_io_push(bench->pump.io, link, frame, len, &vnet);
	pump_round(&bench->pump);
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

static void establish(struct bench *bench, uint32_t client, uint16_t vip_port)
{
	struct frame_spec there = {
		.src = frame_v4(CLIENT + client),
		.dst = frame_v4(VIP),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = 1000,
		.dst_port = vip_port,
		.flags = TCP_FLAG_SYN,
	};
	struct frame_spec back = {
		.src = frame_v4(BACKEND),
		.dst = frame_v4(LOCAL),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = 8080,
		.flags = TCP_FLAG_SYN | TCP_FLAG_ACK,
	};
	push(bench, SCENE_FRONT, &there);
	struct mem_frame *syn = mem_io_take(bench->pump.io);
	cr_assert_not_null(syn);
	back.dst_port = (uint16_t)(syn->bytes[34] << 8 | syn->bytes[35]);
	free(syn);
	push(bench, SCENE_BACK, &back);
	there.flags = TCP_FLAG_ACK;
	there.seq = there.ack = 1;
	push(bench, SCENE_FRONT, &there);
	cr_assert_eq(count_sent(bench), 2);
}

static void set_up(struct bench *bench, uint32_t backend, bool is_up)
{
	registry_set_up(bench->scene.registry, backend, is_up);
	pump_publish(&bench->pump);
}

static uint64_t n_live(const struct bench *bench, uint32_t backend)
{
	return counter_read(&bench->pump.worker.flows->backends[backend].flows_current);
}

Test(sweep, resets_as_many_per_round_as_there_are_empty_packets_and_no_one_twice)
{
	struct bench bench;
	bench_open(&bench);
	for (uint32_t i = 0; i < N; i++)
		establish(&bench, i, 80);
	set_up(&bench, 0, false);
	unsigned n = 0;
	for (unsigned round = 0; round < N / WORKER_SPARES + 1; round++) {
		pump_round(&bench.pump);
		unsigned n_sent = count_sent(&bench);
		cr_expect_leq(n_sent, WORKER_SPARES);
		n += n_sent;
	}
	cr_expect_eq(n, N);
	cr_expect_not(worker_is_busy(&bench.pump.worker));
	pump_round(&bench.pump);
	cr_expect_eq(count_sent(&bench), 0);
	cr_expect_eq(n_live(&bench, 0), 0);
	bench_close(&bench);
}

Test(sweep, without_empty_packets_it_waits)
{
	struct bench bench;
	bench_open(&bench);
	establish(&bench, 0, 80);
	struct worker *worker = &bench.pump.worker;
	uint32_t n_spares = worker->n_spares;
	set_up(&bench, 0, false);
	worker->n_spares = 0;
	worker_begin(worker, bench.pump.snapshot, bench.pump.now_ns);
	cr_expect(worker_is_busy(worker));
	cr_expect_eq(n_live(&bench, 0), 1);
	worker->n_spares = n_spares;
	pump_round(&bench.pump);
	cr_expect_eq(count_sent(&bench), 1);
	bench_close(&bench);
}

Test(sweep, ends_when_the_backend_is_up_again)
{
	struct bench bench;
	bench_open(&bench);
	for (uint32_t i = 0; i < N; i++)
		establish(&bench, i, 80);
	set_up(&bench, 0, false);
	pump_round(&bench.pump);
	cr_expect_eq(count_sent(&bench), WORKER_SPARES);
	set_up(&bench, 0, true);
	for (int round = 0; round < 10; round++)
		pump_round(&bench.pump);
	cr_expect_eq(count_sent(&bench), 0);
	cr_expect_not(worker_is_busy(&bench.pump.worker));
	cr_expect_eq(n_live(&bench, 0), N - WORKER_SPARES);
	// And a second time down takes the rest.
	set_up(&bench, 0, false);
	for (int round = 0; round < 10; round++)
		pump_round(&bench.pump);
	cr_expect_eq(count_sent(&bench), N - WORKER_SPARES);
	bench_close(&bench);
}

Test(sweep, a_backend_of_another_pool_at_the_same_endpoint_keeps_its_flows)
{
	struct bench bench;
	bench_open(&bench);
	for (uint32_t i = 0; i < 10; i++) {
		establish(&bench, i, 80);
		establish(&bench, i, 81);
	}
	set_up(&bench, 1, false);
	for (int round = 0; round < 10; round++)
		pump_round(&bench.pump);
	cr_expect_eq(count_sent(&bench), 10);
	cr_expect_eq(n_live(&bench, 0), 10);
	cr_expect_eq(n_live(&bench, 1), 0);
	bench_close(&bench);
}

Test(sweep, several_backends_at_once)
{
	struct bench bench;
	bench_open(&bench);
	for (uint32_t i = 0; i < 50; i++) {
		establish(&bench, i, 80);
		establish(&bench, i, 81);
	}
	registry_set_up(bench.scene.registry, 0, false);
	set_up(&bench, 1, false);
	for (int round = 0; round < 10; round++)
		pump_round(&bench.pump);
	cr_expect_eq(count_sent(&bench), 100);
	bench_close(&bench);
}

Test(sweep, a_snapshot_with_other_news_resets_nobody)
{
	struct bench bench;
	bench_open(&bench);
	establish(&bench, 0, 80);
	for (int round = 0; round < 5; round++) {
		pump_publish(&bench.pump);
		pump_round(&bench.pump);
	}
	cr_expect_eq(count_sent(&bench), 0);
	cr_expect_eq(n_live(&bench, 0), 1);
	bench_close(&bench);
}
