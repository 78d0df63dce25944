// SPDX-License-Identifier: Apache-2.0
// What control asks the workers about their flows: answers are whole and right, under traffic too,
// and nobody is left waiting when a question is taken back or the engine stops.
#include "culvert/packet/query.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../support/lib/rig_client.h"
#include "../support/lib/rig_traffic.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
	VIP = 0x0a010064,
	AWAIT_MS = 60000,
};

static const int layouts[] = {WORKERS_INLINE, 1, 3};

static int wake_fd; // outlives every thread that may still ring it

static void open_bell(void)
{
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	cr_assert_geq(wake_fd, 0);
}

static void close_bell(void)
{
	close(wake_fd);
}

TestSuite(query, .init = open_bell, .fini = close_bell, .timeout = 120);

static void build_scene(struct scene *scene, int workers)
{
	scene_init(scene, "10.2.0.1");
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "10.2.0.21:8080", 1);
	scene_add_backend(scene, web, "two", "10.2.0.22:8080", 1);
	scene_add_frontend(scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene_add_frontend(scene, "10.1.0.100:81", web, HASH_5_TUPLE);
	scene->config->passthrough.workers = workers;
	scene->config->passthrough.nat_port_min = 20000;
	scene->config->passthrough.nat_port_max = 29999;
	scene->config->passthrough.connection_tracker_capacity = 20000;
	scene_build(scene);
}

static struct frame_spec from_client(uint32_t number, uint8_t flags)
{
	struct frame_spec spec = rig_client_segment(number, VIP, flags);
	spec.dst_port = (uint16_t)(80 + number % 2);
	return spec;
}

static void open_flows(struct rig *rig, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct frame_spec syn = from_client(i, TCP_FLAG_SYN);
		rig_client_push(rig, SCENE_FRONT, &syn);
		if (i % 200 == 199)
			rig_settle(rig);
	}
	rig_settle(rig);
}

static struct query *make_query(const struct rig *rig, uint32_t limit)
{
	struct query *query = query_create(engine_n_tables(rig->engine), limit);
	cr_assert_not_null(query);
	query->wake_fd = wake_fd;
	return query;
}

// A bell that is rung late is about the question before.
static void await_answer(const struct query *query)
{
	struct pollfd bell = {.fd = wake_fd, .events = POLLIN};
	uint64_t rung;
	while (!query_is_done(query)) {
		cr_assert_eq(poll(&bell, 1, AWAIT_MS), 1, "nobody answers");
		(void)!read(wake_fd, &rung, sizeof(rung));
	}
}

static uint64_t n_matched(const struct query *query)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < query->n_parts; i++)
		sum += query->parts[i].n_matched;
	return sum;
}

static uint32_t n_rows(const struct query *query)
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < query->n_parts; i++)
		sum += query->parts[i].n_rows;
	return sum;
}

// How many flows match; every row has to.
static uint64_t count(struct rig *rig, const struct query_filter *filter)
{
	struct query *query = make_query(rig, 20000);
	query->filter = *filter;
	engine_ask(rig->engine, query);
	await_answer(query);
	uint64_t n = n_matched(query);
	cr_expect_eq(n_rows(query), n);
	for (uint32_t i = 0; i < query->n_parts; i++) {
		for (uint32_t k = 0; k < query->parts[i].n_rows; k++) {
			const struct flow_row *row = &query->parts[i].rows[k];
			cr_expect(query_matches(filter, &row->client, row->frontend, row->backend));
			cr_expect_str_eq(row->state, "syn_sent");
			cr_expect_eq(row->bytes_tx, 40);
			cr_expect_geq(ntohs(row->nat.port_be), 20000);
		}
	}
	query_destroy(query);
	return n;
}

static struct query_filter any(void)
{
	return (struct query_filter){.backend = QUERY_ANY, .frontend = QUERY_ANY};
}

