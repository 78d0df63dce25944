// SPDX-License-Identifier: Apache-2.0
// Two workers see the same connections begin, speak, end and be forgotten, at random; one of them
// has a fast path, and sees only what does not go there. Both must know the same at any time.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/flow_check.h"
#include "lib/fast_lab.h"

enum {
	A = TCP_FLAG_ACK,
	N_CLIENTS = 24,
	N_STEPS = 4000,
	N_SEEDS = 3,
	CHECK_EVERY = 16,
	FEW_SLOTS = 16, // fewer than clients
	REST_MS = 1000,
};

struct pair {
	struct fast_lab fast;
	struct fast_lab plain;
	struct fast_lab_client clients[N_CLIENTS];
	struct fast_lab_client twins[N_CLIENTS]; // in `plain`
	uint64_t n_passed;                       // by the kernel
	uint64_t n_resets;
	uint64_t random;
};

static uint32_t random_below(struct pair *pair, uint32_t n)
{
	pair->random = pair->random * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)((pair->random >> 33) % n);
}

static void open_pair(struct pair *pair, enum fast_lab_way way, uint64_t seed)
{
	uint32_t n_ways = way == FAST_LAB_NAT ? N_FLOW_DIRS : 1;
	struct fast_lab_params few = {.n_workers = FAST_ENTRIES / n_ways / FEW_SLOTS};
	struct fast_lab_params none = {.has_none = true};
	*pair = (struct pair){.random = seed};
	fast_lab_init(&pair->fast, way);
	fast_lab_open(&pair->fast, &few);
	fast_lab_init(&pair->plain, way);
	fast_lab_open(&pair->plain, &none);
	for (uint32_t i = 0; i < N_CLIENTS; i++) {
		pair->clients[i] =
			fast_lab_client(&pair->fast, i, i % 3 ? IPPROTO_TCP : IPPROTO_UDP, i % 2);
		pair->twins[i] = pair->clients[i];
	}
}

// ---- what happens -------------------------------------------------------------------------------

// Both have to send the same, or both nothing.
static void say(struct pair *pair, uint32_t i, enum flow_dir dir, uint8_t flags, uint32_t len)
{
	bool is_sent = fast_lab_say(&pair->fast, &pair->clients[i], dir, flags, len);
	cr_assert_eq(fast_lab_say(&pair->plain, &pair->twins[i], dir, flags, len), is_sent);
}

static bool has_flow(const struct pair *pair, uint32_t i)
{
	return pair->clients[i].specs[FROM_BACKEND].src_port != 0;
}

static void begin(struct pair *pair, uint32_t i)
{
	if (pair->clients[i].is_udp) {
		say(pair, i, FROM_CLIENT, 0, 10);
		return;
	}
	say(pair, i, FROM_CLIENT, TCP_FLAG_SYN, 0);
	if (!has_flow(pair, i) || random_below(pair, 8) == 0)
		return;
	if (pair->fast.is_dsr) {
		pair->clients[i].next[FROM_BACKEND]++;
		pair->twins[i].next[FROM_BACKEND]++;
	} else {
		say(pair, i, FROM_BACKEND, TCP_FLAG_SYN | A, 0);
	}
	say(pair, i, FROM_CLIENT, A, 0);
}

static enum flow_dir any_side(struct pair *pair)
{
	return pair->fast.is_dsr ? FROM_CLIENT : (enum flow_dir)random_below(pair, N_FLOW_DIRS);
}

// The kernel takes it where it would, and the worker where not.
static void speak(struct pair *pair, uint32_t i)
{
	enum flow_dir dir = any_side(pair);
	uint32_t len = random_below(pair, 1000);
	if (!has_flow(pair, i))
		return;
	if (!fast_lab_pass(&pair->fast, &pair->clients[i], dir, len)) {
		say(pair, i, dir, A, len);
		return;
	}
	pair->n_passed++;
	cr_assert(fast_lab_say(&pair->plain, &pair->twins[i], dir, A, len));
}

static void end(struct pair *pair, uint32_t i)
{
	static const uint8_t ends[] = {TCP_FLAG_FIN | A, TCP_FLAG_RST, TCP_FLAG_RST | A};
	if (has_flow(pair, i))
		say(pair, i, any_side(pair), ends[random_below(pair, sizeof(ends))], 0);
}

static void move_ms(struct pair *pair, uint32_t ms)
{
	// A timer that is set in a round would be late by the time between two.
	fast_path_catch_up_all(&pair->fast.pump.worker);
	fast_lab_move_ms(&pair->fast, ms);
	fast_lab_move_ms(&pair->plain, ms);
}

static void publish(struct pair *pair)
{
	fast_lab_publish(&pair->fast);
	fast_lab_publish(&pair->plain);
}

static void set_mac(struct fast_lab *lab, uint32_t backend, uint8_t last)
{
	struct snapshot_hop hop = registry_backend(lab->scene.registry, backend)->hop;
	bool is_v4 = ip_addr_is_v4(&registry_backend(lab->scene.registry, backend)->endpoint.addr);
	hop.mac.bytes[5] = last;
	registry_set_hop(lab->scene.registry, backend, &hop, lab->is_dsr || is_v4 ? 1 : 2);
}

// Both reset the same clients, with the same numbers.
static void expect_same_resets(struct pair *pair)
{
	struct mem_frame *a;
	struct mem_frame *b;
	pump_round(&pair->fast.pump);
	pump_round(&pair->plain.pump);
	while ((a = mem_io_take(pair->fast.pump.io))) {
		b = mem_io_take(pair->plain.pump.io);
		cr_assert_not_null(b);
		cr_assert_eq(a->len, b->len);
		cr_assert_arr_eq(a->bytes, b->bytes, a->len);
		pair->n_resets++;
		free(a);
		free(b);
	}
	cr_assert_null(mem_io_take(pair->plain.pump.io));
}

