// SPDX-License-Identifier: Apache-2.0
// What the packet path tells the flow log of connections: each beginning and end once, with where
// it went and how it was, and nothing of what was never one.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <sched.h>
#include <string.h>

#include "../support/lib/rig_client.h"
#include "culvert/base/clock.h"
#include "culvert/flow/flow_end.h"
#include "culvert/flow/flow_journal.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { VIP = 0x0a010064, PATIENCE_S = 60, RECORDS_MAX = 8, SEGMENT_BYTES = 40 };

static const int layouts[] = {WORKERS_INLINE, 1, 3};

struct bench {
	struct scene scene;
	struct rig rig;
	struct flow_record
		records[RECORDS_MAX]; // in no certain order, where there are several workers
	uint32_t n_records;
};

static void build(struct bench *bench, int workers)
{
	*bench = (struct bench){0};
	scene_init(&bench->scene, "10.2.0.1");
	size_t web = scene_add_pool(&bench->scene, "web", IPPROTO_TCP);
	size_t dns = scene_add_pool(&bench->scene, "dns", IPPROTO_UDP);
	scene_add_backend(&bench->scene, web, "one", "10.2.0.21:80", 1);
	scene_add_backend(&bench->scene, dns, "two", "10.2.0.22:80", 1);
	scene_add_frontend(&bench->scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene_add_frontend(&bench->scene, "10.1.0.100:80", dns, HASH_5_TUPLE);
	bench->scene.config->passthrough.workers = workers;
	bench->scene.config->flow_log.path = strdup("/nobody/writes/it");
}

static void begin(struct bench *bench)
{
	scene_build(&bench->scene);
	rig_start(&bench->rig, &bench->scene);
}

static void end(struct bench *bench)
{
	const char *wrong = rig_stop(&bench->rig);
	cr_expect_null(wrong, "%s", wrong);
	scene_fini(&bench->scene);
}

static void take_records(struct bench *bench)
{
	uint32_t n_workers = engine_n_workers(bench->rig.engine);
	for (uint32_t i = 0; i < (n_workers ? n_workers : 1); i++) {
		struct flow_journal *journal = engine_flow_journal(bench->rig.engine, i);
		struct flow_record *record;
		while (flow_journal_take(journal, &record, 1)) {
			cr_assert_lt(bench->n_records, RECORDS_MAX);
			bench->records[bench->n_records++] = *record;
			flow_journal_give_back(journal, &record, 1);
		}
	}
}

static void await_records(struct bench *bench, uint32_t n)
{
	uint64_t deadline_ns = clock_now_ns() + PATIENCE_S * NS_PER_SEC;
	for (take_records(bench); bench->n_records < n; take_records(bench)) {
		cr_assert_lt(clock_now_ns(), deadline_ns, "%u records", bench->n_records);
		sched_yield();
	}
	cr_assert_eq(bench->n_records, n);
}

static void say(struct bench *bench, uint32_t number, uint8_t flags)
{
	rig_client_say(&bench->rig, number, VIP, flags);
	rig_settle(&bench->rig);
}

static void send_datagram(struct bench *bench, uint32_t number)
{
	struct frame_spec datagram = rig_client_segment(number, VIP, 0);
	datagram.proto = IPPROTO_UDP;
	rig_client_push(&bench->rig, SCENE_FRONT, &datagram);
	rig_settle(&bench->rig);
}

static void expect_about(const struct flow_record *record, uint32_t number, uint8_t proto)
{
	struct ip_addr client = ip_addr_from_v4(htonl(RIG_CLIENT + number));
	cr_expect(ip_addr_equal(&record->client, &client));
	cr_expect_eq(ntohs(record->client_port_be), RIG_CLIENT_PORT);
	cr_expect_eq(record->proto, proto);
	cr_expect_eq(record->frontend, proto == IPPROTO_UDP);
	cr_expect_eq(record->backend, proto == IPPROTO_UDP);
	cr_expect(record->has_backend);
}

Test(engine_flow_log, a_connection_is_told_from_its_handshake_to_its_reset, .timeout = 120)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct bench bench;
		struct ip_addr own;
		build(&bench, layouts[i]);
		bench.scene.config->flow_log.starts = true;
		begin(&bench);
		rig_client_establish(&bench.rig, 7, 1, VIP);
		await_records(&bench, 1);
		const struct flow_record *start = &bench.records[0];
		expect_about(start, 7, IPPROTO_TCP);
		cr_expect(start->is_start);
		cr_expect_eq(start->bytes_tx + start->bytes_rx, 0);
		rig_move_clock(&bench.rig, 5);
		say(&bench, 7, TCP_FLAG_RST);
		rig_move_clock(&bench.rig, bench.scene.config->timeouts.tcp_reset + 1);
		await_records(&bench, 2);
		const struct flow_record *over = &bench.records[1];
		expect_about(over, 7, IPPROTO_TCP);
		cr_expect_not(over->is_start);
		cr_expect_str_eq(flow_end_name(over->end), "client_reset");
		cr_expect_eq(over->end_ms - over->start_ms, 5000, "not when it is forgotten");
		cr_expect_eq(over->bytes_tx, UINT64_C(3) * SEGMENT_BYTES);
		cr_expect_eq(over->bytes_rx, SEGMENT_BYTES);
		cr_assert(ip_addr_parse("10.2.0.1", &own));
		cr_expect(ip_addr_equal(&over->nat, &own));
		cr_expect(over->nat_port >= 40000 && over->nat_port <= 40999);
		end(&bench);
	}
}