Test(query, finds_the_flows_that_match_and_no_others)
{
	enum { N_FLOWS = 1200 };
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		struct query_filter filter = any();
		build_scene(&scene, layouts[i]);
		rig_start(&rig, &scene);
		cr_expect_eq(count(&rig, &filter), 0);
		open_flows(&rig, N_FLOWS);
		cr_expect_eq(count(&rig, &filter), N_FLOWS);
		filter.frontend = 1;
		cr_expect_eq(count(&rig, &filter), N_FLOWS / 2);
		filter = any();
		filter.backend = 0;
		uint64_t n_first = count(&rig, &filter);
		filter.backend = 1;
		cr_expect_gt(n_first, 0);
		cr_expect_eq(count(&rig, &filter), N_FLOWS - n_first);
		filter = any();
		filter.has_client = true;
		filter.client = ip_addr_from_v4(htonl(RIG_CLIENT + 7));
		cr_expect_eq(count(&rig, &filter), 1);
		filter.client_port_be = htons(RIG_CLIENT_PORT);
		cr_expect_eq(count(&rig, &filter), 1);
		filter.client_port_be = htons(RIG_CLIENT_PORT + 1);
		cr_expect_eq(count(&rig, &filter), 0);
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

Test(query, counts_beyond_its_limit)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		build_scene(&scene, layouts[i]);
		rig_start(&rig, &scene);
		open_flows(&rig, 1000);
		struct query *query = make_query(&rig, 10);
		engine_ask(rig.engine, query);
		await_answer(query);
		cr_expect_eq(n_matched(query), 1000);
		cr_expect_eq(n_rows(query), 10 * query->n_parts);
		query_destroy(query);
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

// ---- one flow ----------------------------------------------------------------------------------

static struct query *ask_for(struct rig *rig, uint32_t number, uint16_t frontend)
{
	struct query *query = make_query(rig, 1);
	query->is_for_one = true;
	query->proto = IPPROTO_TCP;
	query->filter.has_client = true;
	query->filter.client = ip_addr_from_v4(htonl(RIG_CLIENT + number));
	query->filter.client_port_be = htons(RIG_CLIENT_PORT);
	query->filter.frontend = frontend;
	engine_ask(rig->engine, query);
	await_answer(query);
	return query;
}

static const struct flow_row *only_row(const struct query *query)
{
	for (uint32_t i = 0; i < query->n_parts; i++) {
		if (query->parts[i].n_rows)
			return &query->parts[i].rows[0];
	}
	return NULL;
}

Test(query, finds_a_client_s_flow_where_its_packets_go)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		build_scene(&scene, layouts[i]);
		rig_start(&rig, &scene);
		open_flows(&rig, 200);
		for (uint32_t number = 0; number < 300; number++) {
			struct query *query = ask_for(&rig, number, number % 2);
			const struct flow_row *row = only_row(query);
			cr_assert_eq(row != NULL, number < 200, "client %u", number);
			if (row) {
				cr_expect_eq(row->frontend, number % 2);
				cr_expect(ip_addr_equal(&row->client.addr, &query->filter.client));
				cr_expect_eq(row->prospect, FLOW_GOES_ON);
			}
			query_destroy(query);
			query = ask_for(&rig, number, !(number % 2));
			cr_expect_null(only_row(query));
			query_destroy(query);
		}
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

Test(query, says_what_a_new_connection_of_the_client_finds)
{
	struct scene scene;
	struct rig rig;
	build_scene(&scene, WORKERS_INLINE);
	rig_start(&rig, &scene);
	open_flows(&rig, 1);
	struct query *query = ask_for(&rig, 0, 0);
	uint32_t backend = (uint32_t)only_row(query)->backend;
	query_destroy(query);
	registry_set_up(scene.registry, backend, false);
	rig_publish(&rig);
	query = ask_for(&rig, 0, 0);
	cr_expect_eq(only_row(query)->prospect, FLOW_IS_REPLACED);
	query_destroy(query);
	registry_set_up(scene.registry, backend, true);
	rig_publish(&rig);
	struct frame_spec reset = from_client(0, TCP_FLAG_RST);
	rig_client_push(&rig, SCENE_FRONT, &reset);
	rig_settle(&rig);
	query = ask_for(&rig, 0, 0);
	cr_expect_str_eq(only_row(query)->state, "reset");
	cr_expect_eq(only_row(query)->prospect, FLOW_BEGINS_AGAIN);
	query_destroy(query);
	registry_set_admin(scene.registry, backend, ADMIN_DRAIN);
	rig_publish(&rig);
	query = ask_for(&rig, 0, 0);
	cr_expect_eq(only_row(query)->prospect, FLOW_IS_REPLACED);
	query_destroy(query);
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
}

// ---- disturbance -------------------------------------------------------------------------------

Test(query, is_answered_under_traffic_and_while_snapshots_change)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		struct rig_traffic traffic;
		build_scene(&scene, layouts[i]);
		rig_start(&rig, &scene);
		rig_traffic_start(&traffic, &rig, from_client);
		for (uint32_t n = 0; n < 100; n++) {
			struct query *query = make_query(&rig, 50);
			engine_ask(rig.engine, query);
			registry_set_up(scene.registry, 0, n % 3 != 0);
			rig_publish(&rig);
			if (n % 4 == 0)
				query_cancel(query);
			await_answer(query);
			for (uint32_t k = 0; k < query->n_parts; k++)
				cr_expect_leq(query->parts[k].n_rows, 50);
			query_destroy(query);
			query_destroy(ask_for(&rig, n, n % 2));
		}
		rig_traffic_stop(&traffic);
		rig_settle(&rig);
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

Test(query, may_be_under_way_when_the_engine_stops)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		for (int round = 0; round < 10; round++) {
			struct scene scene;
			struct rig rig;
			struct rig_traffic traffic;
			build_scene(&scene, layouts[i]);
			rig_start(&rig, &scene);
			rig_traffic_start(&traffic, &rig, from_client);
			cr_assert(mem_io_await_sent(rig.io, 1 + (uint64_t)round * 50));
			struct query *query = make_query(&rig, 100);
			engine_ask(rig.engine, query);
			engine_stop(rig.engine);
			rig_traffic_stop(&traffic);
			cr_expect_null(rig_stop(&rig));
			query_destroy(query);
			scene_fini(&scene);
		}
	}
}
