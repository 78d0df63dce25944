// SPDX-License-Identifier: Apache-2.0
// Where entries of the fast path run short, or hash into one bucket, flows stay with the worker;
// and how long a worker with such flows may sleep.
#include <criterion/criterion.h>
#include <string.h>

#include "lib/fast_lab.h"

enum {
	A = TCP_FLAG_ACK,
	BUCKET_BITS = 14, // of a hash
	REST_MS = 1000,
	ROUND_MS = 250,
};

static bool is_there(const struct fast_lab *lab, const struct fast_lab_client *client)
{
	return fast_lab_entry(lab, client, FROM_CLIENT) != NULL;
}

// All flows meet in one bucket then, under different tags: what differs in their addresses (the
// last byte) and NAT ports is multiplied to where a hash has its tag alone.
static void forget_factors(struct fast_lab *lab)
{
	__u64 *factors = lab->maps.control->factors;
	memset(factors, 0, sizeof(lab->maps.control->factors));
	factors[3] = 1ULL << (32 + BUCKET_BITS - 24);
	factors[8] = 1ULL << (32 + BUCKET_BITS);
}

Test(fast_path_room, a_full_bucket_takes_no_more)
{
	enum { FIT = FAST_CELLS / N_FLOW_DIRS };
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	forget_factors(&lab);
	struct fast_lab_client clients[FIT + 2];
	for (uint32_t i = 0; i < FIT + 2; i++)
		clients[i] = fast_lab_established(&lab, i);
	cr_expect_eq(lab.pump.worker.fast.n_active, FIT);
	cr_expect_eq(fast_lab_flow(&lab, &clients[FIT])->is_aside, false);
	fast_lab_say(&lab, &clients[0], FROM_CLIENT, TCP_FLAG_RST, 0);
	cr_expect(fast_lab_say(&lab, &clients[FIT], FROM_CLIENT, A, 10));
	cr_expect_eq(fast_lab_flow(&lab, &clients[FIT])->is_aside, true);
	fast_lab_close(&lab);
}

// Another worker has been quicker with the last cell but one.
Test(fast_path_room, half_a_flow_does_not_stay)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	forget_factors(&lab);
	uint64_t foreign = UINT64_C(1) << 32 | (FAST_ENTRIES - 1);
	lab.pump.worker.fast.n_slots--; // the last is not its own
	lab.pump.worker.fast.n_free--;
	for (int i = 0; i < FAST_CELLS - 1; i++)
		lab.maps.buckets[0].cells[i] = foreign;
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	cr_expect_not(fast_lab_flow(&lab, &client)->is_aside);
	cr_expect_eq(lab.maps.buckets[0].cells[FAST_CELLS - 1], 0);
	const char *wrong = fast_lab_check(&lab);
	cr_expect_null(wrong, "%s", wrong);
	fast_lab_move_ms(&lab, REST_MS + ROUND_MS);
	cr_expect_eq(lab.pump.worker.fast.n_free, lab.pump.worker.fast.n_slots);
	fast_lab_close(&lab);
}

enum { FEW_SLOTS = 8 };

static void open_with_few_slots(struct fast_lab *lab)
{
	fast_lab_init(lab, FAST_LAB_NAT);
	struct fast_lab_params params = {.n_workers = FAST_ENTRIES / N_FLOW_DIRS / FEW_SLOTS};
	fast_lab_open(lab, &params);
	cr_assert_eq(lab->pump.worker.fast.n_slots, FEW_SLOTS);
}

Test(fast_path_room, without_a_free_slot_flows_stay_with_the_worker)
{
	struct fast_lab lab;
	open_with_few_slots(&lab);
	for (uint32_t i = 0; i < 3 * FEW_SLOTS; i++) {
		struct fast_lab_client client = fast_lab_established(&lab, i);
		cr_expect_eq(is_there(&lab, &client), i < FEW_SLOTS);
		cr_expect(fast_lab_say(&lab, &client, FROM_BACKEND, A, 10));
	}
	cr_expect_eq(lab.pump.worker.fast.n_active, FEW_SLOTS);
	fast_lab_close(&lab);
}

enum { SILENT = 3, SILENT_ROUNDS = 25, NEVER = -1 };

// All flows but one speak in each round. Returns whether that one is there in the end.
static bool stays_when_silent(struct fast_lab *lab, uint32_t n, int round_to_speak_in)
{
	struct fast_lab_client clients[FEW_SLOTS];
	for (uint32_t i = 0; i < n; i++)
		clients[i] = fast_lab_established(lab, i);
	for (int round = 0; round < SILENT_ROUNDS; round++) {
		for (uint32_t i = 0; i < n; i++)
			cr_expect((i == SILENT && round != round_to_speak_in) ||
				  fast_lab_pass(lab, &clients[i], FROM_CLIENT, 10));
		fast_lab_move_ms(lab, ROUND_MS);
	}
	return is_there(lab, &clients[SILENT]);
}

