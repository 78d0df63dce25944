// SPDX-License-Identifier: Apache-2.0
// Whose packet, and which worker's: both halves of a flow must meet. What becomes of packets is in
// tests/golden.
#include "packet/steer.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "../support/lib/frame.h"
#include "../support/lib/scene.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { CLIENT = 0x0a01000b, VIP = 0x0a010064, LOCAL = 0x0a020001, BACKEND = 0x0a020015 };

struct bench {
	struct scene scene;
	struct snapshot *snapshot;
	struct steering steering;
	uint8_t frame[2048];
	struct packet packet;
};

static void bench_init(struct bench *bench, uint32_t n_workers, uint16_t min, uint16_t max)
{
	struct scene *scene = &bench->scene;
	scene_init(scene, "10.2.0.1");
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "10.2.0.21:8080", 1);
	scene_add_frontend(scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene_add_frontend(scene, "10.1.0.100:81", web, HASH_5_TUPLE);
	scene->config->passthrough.nat_port_min = min;
	scene->config->passthrough.nat_port_max = max;
	scene_build(scene);
	bench->snapshot = scene_snapshot(scene);
	steering_init(&bench->steering, scene->config, n_workers, 99);
}

static void bench_fini(struct bench *bench)
{
	snapshot_destroy(bench->snapshot);
	scene_fini(&bench->scene);
}

static const struct packet *steer(struct bench *bench, const struct frame_spec *spec)
{
	struct frame_spec sent = *spec;
	sent.dst_mac = bench->scene.link_macs[SCENE_FRONT];
	uint32_t len = frame_build(&sent, bench->frame, &bench->packet.vnet);
	bench->packet = (struct packet){.frame = bench->frame, .len = len};
	steer_packet(&bench->steering, bench->snapshot, &bench->packet);
	return &bench->packet;
}

static struct frame_spec from_client(uint32_t addr, uint16_t port, uint16_t vip_port)
{
	return (struct frame_spec){
		.src = frame_v4(addr),
		.dst = frame_v4(VIP),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = port,
		.dst_port = vip_port,
		.flags = TCP_FLAG_SYN,
	};
}

static struct frame_spec from_backend(uint16_t nat_port)
{
	return (struct frame_spec){
		.src = frame_v4(BACKEND),
		.dst = frame_v4(LOCAL),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = 8080,
		.dst_port = nat_port,
		.flags = TCP_FLAG_ACK,
	};
}

static struct frame_spec error_about(const struct frame_spec *quoted)
{
	return (struct frame_spec){
		.src = frame_v4(0x0a090909),
		.dst = quoted->src,
		.proto = IPPROTO_ICMP,
		.ttl = 64,
		.icmp_type = 3,
		.icmp_code = 4,
		.quoted = quoted,
		.quote_len = 8,
	};
}

Test(steer, slices_of_the_NAT_range_are_disjoint_and_cover_it)
{
	static const struct {
		uint16_t min;
		uint16_t max;
		uint32_t n_workers;
	} cases[] = {
		{40000, 40999, 1},  {40000, 40999, 3},  {40000, 40999, 7},  {1, 65535, 64},
		{33768, 61000, 64}, {65535, 65535, 1},  {65000, 65535, 64}, {40000, 40003, 3},
		{40000, 40004, 4},  {40000, 40000, 64},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct bench bench;
		bench_init(&bench, cases[i].n_workers, cases[i].min, cases[i].max);
		uint32_t next = cases[i].min;
		for (uint32_t w = 0; w < cases[i].n_workers; w++) {
			uint16_t first;
			uint32_t n;
			steering_slice(&bench.steering, w, &first, &n);
			cr_expect(n == 0 || first == next, "case %zu, worker %u", i, w);
			next += n;
		}
		cr_expect_eq(next, cases[i].max + 1U, "case %zu", i);
		bench_fini(&bench);
	}
}

Test(steer, a_reply_meets_the_worker_that_owns_its_port)
{
	struct bench bench;
	bench_init(&bench, 7, 40000, 40999);
	for (uint32_t w = 0; w < 7; w++) {
		uint16_t first;
		uint32_t n;
		steering_slice(&bench.steering, w, &first, &n);
		for (uint32_t port = first; port < first + n; port++) {
			struct frame_spec spec = from_backend((uint16_t)port);
			const struct packet *packet = steer(&bench, &spec);
			cr_assert_eq(packet->verdict, VERDICT_NONE);
			cr_assert_eq(packet->from, FROM_BACKEND);
			cr_assert_eq(packet->worker, w, "port %u", port);
		}
	}
	bench_fini(&bench);
}

