// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/nat_pool.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct bench {
	struct nat_pool pool;
	uint32_t *owner;
	uint16_t *ring;
};

static void bench_init(struct bench *bench, uint16_t first_port, uint32_t n_ports)
{
	bench->owner = calloc(n_ports + 1, sizeof(*bench->owner));
	bench->ring = calloc(n_ports + 1, sizeof(*bench->ring));
	cr_assert(bench->owner && bench->ring);
	nat_pool_init(&bench->pool, first_port, n_ports, bench->owner, bench->ring);
}

static void bench_fini(struct bench *bench)
{
	free(bench->owner);
	free(bench->ring);
}

static uint32_t random32(void)
{
	return (uint32_t)rand() << 17 ^ (uint32_t)rand();
}

Test(nat_pool, defect_07_gives_every_port_once_until_there_is_none)
{
	static const struct {
		uint16_t first;
		uint32_t n;
	} ranges[] = {{40000, 1}, {40000, 1000}, {1, 65535}, {65535, 1}, {33768, 27233}};
	for (size_t r = 0; r < COUNT(ranges); r++) {
		struct bench bench;
		bench_init(&bench, ranges[r].first, ranges[r].n);
		for (uint32_t i = 1; i <= ranges[r].n; i++) {
			uint16_t port = nat_pool_take(&bench.pool, i, random32(), 0);
			cr_assert(port >= ranges[r].first &&
				  port - ranges[r].first < (int)ranges[r].n);
			cr_assert_eq(nat_pool_owner(&bench.pool, port), i);
		}
		cr_expect_eq(nat_pool_take(&bench.pool, 1, random32(), 0), 0);
		// Nobody's owner was overwritten by a port given twice.
		uint64_t sum = 0;
		for (uint32_t p = 0; p < ranges[r].n; p++)
			sum += bench.owner[p];
		cr_expect_eq(sum, (uint64_t)ranges[r].n * (ranges[r].n + 1) / 2);
		bench_fini(&bench);
	}
}

Test(nat_pool, asks_of_ports_outside_find_nobody)
{
	struct bench bench;
	bench_init(&bench, 40000, 10);
	while (nat_pool_take(&bench.pool, 7, random32(), 0))
		continue;
	cr_expect_eq(nat_pool_owner(&bench.pool, 39999), 0);
	cr_expect_eq(nat_pool_owner(&bench.pool, 40010), 0);
	cr_expect_eq(nat_pool_owner(&bench.pool, 0), 0);
	cr_expect_eq(nat_pool_owner(&bench.pool, 65535), 0);
	cr_expect_eq(nat_pool_owner(&bench.pool, 40009), 7);
	bench_fini(&bench);
}

Test(nat_pool, an_empty_pool_gives_nothing)
{
	struct bench bench;
	bench_init(&bench, 40000, 0);
	cr_expect_eq(nat_pool_take(&bench.pool, 1, 0, 0), 0);
	cr_expect_eq(nat_pool_owner(&bench.pool, 40000), 0);
	bench_fini(&bench);
}

// Taking and giving back at random, against an array of owners.
Test(nat_pool, defect_07_no_port_has_two_owners_however_they_come_and_go)
{
	enum { N = 50, FIRST = 60000, N_ROUNDS = 200000 };
	struct bench bench;
	uint32_t model[N] = {0};
	uint32_t n_taken = 0;
	srand(1);
	bench_init(&bench, FIRST, N);
	for (uint32_t round = 1; round <= N_ROUNDS; round++) {
		uint32_t at = (uint32_t)rand() % N;
		nat_pool_prefetch(&bench.pool, random32(), UINT32_MAX);
		if (rand() % 2) {
			uint16_t port = nat_pool_take(&bench.pool, round, random32(), round / 64);
			cr_assert_eq(port == 0, n_taken == N);
			if (!port)
				continue;
			cr_assert_eq(model[port - FIRST], 0, "port %u is taken", port);
			model[port - FIRST] = round;
			n_taken++;
		} else if (model[at]) {
			nat_pool_give_back(&bench.pool, (uint16_t)(FIRST + at), rand() % 2,
					   round / 64);
			model[at] = 0;
			n_taken--;
		}
		cr_assert_eq(bench.pool.n_free, N - n_taken);
		cr_assert_eq(nat_pool_owner(&bench.pool, (uint16_t)(FIRST + at)), model[at]);
	}
	bench_fini(&bench);
}

// Chi-squared over a pool whose order has been stirred: each port as likely as the other.
Test(nat_pool, ports_are_uniform)
{
	enum { N = 100, N_DRAWS = 200000 };
	struct bench bench;
	uint32_t count[N] = {0};
	double chi = 0;
	srand(2);
	bench_init(&bench, 1000, N);
	for (int i = 0; i < N_DRAWS; i++) {
		uint16_t port = nat_pool_take(&bench.pool, 1, random32(), 0);
		count[port - 1000]++;
		nat_pool_give_back(&bench.pool, port, true, 0);
	}
	for (int i = 0; i < N; i++) {
		double off = (double)count[i] - (double)N_DRAWS / N;
		chi += off * off / ((double)N_DRAWS / N);
	}
	// 99 degrees of freedom: one run in a million would exceed 175.
	cr_expect_lt(chi, 175.0, "%f", chi);
	bench_fini(&bench);
}

Test(nat_pool, the_greatest_random_number_stays_within_the_pool)
{
	struct bench bench;
	bench_init(&bench, 1, 65535);
	cr_expect_eq(nat_pool_take(&bench.pool, 1, UINT32_MAX, 0), 65535);
	cr_expect_eq(nat_pool_take(&bench.pool, 2, 0, 0), 2, "the first one has filled the gap");
	bench_fini(&bench);
}

