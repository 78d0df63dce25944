// SPDX-License-Identifier: Apache-2.0
// The engine as a whole while it is disturbed: snapshots, backends up and down, stops in
// mid-traffic, threads that do not keep up. What it does to single packets is in tests/golden.
#include "culvert/packet/engine.h"

#include <criterion/criterion.h>
#include <pcap/pcap.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../support/lib/rig_client.h"
#include "../support/lib/rig_traffic.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
	VIP = 0x0a010064,
	MTU = 1500,
};

static const int layouts[] = {WORKERS_INLINE, 1, 3};

static void build_scene_to(struct scene *scene, int workers, uint32_t mtu_to_backends)
{
	scene_init(scene, "10.2.0.1");
	scene->mtus[SCENE_BACK] = mtu_to_backends;
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "10.2.0.21:8080", 1);
	scene_add_frontend(scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene->config->passthrough.workers = workers;
	scene->config->passthrough.nat_port_min = 20000;
	scene->config->passthrough.nat_port_max = 29999;
	scene->config->passthrough.connection_tracker_capacity = 20000;
	scene_build(scene);
}

static void build_scene(struct scene *scene, int workers)
{
	build_scene_to(scene, workers, MTU);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static struct frame_spec from_client(uint32_t number, uint8_t flags)
{
	return rig_client_segment(number, VIP, flags);
}

// The sums alone, without the lists.
static struct packet_stats stats_of(struct rig *rig)
{
	struct packet_stats stats;
	cr_assert_eq(engine_stats(rig->engine, &stats), 0);
	struct packet_stats sums = stats;
	packet_stats_fini(&stats);
	sums.frontends = sums.backends = NULL;
	return sums;
}

// ---- backends up and down ----------------------------------------------------------------------

// More flows than there are empty packets, and nothing comes in that would wake anybody.
Test(engine, a_backend_that_goes_down_on_a_quiet_link_resets_all_its_clients, .timeout = 120)
{
	enum { N_FLOWS = 600 };
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		bool is_reset[N_FLOWS] = {false};
		struct mem_frame *sent;
		build_scene(&scene, layouts[i]);
		rig_start(&rig, &scene);
		rig_client_establish(&rig, 0, N_FLOWS, VIP);
		uint64_t n_before = mem_io_n_sent(rig.io);
		registry_set_up(scene.registry, 0, false);
		rig_publish(&rig);
		cr_assert(mem_io_await_sent(rig.io, n_before + N_FLOWS), "layout %zu: %lu resets",
			  i, (unsigned long)(mem_io_n_sent(rig.io) - n_before));
		while ((sent = mem_io_take(rig.io))) {
			uint32_t client = get32(sent->bytes + 30) - RIG_CLIENT;
			cr_assert(client < N_FLOWS && !is_reset[client]);
			cr_expect_eq(sent->bytes[47], TCP_FLAG_RST | TCP_FLAG_ACK);
			cr_expect_eq(get32(sent->bytes + 38), 5001);
			is_reset[client] = true;
			free(sent);
		}
		// Entered in the books after it was sent.
		while (stats_of(&rig).generated != N_FLOWS)
			sched_yield();
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

// ---- disturbance -------------------------------------------------------------------------------

Test(engine, snapshots_change_under_traffic, .timeout = 120)
{
	enum { N_SNAPSHOTS = 300 };
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		build_scene(&scene, layouts[i]);
		rig_start(&rig, &scene);
		struct rig_traffic traffic;
		rig_traffic_start(&traffic, &rig, from_client);
		for (int n = 0; n < N_SNAPSHOTS; n++) {
			registry_set_up(scene.registry, 0, n % 3 != 0);
			if (n % 10 == 0)
				rig_move_clock(&rig, 1);
			else
				rig_publish(&rig);
		}
		rig_traffic_stop(&traffic);
		rig_settle(&rig);
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

Test(engine, stops_in_mid_traffic_and_its_books_balance, .timeout = 120)
{
	enum { N_ROUNDS = 15 };
	for (size_t i = 0; i < COUNT(layouts); i++) {
		for (int round = 0; round < N_ROUNDS; round++) {
			struct scene scene;
			struct rig rig;
			build_scene(&scene, layouts[i]);
			rig_start(&rig, &scene);
			struct rig_traffic traffic;
			rig_traffic_start(&traffic, &rig, from_client);
			cr_assert(mem_io_await_sent(rig.io, 1 + (uint64_t)round * 50));
			engine_stop(rig.engine);
			engine_stop(rig.engine); // harmless
			rig_traffic_stop(&traffic);
			cr_expect_null(rig_stop(&rig));
			scene_fini(&scene);
		}
	}
}

// Nobody will complete its datagram.
Test(engine, a_fragment_that_waits_when_it_stops_ends_by_name, .timeout = 120)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		build_scene(&scene, layouts[i]);
		rig_start(&rig, &scene);
		struct frame_spec later = from_client(1, TCP_FLAG_ACK);
		later.fragment = 10; // of eight bytes each
		rig_client_push(&rig, SCENE_FRONT, &later);
		rig_settle(&rig);
		cr_expect_eq(stats_of(&rig).held, 1);
		engine_stop(rig.engine);
		struct packet_stats stats = stats_of(&rig);
		cr_expect_eq(stats.held, 0);
		cr_expect_eq(stats.verdicts[VERDICT_DROP_FRAGMENT_EXPIRED], 1);
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

// Each worker of a pipeline has a processor, and so have capture and transmit.
Test(engine, picks_a_number_of_workers_by_the_processors)
{
	long n_processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct config config = {.passthrough = {.workers = WORKERS_AUTO,
						.nat_port_min = 20000,
						.nat_port_max = 29999}};
	uint32_t n = engine_count_threads(&config);
	if (n_processors <= 3)
		cr_expect_eq(n, 1);
	else
		cr_expect_eq(n, n_processors - 2 < CONFIG_MAX_WORKERS ? (uint32_t)n_processors - 2
								      : CONFIG_MAX_WORKERS);
	config.passthrough.nat_port_max = config.passthrough.nat_port_min;
	cr_expect_eq(engine_count_threads(&config), 1, "each needs a port");
}

Test(engine, a_driver_without_filters_takes_any)
{
	struct scene scene;
	struct rig rig;
	struct err err = {0};
	build_scene(&scene, WORKERS_INLINE);
	rig_start(&rig, &scene);
	cr_expect_eq(engine_set_filter(rig.engine, "udp", &err), 0, "%s", err.message);
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
}

Test(engine, may_be_destroyed_without_having_run)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct err err = {0};
		struct engine *engine = NULL;
		build_scene(&scene, layouts[i]);
		struct engine_params params = {
			.config = scene.config,
			.driver = &io_memory,
			.n_links = SCENE_N_LINKS,
			.registry = scene.registry,
		};
		cr_assert_eq(engine_create(&engine, &params, scene_snapshot(&scene), &err), 0, "%s",
			     err.message);
		engine_publish(engine, scene_snapshot(&scene));
		cr_expect_eq(engine_n_workers(engine), (uint32_t)layouts[i]);
		engine_destroy(engine);
		scene_fini(&scene);
	}
	engine_destroy(NULL);
}

Test(engine, a_driver_that_does_not_open_leaves_nothing_behind)
{
	struct scene scene;
	struct err err = {0};
	struct engine *engine = NULL;
	struct io_link missing = {.name = "/nonexistent/capture"};
	build_scene(&scene, 2);
	struct snapshot *snapshot = scene_snapshot(&scene);
	struct engine_params params = {
		.config = scene.config,
		.driver = &io_pcap,
		.links = &missing,
		.n_links = 1,
		.registry = scene.registry,
	};
	cr_expect_lt(engine_create(&engine, &params, snapshot, &err), 0);
	cr_expect_null(engine);
	cr_expect_neq(err.message[0], '\0');
	snapshot_destroy(snapshot); // still the caller's
	scene_fini(&scene);
}

// ---- what the kernel has dropped ---------------------------------------------------------------

static _Atomic uint64_t n_dropped;
static _Atomic unsigned n_looks;

static int counting_recv_burst(struct io *io, uint32_t link, struct packet *const *packets,
			       uint32_t n)
{
	n_looks++;
	return io_memory.recv_burst(io, link, packets, n);
}

static uint64_t told_kernel_drops(struct io *io)
{
	(void)io;
	return n_dropped;
}

// Nothing comes in, so it looks no more.
static void await_sleep(void)
{
	enum { STILL_US = 100000 };
	unsigned before;
	do {
		before = n_looks;
		usleep(STILL_US);
	} while (n_looks == 0 || n_looks != before);
}

Test(engine, capture_sleeps_until_control_reads_that_frames_were_dropped, .timeout = 120)
{
	struct io_driver driver = io_memory;
	driver.recv_burst = counting_recv_burst;
	driver.kernel_drops = told_kernel_drops;
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		n_dropped = 0;
		n_looks = 0;
		build_scene(&scene, layouts[i]);
		rig_start_over(&rig, &scene, &driver, NULL);
		await_sleep();
		unsigned before = n_looks;
		cr_expect_not(engine_look_for_drops(rig.engine));
		await_sleep();
		cr_expect_eq(n_looks, before);
		n_dropped = 1;
		cr_expect(engine_look_for_drops(rig.engine));
		while (n_looks == before)
			sched_yield();
		cr_expect_not(engine_look_for_drops(rig.engine), "that is known");
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

// ---- what does not keep up ---------------------------------------------------------------------

// A clock that stands in the way of whoever reads it, which is workers only.
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static uint64_t gated_now_ns(void)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	return 1000000000ULL * 1000;
}

Test(engine, a_worker_that_does_not_keep_up_loses_packets_by_name, .timeout = 120)
{
	enum { N_PUSHED = 3000 };
	struct scene scene;
	struct err err = {0};
	struct rig rig = {.scene = &scene};
	build_scene(&scene, 1);
	struct engine_params params = {
		.config = scene.config,
		.driver = &io_memory,
		.n_links = SCENE_N_LINKS,
		.registry = scene.registry,
		.now_ns = gated_now_ns,
	};
	cr_assert_eq(engine_create(&rig.engine, &params, scene_snapshot(&scene), &err), 0);
	rig.io = mem_io_last();
	pthread_mutex_lock(&gate);
	cr_assert_eq(engine_start(rig.engine, &err), 0);
	for (uint32_t i = 0; i < N_PUSHED; i++) {
		struct frame_spec syn = from_client(i, TCP_FLAG_SYN);
		rig_client_push(&rig, SCENE_FRONT, &syn);
	}
	while (stats_of(&rig).received < N_PUSHED)
		sched_yield();
	pthread_mutex_unlock(&gate);
	rig_settle(&rig);
	struct packet_stats stats = stats_of(&rig);
	cr_expect_gt(stats.verdicts[VERDICT_DROP_RING_FULL], 0);
	cr_expect_geq(stats.verdicts[VERDICT_FORWARDED], 1024);
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
}

static void expect_limit(uint8_t flags, uint8_t ttl, enum verdict verdict)
{
	enum { N_PUSHED = 3000, LIMIT = 1000 };
	struct scene scene;
	struct rig rig;
	build_scene(&scene, WORKERS_INLINE);
	rig_start(&rig, &scene);
	for (int second = 1; second <= 2; second++) {
		for (uint32_t i = 0; i < N_PUSHED; i++) {
			struct frame_spec spec = from_client(i, flags);
			spec.ttl = ttl;
			rig_client_push(&rig, SCENE_FRONT, &spec);
		}
		rig_settle(&rig);
		struct packet_stats stats = stats_of(&rig);
		cr_expect_eq(stats.verdicts[verdict], (uint64_t)second * N_PUSHED);
		cr_expect_eq(stats.generated, (uint64_t)second * LIMIT);
		cr_expect_eq(stats.suppressed, (uint64_t)second * (N_PUSHED - LIMIT));
		rig_move_clock(&rig, 1);
	}
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
}

Test(engine, answers_are_limited_per_second, .timeout = 120)
{
	expect_limit(TCP_FLAG_ACK, 64, VERDICT_DROP_NO_FLOW);
}

Test(engine, errors_of_a_router_are_limited_per_second, .timeout = 120)
{
	expect_limit(TCP_FLAG_SYN, 1, VERDICT_DROP_TTL_EXPIRED);
}

enum { NARROW = 120, ANSWERS = 1000, N_EACH = 1500 };

// A TTL that is over, or a packet that does not fit: for each a router has a word to say.
static void push_many(struct rig *rig, bool is_too_big)
{
	for (uint32_t i = 0; i < N_EACH; i++) {
		struct frame_spec spec = from_client(i, TCP_FLAG_SYN);
		spec.fragment = IP_DONT_FRAGMENT;
		spec.ttl = is_too_big ? 64 : 1;
		spec.payload_len = is_too_big ? NARROW : 0;
		rig_client_push(rig, SCENE_FRONT, &spec);
	}
	rig_settle(rig);
}

// Without them a connection through a narrow link stands still, and anybody can send what has used
// up its TTL.
Test(engine, errors_that_tell_a_length_have_a_rate_of_their_own, .timeout = 120)
{
	for (int is_too_big_first = 0; is_too_big_first < 2; is_too_big_first++) {
		struct scene scene;
		struct rig rig;
		build_scene_to(&scene, WORKERS_INLINE, NARROW);
		rig_start(&rig, &scene);
		push_many(&rig, is_too_big_first);
		cr_expect_eq(stats_of(&rig).generated, ANSWERS);
		push_many(&rig, !is_too_big_first);
		struct packet_stats stats = stats_of(&rig);
		cr_expect_eq(stats.verdicts[VERDICT_DROP_TTL_EXPIRED], N_EACH);
		cr_expect_eq(stats.verdicts[VERDICT_DROP_TOO_BIG], N_EACH);
		cr_expect_eq(stats.generated, UINT64_C(2) * ANSWERS);
		cr_expect_eq(stats.suppressed, UINT64_C(2) * (N_EACH - ANSWERS));
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

// ---- ends --------------------------------------------------------------------------------------

// One link has ended long before the other has begun.
Test(engine, goes_on_until_every_link_has_ended, .timeout = 120)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		build_scene(&scene, layouts[i]);
		rig_start(&rig, &scene);
		mem_io_finish(rig.io, SCENE_BACK);
		for (uint32_t n = 0; n < 50; n++) {
			struct frame_spec syn = from_client(n, TCP_FLAG_SYN);
			rig_client_push(&rig, SCENE_FRONT, &syn);
			rig_settle(&rig);
			cr_assert_not(engine_is_finished(rig.engine));
		}
		mem_io_finish(rig.io, SCENE_FRONT);
		while (!engine_is_finished(rig.engine))
			sched_yield();
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

// ---- capture files of other kinds --------------------------------------------------------------

static const struct mac_addr frontal_mac = {{0x02, 0, 0, 0, 0, 0x01}}; // the scene's

static void write_capture(const char *path, int link_type, uint32_t caplen, uint32_t len)
{
	static uint8_t bytes[262144];
	struct frame_spec syn = from_client(1, TCP_FLAG_SYN);
	struct virtio_net_hdr vnet;
	struct pcap_pkthdr header = {.caplen = caplen, .len = len};
	syn.dst_mac = frontal_mac;
	frame_build(&syn, bytes, &vnet);
	pcap_t *dead = pcap_open_dead(link_type, sizeof(bytes));
	pcap_dumper_t *out = pcap_dump_open(dead, path);
	cr_assert_not_null(out);
	pcap_dump((u_char *)out, &header, bytes);
	pcap_dump_close(out);
	pcap_close(dead);
}

// Runs the file alone; returns the code of engine_create(), or 0 and the sums.
static int replay(const char *path, struct packet_stats *stats)
{
	struct scene scene;
	struct err err = {0};
	struct engine *engine = NULL;
	struct io_link link = {.name = path};
	build_scene(&scene, WORKERS_INLINE);
	struct snapshot *snapshot = scene_snapshot(&scene);
	struct engine_params params = {
		.config = scene.config,
		.driver = &io_pcap,
		.links = &link,
		.n_links = 1,
		.registry = scene.registry,
	};
	int code = engine_create(&engine, &params, snapshot, &err);
	if (code) {
		snapshot_destroy(snapshot);
	} else {
		cr_assert_eq(engine_start(engine, &err), 0);
		while (!engine_is_finished(engine))
			sched_yield();
		engine_stop(engine);
		struct rig rig = {.engine = engine};
		*stats = stats_of(&rig);
		cr_expect_null(rig_check_ledger(stats));
	}
	engine_destroy(engine);
	scene_fini(&scene);
	return code;
}

Test(engine, replays_captures_of_Ethernet_and_refuses_others)
{
	static const struct {
		int link_type;
		uint32_t caplen;
		uint32_t len;
		int code;
		enum verdict verdict;
	} cases[] = {
		{DLT_EN10MB, 54, 54, 0, VERDICT_FORWARDED},
		{DLT_EN10MB, 60, 60, 0, VERDICT_FORWARDED},
		{DLT_EN10MB, 54, 55, 0, VERDICT_DROP_TRUNCATED},
		{DLT_EN10MB, 53, 53, 0, VERDICT_DROP_TRUNCATED},
		{DLT_EN10MB, 0, 0, 0, VERDICT_DROP_TRUNCATED},
		{DLT_EN10MB, 100000, 100000, 0, VERDICT_DROP_TRUNCATED},
		{DLT_USER0, 9, 9, 0, VERDICT_DROP_TRUNCATED},
		{DLT_USER0, 0, 0, 0, VERDICT_DROP_TRUNCATED},
		{DLT_RAW, 54, 54, -1, VERDICT_NONE},
	};
	char path[] = "/tmp/culvert-engine-XXXXXX";
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	close(fd);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct packet_stats stats = {0};
		write_capture(path, cases[i].link_type, cases[i].caplen, cases[i].len);
		int code = replay(path, &stats);
		cr_expect_eq(code < 0, cases[i].code < 0, "case %zu", i);
		if (code == 0)
			cr_expect_eq(stats.verdicts[cases[i].verdict], 1, "case %zu", i);
	}
	unlink(path);
}