Test(steer, defect_12_packets_of_one_client_port_meet_one_worker)
{
	struct bench bench;
	bench_init(&bench, 5, 40000, 40999);
	uint32_t counts[5] = {0};
	for (uint32_t i = 0; i < 5000; i++) {
		struct frame_spec spec = from_client(0x0a020100 + i / 50, (uint16_t)(1000 + i), 80);
		const struct packet *packet = steer(&bench, &spec);
		uint8_t worker = packet->worker;
		uint32_t hash = packet->hash;
		cr_assert_eq(packet->from, FROM_CLIENT);
		cr_assert_lt(worker, 5);
		counts[worker]++;
		spec.flags = TCP_FLAG_FIN | TCP_FLAG_ACK;
		spec.payload_len = 9;
		packet = steer(&bench, &spec);
		cr_assert(packet->worker == worker && packet->hash == hash);

		// And errors about the packets that go back to this port.
		struct frame_spec quoted = {
			.src = frame_v4(VIP),
			.dst = spec.src,
			.proto = IPPROTO_TCP,
			.src_port = 80,
			.dst_port = spec.src_port,
		};
		struct frame_spec error = error_about(&quoted);
		packet = steer(&bench, &error);
		cr_assert(packet->from == FROM_CLIENT && packet->worker == worker &&
			  packet->hash == hash);
	}
	for (uint32_t w = 0; w < 5; w++)
		cr_expect(counts[w] > 850 && counts[w] < 1150, "worker %u has %u", w, counts[w]);
	bench_fini(&bench);
}

Test(steer, an_error_about_a_packet_to_a_backend_meets_the_ports_owner)
{
	struct bench bench;
	bench_init(&bench, 3, 40000, 40999);
	for (uint16_t port = 40000; port < 41000; port++) {
		struct frame_spec reply = from_backend(port);
		struct frame_spec quoted = {
			.src = frame_v4(LOCAL),
			.dst = frame_v4(BACKEND),
			.proto = IPPROTO_TCP,
			.src_port = port,
			.dst_port = 8080,
		};
		struct frame_spec error = error_about(&quoted);
		uint8_t worker = steer(&bench, &reply)->worker;
		uint32_t pool = bench.packet.nat_pool;
		const struct packet *packet = steer(&bench, &error);
		cr_assert_eq(packet->verdict, VERDICT_NONE);
		cr_assert(packet->from == FROM_BACKEND && packet->worker == worker &&
			  packet->nat_pool == pool);
	}
	bench_fini(&bench);
}

Test(steer, frontends_are_told_apart)
{
	struct bench bench;
	bench_init(&bench, 1, 40000, 40999);
	struct frame_spec first = from_client(CLIENT, 1000, 80);
	struct frame_spec second = from_client(CLIENT, 1000, 81);
	uint32_t hash = steer(&bench, &first)->hash;
	cr_expect_eq(bench.packet.frontend, 0);
	cr_expect_neq(steer(&bench, &second)->hash, hash);
	cr_expect_eq(bench.packet.frontend, 1);
	bench_fini(&bench);
}

Test(steer, the_secret_decides_the_hash)
{
	struct bench bench;
	bench_init(&bench, 1, 40000, 40999);
	struct frame_spec spec = from_client(CLIENT, 1000, 80);
	uint32_t hash = steer(&bench, &spec)->hash;
	bench.steering.secret++;
	cr_expect_neq(steer(&bench, &spec)->hash, hash);
	bench_fini(&bench);
}

Test(steer, defect_01_a_frame_that_was_cut_off_is_dropped)
{
	struct bench bench;
	bench_init(&bench, 1, 40000, 40999);
	bench.packet = (struct packet){.frame = bench.frame, .len = PACKET_FRAME_MAX + 1};
	steer_packet(&bench.steering, bench.snapshot, &bench.packet);
	cr_expect_eq(bench.packet.verdict, VERDICT_DROP_TRUNCATED);
	bench_fini(&bench);
}

Test(steer, in_DSR_mode_nothing_is_a_reply)
{
	struct bench bench;
	bench_init(&bench, 3, 40000, 40999);
	bench.scene.config->mode = MODE_DSR;
	steering_init(&bench.steering, bench.scene.config, 3, 99);
	for (uint32_t port = 1; port < 65536; port += 99) {
		struct frame_spec reply = from_backend((uint16_t)port);
		struct frame_spec error = error_about(&reply);
		cr_expect_eq(steer(&bench, &reply)->verdict, VERDICT_PASSED);
		cr_expect_eq(steer(&bench, &error)->verdict, VERDICT_PASSED);
	}
	struct frame_spec request = from_client(CLIENT, 1000, 80);
	cr_expect_eq(steer(&bench, &request)->verdict, VERDICT_NONE);
	bench_fini(&bench);
}
