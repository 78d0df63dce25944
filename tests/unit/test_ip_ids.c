// SPDX-License-Identifier: Apache-2.0
// Identifications must stay apart: between workers always, and between packets of the same two
// addresses for as long as can be.
#include "packet/ip_ids.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

enum { ALL = 1 << 16 };

static struct ip_addr addr(uint32_t number)
{
	return ip_addr_from_v4(htonl(0x0a000000 + number));
}

Test(ip_ids, all_are_used_before_one_comes_again)
{
	static struct ip_ids ids;
	static bool is_used[ALL];
	struct ip_addr src = addr(1);
	struct ip_addr dst = addr(2);
	ip_ids_init(&ids, 42, 0, 1);
	uint16_t first = ip_ids_take_v4(&ids, &src, &dst, 1);
	is_used[first] = true;
	for (int i = 1; i < ALL; i++) {
		uint16_t id = ip_ids_take_v4(&ids, &src, &dst, 1);
		cr_assert_not(is_used[id], "after %d", i);
		is_used[id] = true;
	}
	cr_expect_eq(ip_ids_take_v4(&ids, &src, &dst, 1), first);
}

Test(ip_ids, workers_never_choose_the_same)
{
	static struct ip_ids ids;
	static uint8_t user[ALL];
	struct ip_addr src = addr(1);
	struct ip_addr dst = addr(2);
	for (uint32_t worker = 0; worker < 3; worker++) {
		ip_ids_init(&ids, 42 + worker, worker, 3);
		for (int i = 0; i < ALL; i++) {
			uint16_t id = ip_ids_take_v4(&ids, &src, &dst, 1);
			cr_assert(user[id] == 0 || user[id] == worker + 1);
			user[id] = (uint8_t)(worker + 1);
		}
	}
}

Test(ip_ids, segments_of_one_packet_have_numbers_in_a_row_that_no_other_has)
{
	static struct ip_ids ids;
	static uint32_t last_use[ALL]; // by turn, from 1
	struct ip_addr src = addr(1);
	struct ip_addr dst = addr(2);
	ip_ids_init(&ids, 42, 0, 1);
	for (uint32_t turn = 1; turn <= 20000; turn++) {
		uint16_t first = ip_ids_take_v4(&ids, &src, &dst, 45);
		cr_assert_leq(first + 45, ALL);
		for (uint32_t i = 0; i < 45; i++) {
			uint32_t before = last_use[first + i];
			cr_assert(before == 0 || turn - before > ALL / 45 - 2);
			last_use[first + i] = turn;
		}
	}
}

Test(ip_ids, other_addresses_do_not_use_them_up)
{
	static struct ip_ids ids;
	struct ip_addr src = addr(1);
	struct ip_addr dst = addr(2);
	ip_ids_init(&ids, 42, 0, 1);
	uint16_t first = ip_ids_take_v4(&ids, &src, &dst, 1);
	for (uint32_t i = 3; i < 103; i++) {
		struct ip_addr other = addr(i);
		(void)ip_ids_take_v4(&ids, &src, &other, 100);
	}
	uint16_t distance = (uint16_t)(ip_ids_take_v4(&ids, &src, &dst, 1) - first);
	cr_expect_lt(distance, 1000);
}

Test(ip_ids, where_they_begin_is_secret)
{
	static struct ip_ids ids;
	struct ip_addr src = addr(1);
	struct ip_addr dst = addr(2);
	ip_ids_init(&ids, 42, 0, 1);
	uint32_t one = ip_ids_take_v6(&ids, &src, &dst);
	ip_ids_init(&ids, 43, 0, 1);
	cr_expect_neq(ip_ids_take_v6(&ids, &src, &dst), one);
	cr_expect_neq(ip_ids_take_v6(&ids, &src, &dst), ip_ids_take_v6(&ids, &src, &dst));
}