// The slot has another flow when it has rested.
Test(fast_path_room, a_silent_flow_gives_way_where_slots_are_short)
{
	struct fast_lab lab;
	open_with_few_slots(&lab);
	cr_expect_not(stays_when_silent(&lab, FEW_SLOTS, NEVER));
	fast_lab_move_ms(&lab, 2 * REST_MS);
	struct fast_lab_client newcomer = fast_lab_established(&lab, FEW_SLOTS);
	cr_expect(is_there(&lab, &newcomer));
	fast_lab_close(&lab);
}

Test(fast_path_room,
     a_silent_flow_stays_where_there_is_room_and_one_that_speaks_now_and_then_anywhere)
{
	struct fast_lab lab;
	open_with_few_slots(&lab);
	cr_expect(stays_when_silent(&lab, FEW_SLOTS - 1, NEVER));
	fast_lab_close(&lab);
	open_with_few_slots(&lab);
	cr_expect(stays_when_silent(&lab, FEW_SLOTS, SILENT_ROUNDS / 2));
	fast_lab_close(&lab);
}

// What has been judged of the thread's turns is not at issue here (pressure.h).
static void set_pressure(struct fast_lab *lab, bool is_high)
{
	pump_round(&lab->pump); // that has found nothing
	lab->pump.worker.pressure.is_high = is_high;
}

Test(fast_path_room, flows_go_there_under_pressure_and_come_back_when_it_is_over)
{
	struct fast_lab lab;
	struct fast_lab_params params = {.waits_for_pressure = true};
	fast_lab_init(&lab, FAST_LAB_NAT);
	fast_lab_open(&lab, &params);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	cr_expect_not(is_there(&lab, &client));
	set_pressure(&lab, true);
	cr_expect_not(is_there(&lab, &client));
	cr_expect(fast_lab_say(&lab, &client, FROM_BACKEND, A, 1400));
	cr_expect_not(is_there(&lab, &client), "the client has hardly spoken");
	cr_expect(fast_lab_say(&lab, &client, FROM_CLIENT, A, 1000));
	cr_expect(is_there(&lab, &client));
	cr_expect(fast_lab_pass(&lab, &client, FROM_CLIENT, 10));
	set_pressure(&lab, true);
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect(is_there(&lab, &client));

	cr_expect(fast_lab_pass(&lab, &client, FROM_CLIENT, 10));
	set_pressure(&lab, false);
	cr_expect(is_there(&lab, &client), "until the next round");
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect_not(is_there(&lab, &client));
	cr_expect_eq(counter_read(&lab.pump.worker.fast.ledger.received), 2);
	set_pressure(&lab, false);
	fast_lab_move_ms(&lab, REST_MS);
	cr_expect(fast_lab_say(&lab, &client, FROM_BACKEND, A, 10));
	cr_expect_not(is_there(&lab, &client));
	fast_lab_close(&lab);
}

Test(fast_path_room, a_worker_sleeps_as_long_as_its_flows_let_it)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	const struct fast_path *fast = &lab.pump.worker.fast;
	cr_expect_eq(fast_path_idle_ms(fast), -1);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect_eq(fast_path_idle_ms(fast), 1000);
	fast_lab_pass(&lab, &client, FROM_CLIENT, 10);
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect_eq(fast_path_idle_ms(fast), ROUND_MS);
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect_eq(fast_path_idle_ms(fast), 1000);
	fast_lab_say(&lab, &client, FROM_CLIENT, TCP_FLAG_RST, 0);
	cr_expect_neq(fast_path_idle_ms(fast), -1, "a slot rests");
	fast_lab_move_ms(&lab, 2 * REST_MS);
	cr_expect_eq(fast_path_idle_ms(fast), -1);
	fast_lab_close(&lab);
}

