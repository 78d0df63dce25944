// SPDX-License-Identifier: Apache-2.0
// The packet path while configurations take each other's place: flows of what was removed go on,
// are ended when the time is over, and leave nothing to who gets the slot.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../support/lib/rig_client.h"
#include "../support/lib/scene_words.h"
#include "culvert/packet/engine.h"

#define SECOND UINT64_C(1000000000)

enum { VIP = 0x0a010001, OTHER_VIP = 0x0a010002 };

static const int layouts[] = {WORKERS_INLINE, 1, 3};

struct bench {
	struct scene scene;
	struct rig rig;
	struct err err;
};

static void set_up(struct scene *scene, const char *words, int workers)
{
	scene_init(scene, "10.2.0.1");
	scene_add_words(scene, words);
	scene->config->passthrough.workers = workers;
	scene->config->passthrough.nat_port_min = 20000;
	scene->config->passthrough.nat_port_max = 29999;
	scene->config->passthrough.connection_tracker_capacity = 20000;
	scene->config->reload.drain_timeout_ms = 10000;
}

static void begin(struct bench *bench, const char *words, int workers)
{
	set_up(&bench->scene, words, workers);
	scene_build(&bench->scene);
	rig_start(&bench->rig, &bench->scene);
}

static void end(struct bench *bench)
{
	const char *wrong = rig_stop(&bench->rig);
	cr_expect_null(wrong, "%s", wrong);
	scene_fini(&bench->scene);
}

// What is new can be reached, and is up.
static void reload(struct bench *bench, const char *words)
{
	struct scene next;
	struct registry *registry = bench->scene.registry;
	set_up(&next, words, WORKERS_INLINE);
	cr_assert_eq(registry_apply(registry, next.config, SECOND, &bench->err), 0, "%s",
		     bench->err.message);
	config_unref(next.config);
	for (uint32_t i = 0; i < registry_n_backends(registry); i++) {
		const struct snapshot_backend *backend = registry_backend(registry, i);
		if (!backend->config || backend->hop.state == HOP_READY)
			continue;
		struct snapshot_hop hop = {
			.state = HOP_READY,
			.link = SCENE_BACK,
			.mac = frame_mac_of(&backend->endpoint.addr),
		};
		registry_set_hop(registry, i, &hop, 1);
		registry_set_up(registry, i, true);
	}
	rig_publish(&bench->rig);
}

static struct traffic backend_traffic(struct bench *bench, uint32_t slot)
{
	struct packet_stats stats;
	cr_assert_eq(engine_stats(bench->rig.engine, &stats), 0);
	struct traffic traffic = stats.backends[slot];
	packet_stats_fini(&stats);
	return traffic;
}

static struct traffic frontend_traffic(struct bench *bench, uint32_t slot)
{
	struct packet_stats stats;
	cr_assert_eq(engine_stats(bench->rig.engine, &stats), 0);
	struct traffic traffic = stats.frontends[slot];
	packet_stats_fini(&stats);
	return traffic;
}

static uint64_t count_verdict(struct bench *bench, enum verdict verdict)
{
	struct packet_stats stats;
	cr_assert_eq(engine_stats(bench->rig.engine, &stats), 0);
	uint64_t n = stats.verdicts[verdict];
	packet_stats_fini(&stats);
	return n;
}

static uint64_t live_of(struct bench *bench, uint32_t backend)
{
	return backend_traffic(bench, backend).current_connections;
}

static uint64_t users_of(struct bench *bench, uint32_t backend)
{
	return engine_backend_users(bench->rig.engine, backend);
}

// Publishing wakes the worker, however long it takes to come to it.
static void await_count(struct bench *bench, uint64_t (*count)(struct bench *, uint32_t),
			uint32_t backend, uint64_t n)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	for (int i = 0; i < 30000 && count(bench, backend) != n; i++) {
		rig_publish(&bench->rig);
		nanosleep(&pause, NULL);
	}
	cr_assert_eq(count(bench, backend), n);
}

// All but `n` flows are ended, and those that were reset have lingered.
static void await_users(struct bench *bench, uint32_t backend, uint64_t n)
{
	await_count(bench, live_of, backend, n);
	rig_move_clock(&bench->rig, 11);
	await_count(bench, users_of, backend, n);
}

static uint64_t has_generated(struct bench *bench, uint32_t backend)
{
	(void)backend;
	struct packet_stats stats;
	cr_assert_eq(engine_stats(bench->rig.engine, &stats), 0);
	bool has = stats.generated > 0;
	packet_stats_fini(&stats);
	return has;
}