// A handshake and a datagram that nobody answers.
static void open_half(struct bench *bench, bool has_half_open)
{
	build(bench, WORKERS_INLINE);
	bench->scene.config->flow_log.starts = true;
	bench->scene.config->flow_log.half_open = has_half_open;
	begin(bench);
	say(bench, 1, TCP_FLAG_SYN);
	send_datagram(bench, 2);
	rig_move_clock(&bench->rig, 1000);
}

Test(engine_flow_log, what_was_never_a_connection_is_told_on_demand, .timeout = 120)
{
	struct bench bench;
	open_half(&bench, true);
	await_records(&bench, 2);
	for (int i = 0; i < 2; i++) {
		const struct flow_record *record = &bench.records[i];
		bool is_udp = record->proto == IPPROTO_UDP;
		expect_about(record, is_udp ? 2 : 1, is_udp ? IPPROTO_UDP : IPPROTO_TCP);
		cr_expect_str_eq(flow_end_name(record->end), "unanswered");
	}
	cr_expect_neq(bench.records[0].proto, bench.records[1].proto);
	end(&bench);
	open_half(&bench, false);
	rig_client_establish(&bench.rig, 3, 1, VIP);
	await_records(&bench, 1); // they would have come before it
	expect_about(&bench.records[0], 3, IPPROTO_TCP);
	end(&bench);
}

Test(engine_flow_log, what_lives_when_the_engine_stops_ends_by_that, .timeout = 120)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct bench bench;
		build(&bench, layouts[i]);
		begin(&bench);
		rig_client_establish(&bench.rig, 0, 4, VIP);
		say(&bench, 9, TCP_FLAG_SYN);
		engine_stop(bench.rig.engine);
		engine_end_flows(bench.rig.engine);
		await_records(&bench, 4);
		for (uint32_t k = 0; k < 4; k++) {
			cr_expect_str_eq(flow_end_name(bench.records[k].end), "shutdown");
			cr_expect_not(bench.records[k].is_start);
		}
		end(&bench);
	}
}

// Answers go past this host: it counts none, has no port of its own, and cannot tell a datagram
// that was answered from one that was not.
Test(engine_flow_log, dsr_knows_of_the_client_s_half_alone, .timeout = 120)
{
	struct bench bench;
	build(&bench, WORKERS_INLINE);
	bench.scene.config->mode = MODE_DSR;
	bench.scene.config->dsr.method = DSR_L2;
	begin(&bench);
	say(&bench, 1, TCP_FLAG_SYN);
	say(&bench, 1, TCP_FLAG_ACK);
	send_datagram(&bench, 2);
	engine_stop(bench.rig.engine);
	engine_end_flows(bench.rig.engine);
	await_records(&bench, 2);
	for (int i = 0; i < 2; i++) {
		const struct flow_record *record = &bench.records[i];
		bool is_udp = record->proto == IPPROTO_UDP;
		expect_about(record, is_udp ? 2 : 1, is_udp ? IPPROTO_UDP : IPPROTO_TCP);
		cr_expect_eq(record->nat_port, 0);
		cr_expect_gt(record->bytes_tx, 0);
		cr_expect_eq(record->bytes_rx, 0);
	}
	end(&bench);
}