static void change_network(struct pair *pair)
{
	uint32_t backend = random_below(pair, registry_n_backends(pair->fast.scene.registry));
	uint8_t last = (uint8_t)random_below(pair, 3);
	bool is_up = random_below(pair, 4);
	set_mac(&pair->fast, backend, last);
	set_mac(&pair->plain, backend, last);
	registry_set_up(pair->fast.scene.registry, backend, is_up);
	registry_set_up(pair->plain.scene.registry, backend, is_up);
	publish(pair);
	expect_same_resets(pair);
}

static void move_client(struct pair *pair, uint32_t i)
{
	uint8_t last = (uint8_t)random_below(pair, 3);
	pair->clients[i].specs[FROM_CLIENT].src_mac.bytes[5] = last;
	pair->twins[i].specs[FROM_CLIENT].src_mac.bytes[5] = last;
}

static void step(struct pair *pair)
{
	uint32_t i = random_below(pair, N_CLIENTS);
	uint32_t what = random_below(pair, 1000);
	if (what < 80)
		begin(pair, i);
	else if (what < 100)
		end(pair, i);
	else if (what < 110)
		move_client(pair, i);
	else if (what < 115)
		publish(pair);
	else if (what < 120)
		change_network(pair);
	else if (what < 200)
		move_ms(pair, random_below(pair, 500));
	else if (what < 203)
		move_ms(pair, 1000 * random_below(pair, 200));
	else
		speak(pair, i);
}

// ---- what must hold -----------------------------------------------------------------------------

static void expect_same_flows(struct pair *pair)
{
	const struct flow_table *fast = pair->fast.pump.worker.flows;
	const struct flow_table *plain = pair->plain.pump.worker.flows;
	fast_path_catch_up_all(&pair->fast.pump.worker);
	cr_assert_eq(fast->n_fresh, plain->n_fresh);
	for (uint32_t i = 1; i <= fast->n_fresh; i++) {
		const struct flow *a = &fast->flows[i];
		const struct flow *b = &plain->flows[i];
		cr_assert_eq(a->state, b->state);
		if (a->state == FLOW_FREE)
			continue;
		cr_assert(ip_addr_equal(&a->client, &b->client));
		cr_assert_eq(a->nat_port, b->nat_port);
		cr_assert_eq(a->marks, b->marks);
		cr_assert_eq(a->expires, b->expires);
		cr_assert_eq(a->client_next, b->client_next);
		cr_assert_eq(a->backend_next, b->backend_next);
		cr_assert_eq(a->bytes_tx, b->bytes_tx);
		cr_assert_eq(a->bytes_rx, b->bytes_rx);
		cr_assert_arr_eq(a->client_mac.bytes, b->client_mac.bytes, 6);
	}
}

static void expect_same_traffic(const struct traffic_counters *a, const struct traffic_counters *b,
				uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct traffic sum_a = {0};
		struct traffic sum_b = {0};
		traffic_gather(&sum_a, &a[i]);
		traffic_gather(&sum_b, &b[i]);
		cr_assert_eq(memcmp(&sum_a, &sum_b, sizeof(sum_a)), 0);
	}
}

static void check(struct pair *pair)
{
	const struct worker *fast = &pair->fast.pump.worker;
	const struct worker *plain = &pair->plain.pump.worker;
	expect_same_flows(pair);
	expect_same_traffic(fast->flows->frontends, plain->flows->frontends,
			    fast->flows->params.n_frontends);
	expect_same_traffic(fast->flows->backends, plain->flows->backends,
			    fast->flows->params.n_backends);
	cr_assert_eq(counter_read(&fast->fast.ledger.received), pair->n_passed);
	const char *wrong = flow_check(fast->flows);
	cr_assert_null(wrong, "%s", wrong);
	wrong = fast_lab_check(&pair->fast);
	cr_assert_null(wrong, "%s", wrong);
}

static void end_all(struct pair *pair)
{
	struct flow_table *table = pair->fast.pump.worker.flows;
	for (uint32_t i = 1; i <= table->n_fresh; i++) {
		if (table->flows[i].state != FLOW_FREE)
			flow_table_end(table, i, FLOW_REMOVED);
	}
	fast_lab_move_ms(&pair->fast, REST_MS);
	fast_lab_move_ms(&pair->fast, REST_MS);
	cr_expect(fast_lab_is_empty(&pair->fast));
	cr_expect_eq(counter_read(&pair->fast.pump.worker.fast.ledger.received), pair->n_passed);
}

static void run(enum fast_lab_way way)
{
	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		struct pair pair;
		open_pair(&pair, way, seed);
		for (int i = 0; i < N_STEPS; i++) {
			step(&pair);
			if (i % CHECK_EVERY == 0)
				check(&pair);
		}
		check(&pair);
		cr_expect_gt(pair.n_passed, N_STEPS / 10, "the kernel has had next to nothing");
		cr_expect_gt(pair.n_resets, 0);
		end_all(&pair);
		fast_lab_close(&pair.fast);
		fast_lab_close(&pair.plain);
	}
}

Test(fast_path_random, both_know_the_same_when_addresses_are_translated, .timeout = 300)
{
	run(FAST_LAB_NAT);
}

Test(fast_path_random, both_know_the_same_when_backends_answer_past_us, .timeout = 300)
{
	run(FAST_LAB_DSR_NAT);
}

Test(fast_path_random, both_know_the_same_when_packets_are_sent_on_unchanged, .timeout = 300)
{
	run(FAST_LAB_DSR_L2);
}