// ---- rest ---------------------------------------------------------------------------------------

Test(nat_pool, a_port_given_back_rests_while_there_are_others)
{
	enum { N = 20, NOW = 5000 };
	struct bench bench;
	srand(3);
	bench_init(&bench, 1, N);
	uint16_t tired = nat_pool_take(&bench.pool, 1, random32(), NOW);
	nat_pool_give_back(&bench.pool, tired, false, NOW);
	cr_expect_eq(nat_pool_n_rested(&bench.pool, NOW), N - 1);
	for (uint32_t i = 1; i < N; i++)
		cr_expect_neq(nat_pool_take(&bench.pool, i, random32(), NOW), tired);
	cr_expect_eq(nat_pool_n_rested(&bench.pool, NOW), 0);
	cr_expect_eq(nat_pool_take(&bench.pool, N, random32(), NOW), tired, "better than none");
	bench_fini(&bench);
}

Test(nat_pool, a_port_has_rested_after_one_to_two_rounds)
{
	enum { N = 4 };
	for (uint32_t since = 0; since < 3 * NAT_PORT_REST; since++) {
		struct bench bench;
		uint32_t now = UINT32_MAX - 100 + since; // the clock may wrap around
		bench_init(&bench, 1, N);
		nat_pool_give_back(&bench.pool, nat_pool_take(&bench.pool, 1, 0, UINT32_MAX - 100),
				   false, UINT32_MAX - 100);
		nat_pool_give_back(&bench.pool, nat_pool_take(&bench.pool, 1, 0, now), false, now);
		for (uint32_t rest = 0; rest < NAT_PORT_REST; rest++)
			cr_expect_leq(nat_pool_n_rested(&bench.pool, now + rest), N - 1);
		cr_expect_eq(nat_pool_n_rested(&bench.pool, now + 2 * NAT_PORT_REST), N);
		bench_fini(&bench);
	}
}

// Nobody asks in the meantime, or somebody does: the same ports have rested.
Test(nat_pool, rest_does_not_depend_on_who_looks)
{
	enum { N = 100 };
	struct bench busy;
	struct bench quiet;
	bench_init(&busy, 1, N);
	bench_init(&quiet, 1, N);
	for (uint32_t i = 0; i < 30; i++) {
		nat_pool_give_back(&busy.pool, nat_pool_take(&busy.pool, 1, 0, 1000), false, 1000);
		nat_pool_give_back(&quiet.pool, nat_pool_take(&quiet.pool, 1, 0, 1000), false,
				   1000);
	}
	for (uint32_t now = 1000; now < 1300; now++) {
		nat_pool_give_back(&busy.pool, nat_pool_take(&busy.pool, 1, 0, now), true, now);
		cr_expect_eq(nat_pool_n_rested(&busy.pool, now),
			     nat_pool_n_rested(&quiet.pool, now), "at %u", now);
	}
	bench_fini(&busy);
	bench_fini(&quiet);
}

Test(nat_pool, of_the_ports_that_rest_the_first_given_back_goes_first)
{
	enum { N = 10 };
	struct bench bench;
	uint16_t order[N];
	bench_init(&bench, 1, N);
	srand(4);
	for (uint32_t i = 0; i < N; i++)
		order[i] = nat_pool_take(&bench.pool, 1, random32(), 7);
	for (uint32_t i = 0; i < N; i++)
		nat_pool_give_back(&bench.pool, order[i], false, 7);
	for (uint32_t i = 0; i < N; i++)
		cr_expect_eq(nat_pool_take(&bench.pool, 1, random32(), 7), order[i]);
	bench_fini(&bench);
}

Test(nat_pool, one_that_has_rested_is_taken_at_once)
{
	struct bench bench;
	bench_init(&bench, 1, 1);
	for (uint32_t i = 0; i < 5; i++) {
		cr_expect_eq(nat_pool_take(&bench.pool, 1, random32(), 7), 1);
		cr_expect_eq(nat_pool_take(&bench.pool, 1, random32(), 7), 0);
		nat_pool_give_back(&bench.pool, 1, true, 7);
		cr_expect_eq(nat_pool_n_rested(&bench.pool, 7), 1);
	}
	bench_fini(&bench);
}

Test(nat_pool, a_port_handed_over_is_never_free)
{
	struct bench bench;
	bench_init(&bench, 40000, 2);
	uint16_t port = nat_pool_take(&bench.pool, 1, random32(), 7);
	nat_pool_hand_over(&bench.pool, port, 9);
	cr_expect_eq(nat_pool_owner(&bench.pool, port), 9);
	cr_expect_eq(bench.pool.n_free, 1);
	bench_fini(&bench);
}

// ---- lists --------------------------------------------------------------------------------------

Test(nat_pool, lists_keep_the_order_of_arrival)
{
	struct bench bench;
	struct flow flows[5] = {0};
	const struct flow_list *list = &bench.pool.lists[CLASS_HALF_OPEN];
	bench_init(&bench, 1, 10);
	for (uint32_t i = 1; i < 5; i++)
		nat_pool_link(&bench.pool, flows, i);
	cr_expect_eq(list->head, 1);
	cr_expect_eq(list->count, 4);
	nat_pool_unlink(&bench.pool, flows, 2);
	nat_pool_unlink(&bench.pool, flows, 1);
	cr_expect_eq(list->head, 3);
	cr_expect_eq(flows[3].list_prev, 0);
	nat_pool_unlink(&bench.pool, flows, 4);
	cr_expect_eq(list->tail, 3);
	cr_expect_eq(flows[3].list_next, 0);
	nat_pool_unlink(&bench.pool, flows, 3);
	cr_expect(list->head == 0 && list->tail == 0 && list->count == 0);
	bench_fini(&bench);
}