Test(engine_reload, a_removed_backend_keeps_its_flows_and_gets_no_other, .timeout = 120)
{
	enum { N = 100 };
	for (size_t i = 0; i < 3; i++) {
		struct bench bench = {0};
		begin(&bench, "web=a:10.2.0.21,b:10.2.0.22 @10.1.0.1>web", layouts[i]);
		rig_client_establish(&bench.rig, 0, N, VIP);
		uint64_t n_kept = backend_traffic(&bench, 0).current_connections;
		cr_expect_gt(n_kept, 0);
		reload(&bench, "web=b:10.2.0.22,c:10.2.0.23 @10.1.0.1>web");
		rig_client_establish(&bench.rig, N, N, VIP);
		cr_expect_eq(backend_traffic(&bench, 0).total_connections, n_kept);
		cr_expect_gt(backend_traffic(&bench, 2).total_connections, 0);
		uint64_t n_forwarded = count_verdict(&bench, VERDICT_FORWARDED);
		for (uint32_t k = 0; k < N; k++)
			rig_client_say(&bench.rig, k, VIP, TCP_FLAG_ACK);
		rig_settle(&bench.rig);
		cr_expect_eq(count_verdict(&bench, VERDICT_FORWARDED), n_forwarded + N);
		cr_expect_eq(engine_backend_users(bench.rig.engine, 0), n_kept);
		end(&bench);
	}
}

Test(engine_reload, when_its_time_is_over_its_clients_are_reset, .timeout = 120)
{
	enum { N = 300 };
	for (size_t i = 0; i < 3; i++) {
		struct bench bench = {0};
		struct registry *registry;
		begin(&bench, "web=a:10.2.0.21,b:10.2.0.22 @10.1.0.1>web", layouts[i]);
		registry = bench.scene.registry;
		rig_client_establish(&bench.rig, 0, N, VIP);
		for (uint32_t k = N; k < N + 50; k++) // some are in the handshake
			rig_client_say(&bench.rig, k, VIP, TCP_FLAG_SYN);
		rig_settle(&bench.rig);
		uint64_t n_live = engine_backend_users(bench.rig.engine, 0);
		reload(&bench, "web=b:10.2.0.22 @10.1.0.1>web");
		cr_assert(registry_end_drains(registry, 100 * SECOND));
		rig_publish(&bench.rig);
		await_users(&bench, 0, 0);
		cr_expect_gt(n_live, 0);
		await_count(&bench, has_generated, 0, true); // the thread that sends counts
		// Another gets the slot, and begins to count.
		uint64_t n_opened = backend_traffic(&bench, 0).total_connections;
		struct traffic counted;
		cr_expect_gt(n_opened, 0);
		engine_forget_backend(bench.rig.engine, 0, &counted);
		cr_expect_eq(counted.total_connections, n_opened);
		cr_expect_eq(counted.current_connections + counted.held_connections, 0);
		registry_give_back_backend(registry, 0);
		reload(&bench, "web=b:10.2.0.22,n:10.2.0.24 @10.1.0.1>web");
		cr_expect_str_eq(registry_backend(registry, 0)->config->name, "n");
		struct traffic traffic = backend_traffic(&bench, 0);
		cr_expect_eq(traffic.total_connections + traffic.bytes_tx + traffic.packets_rx, 0);
		rig_client_establish(&bench.rig, 1000, 100, VIP);
		traffic = backend_traffic(&bench, 0);
		cr_expect(traffic.total_connections > 0 && traffic.total_connections < 100);
		end(&bench);
	}
}

Test(engine_reload, a_removed_frontend_keeps_its_flows_until_its_time_is_over, .timeout = 120)
{
	enum { N = 100 };
	for (size_t i = 0; i < 3; i++) {
		struct bench bench = {0};
		struct registry *registry;
		begin(&bench, "web=a:10.2.0.21 @10.1.0.1>web @10.1.0.2>web", layouts[i]);
		registry = bench.scene.registry;
		rig_client_establish(&bench.rig, 0, N, VIP);
		rig_client_establish(&bench.rig, N, N, OTHER_VIP);
		reload(&bench, "web=a:10.2.0.21 @10.1.0.1>web");
		uint64_t n_refused = count_verdict(&bench, VERDICT_DROP_NO_BACKEND);
		rig_client_say(&bench.rig, 2 * N, OTHER_VIP, TCP_FLAG_SYN);
		rig_client_say(&bench.rig, N, OTHER_VIP, TCP_FLAG_ACK);
		rig_settle(&bench.rig);
		cr_expect_eq(count_verdict(&bench, VERDICT_DROP_NO_BACKEND), n_refused + 1);
		cr_expect_eq(engine_frontend_users(bench.rig.engine, 1), N);
		cr_assert(registry_end_drains(registry, 100 * SECOND));
		rig_publish(&bench.rig);
		await_users(&bench, 0, N);
		cr_expect_eq(engine_frontend_users(bench.rig.engine, 1), 0);
		cr_expect_eq(engine_frontend_users(bench.rig.engine, 0), N);
		uint64_t n_passed = count_verdict(&bench, VERDICT_PASSED);
		rig_client_say(&bench.rig, N, OTHER_VIP, TCP_FLAG_ACK);
		rig_settle(&bench.rig);
		cr_expect_eq(count_verdict(&bench, VERDICT_PASSED), n_passed + 1, "the kernel's");
		cr_expect_eq(frontend_traffic(&bench, 1).total_connections, N);
		engine_forget_frontend(bench.rig.engine, 1);
		cr_expect_eq(frontend_traffic(&bench, 1).total_connections, 0);
		cr_expect_eq(frontend_traffic(&bench, 1).bytes_tx, 0);
		cr_expect_eq(frontend_traffic(&bench, 0).total_connections, N);
		end(&bench);
	}
}