// A round that a new snapshot has begun is too short to tell how much goes by.
Test(fast_path_room, snapshots_in_quick_succession_do_not_end_the_pressure)
{
	struct fast_lab lab;
	struct fast_lab_params params = {.waits_for_pressure = true};
	fast_lab_init(&lab, FAST_LAB_NAT);
	fast_lab_open(&lab, &params);
	struct pressure *pressure = &lab.pump.worker.pressure;
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	set_pressure(&lab, true);
	pressure->high_rate = 100;
	cr_expect(fast_lab_say(&lab, &client, FROM_CLIENT, A, 1000));
	cr_assert(is_there(&lab, &client));
	fast_lab_move_ms(&lab, ROUND_MS);
	set_pressure(&lab, true);
	pressure->high_rate = 100;
	for (int i = 0; i < 3; i++) {
		fast_lab_publish(&lab);
		fast_lab_move_ms(&lab, 5);
		cr_expect(pressure->is_high);
		cr_expect(is_there(&lab, &client));
	}
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect_not(pressure->is_high, "in a whole round nothing went by");
	fast_lab_close(&lab);
}

// Packets of two flows, round after round; is the pressure still high then?
static bool is_high_with(int n_of_first, int n_of_second)
{
	struct fast_lab lab;
	struct fast_lab_params params = {.waits_for_pressure = true};
	fast_lab_init(&lab, FAST_LAB_NAT);
	fast_lab_open(&lab, &params);
	struct fast_lab_client clients[] = {fast_lab_established(&lab, 1),
					    fast_lab_established(&lab, 2)};
	set_pressure(&lab, true);
	for (int i = 0; i < 2; i++) {
		cr_expect(fast_lab_say(&lab, &clients[i], FROM_CLIENT, A, 1000));
		cr_assert(is_there(&lab, &clients[i]));
	}
	fast_lab_move_ms(&lab, ROUND_MS); // what has come to the thread so far
	set_pressure(&lab, true);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < n_of_first; i++)
			fast_lab_pass(&lab, &clients[0], FROM_CLIENT, 1);
		for (int i = 0; i < n_of_second; i++)
			fast_lab_pass(&lab, &clients[1], FROM_CLIENT, 1);
		fast_lab_publish(&lab);
		fast_lab_move_ms(&lab, ROUND_MS / 2); // each second round is judged
	}
	bool is_high = lab.pump.worker.pressure.is_high;
	fast_lab_close(&lab);
	return is_high;
}

Test(fast_path_room, the_pressure_stays_while_two_flows_speak)
{
	cr_expect(is_high_with(50, 50));
	cr_expect(is_high_with(90, 10));
}

Test(fast_path_room, the_pressure_is_over_when_one_flow_speaks)
{
	cr_expect_not(is_high_with(97, 3));
	cr_expect_not(is_high_with(50, 0));
}

// ---- programs that do not follow one another ----------------------------------------------------

Test(fast_path_room, what_is_diverted_and_not_forwarded_ends_it_for_all)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client clients[] = {fast_lab_established(&lab, 1),
					    fast_lab_established(&lab, 2)};
	fast_lab_entry(&lab, &clients[0], FROM_CLIENT)->n_diverted = 63;
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect_not(lab.maps.control->is_cut);
	fast_lab_entry(&lab, &clients[0], FROM_CLIENT)->n_diverted = 64;
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect(lab.maps.control->is_cut);
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect_eq(lab.pump.worker.fast.n_active, 0);
	fast_lab_move_ms(&lab, 2 * REST_MS);
	cr_expect(fast_lab_say(&lab, &clients[1], FROM_CLIENT, A, 10));
	cr_expect_not(is_there(&lab, &clients[1]), "until the next start");
	fast_lab_close(&lab);
}

Test(fast_path_room, what_is_diverted_is_forwarded_a_moment_later)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	for (int i = 0; i < 10; i++) {
		fast_lab_entry(&lab, &client, FROM_CLIENT)->n_diverted += 63;
		cr_expect(fast_lab_pass(&lab, &client, FROM_CLIENT, 10));
		fast_lab_move_ms(&lab, ROUND_MS);
	}
	cr_expect_not(lab.maps.control->is_cut);
	cr_expect(is_there(&lab, &client));
	fast_lab_close(&lab);
}

// The second program has had the packets, and no memory to change them.
Test(fast_path_room, what_is_lost_for_want_of_memory_was_not_cut_off_but_has_its_flow_come_back)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	struct fast_entry *entry = fast_lab_entry(&lab, &client, FROM_CLIENT);
	for (uint32_t i = 1; i <= 2; i++) {
		entry->n_diverted = entry->n_lost = i * 7;
		cr_expect(is_there(&lab, &client));
		if (i == 1)
			entry->packets++; // one comes through, and is in the row no more
		fast_lab_move_ms(&lab, ROUND_MS);
	}
	cr_expect(is_there(&lab, &client));
	entry->n_diverted = entry->n_lost = 15;
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect_not(lab.maps.control->is_cut);
	cr_expect_not(is_there(&lab, &client));
	fast_lab_close(&lab);
}