// Nobody looks at what others have freed.
Test(engine_reload, configurations_follow_each_other_under_traffic, .timeout = 120)
{
	static const char *const words[] = {
		"web=a:10.2.0.21,b:10.2.0.22 @10.1.0.1>web",
		"web=b:10.2.0.22 @10.1.0.1>web @10.1.0.2>web",
		"other=c:10.2.0.23 web=b:10.2.0.22,a:10.2.0.21 @10.1.0.1>other",
	};
	for (size_t i = 0; i < 3; i++) {
		struct bench bench = {0};
		begin(&bench, words[0], layouts[i]);
		bench.scene.config->frontends[0].scheduler = SCHEDULER_ROUND_ROBIN;
		for (uint32_t round = 0; round < 300; round++) {
			for (uint32_t k = 0; k < 10; k++)
				rig_client_say(&bench.rig, round * 10 + k, VIP, TCP_FLAG_SYN);
			reload(&bench, words[round % 3]);
			if (round % 7 == 0 &&
			    registry_end_drains(bench.scene.registry, 100 * SECOND))
				rig_publish(&bench.rig);
		}
		rig_settle(&bench.rig);
		cr_expect_gt(count_verdict(&bench, VERDICT_FORWARDED), 0);
		end(&bench);
	}
}

// ---- whatever comes and goes --------------------------------------------------------------------

enum { N_NAMES = 6, N_ROUNDS = 40, N_PER_ROUND = 8, N_ENDED = 5 };

// Some of the backends, never none, in an order of their own.
static const char *choose_words(unsigned *seed, char *words, size_t size)
{
	size_t used = (size_t)snprintf(words, size, "web=");
	unsigned first = (unsigned)rand_r(seed) % N_NAMES;
	unsigned n = 0;
	for (unsigned i = 0; i < N_NAMES; i++) {
		unsigned k = (first + i) % N_NAMES;
		if (n && rand_r(seed) % 2)
			continue;
		used += (size_t)snprintf(words + used, size - used, "%s%c:10.2.0.%u",
					 n++ ? "," : "", (int)('a' + k), 21 + k);
	}
	snprintf(words + used, size - used, " @10.1.0.1>web");
	return words;
}

// As the service does. Returns how many.
static unsigned give_back_drained(struct bench *bench)
{
	struct registry *registry = bench->scene.registry;
	struct traffic counted;
	unsigned n = 0;
	for (uint32_t i = 0; i < registry_n_backends(registry); i++) {
		if (registry_backend(registry, i)->state < SLOT_REMOVED || users_of(bench, i))
			continue;
		engine_forget_backend(bench->rig.engine, i, &counted);
		registry_give_back_backend(registry, i);
		n++;
	}
	rig_publish(&bench->rig);
	return n;
}

static void speak_all(struct bench *bench, uint32_t first, uint32_t end, uint8_t flags)
{
	uint64_t n_forwarded = count_verdict(bench, VERDICT_FORWARDED);
	for (uint32_t k = first; k < end; k++)
		rig_client_say(&bench->rig, k, VIP, flags);
	rig_settle(&bench->rig);
	cr_assert_eq(count_verdict(bench, VERDICT_FORWARDED), n_forwarded + end - first);
}

static void discard_sent(struct bench *bench)
{
	struct mem_frame *sent;
	while ((sent = mem_io_take(bench->rig.io)))
		free(sent);
}

// Backends are removed, come back while they drain and after it, and get the slots of others; those
// who were there first end first.
Test(engine_reload, reloads_at_random_cost_no_connection, .timeout = 240)
{
	for (size_t i = 0; i < 3; i++) {
		struct bench bench = {0};
		struct packet_stats stats;
		char words[256];
		unsigned seed = 7;
		unsigned n_given_back = 0;
		uint32_t first = 0;
		begin(&bench, "web=a:10.2.0.21 @10.1.0.1>web", layouts[i]);
		for (uint32_t round = 0; round < N_ROUNDS; round++) {
			uint32_t end_of_clients = (round + 1) * N_PER_ROUND;
			reload(&bench, choose_words(&seed, words, sizeof(words)));
			rig_client_establish(&bench.rig, end_of_clients - N_PER_ROUND, N_PER_ROUND,
					     VIP);
			speak_all(&bench, first, end_of_clients, TCP_FLAG_ACK);
			speak_all(&bench, first, first + N_ENDED, TCP_FLAG_RST);
			first += N_ENDED;
			rig_move_clock(&bench.rig, 11);
			n_given_back += give_back_drained(&bench);
			discard_sent(&bench);
		}
		cr_expect_gt(n_given_back, 0);
		cr_assert_eq(engine_stats(bench.rig.engine, &stats), 0);
		cr_expect_eq(stats.generated, 0, "nobody is reset");
		cr_expect_eq(stats.verdicts[VERDICT_DROP_BACKEND_DOWN], 0);
		packet_stats_fini(&stats);
		end(&bench);
	}
}
