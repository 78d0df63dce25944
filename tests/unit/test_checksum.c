// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/checksum.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/frame.h"

enum { MESSAGE_MAX = 1500, N_ROUNDS = 20000 };

static uint16_t random16(void)
{
	return (uint16_t)(rand() >> 3);
}

static void fill_random(uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)random16();
}

// The two zeros of ones' complement are one number.
static unsigned value_of(uint16_t sum)
{
	return sum % 0xffffU;
}

Test(checksum, agrees_with_the_examples_of_RFC_1624)
{
	// Section 4: HC = DD2F, m = 5555, m' = 3285. Equation 3 gives 0000, RFC 1141 gave FFFF.
	uint16_t delta = csum_delta16(htons(0x5555), htons(0x3285));
	cr_expect_eq(csum_update(htons(0xdd2f), delta), 0);
}

Test(checksum, agrees_with_the_example_of_RFC_1071)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	cr_expect_eq(csum_fold(csum_add_bytes(0, bytes, sizeof(bytes))), htons(0xddf2));
	cr_expect_eq(csum_finish(csum_add_bytes(0, bytes, sizeof(bytes))),
		     (uint16_t)~htons(0xddf2));
}

Test(checksum, equals_the_plain_sum_at_every_length_and_alignment)
{
	uint8_t bytes[80];
	srand(1);
	fill_random(bytes, sizeof(bytes));
	for (size_t at = 0; at < 8; at++) {
		for (size_t len = 0; len + at <= sizeof(bytes); len++) {
			uint16_t plain = frame_plain_sum(bytes + at, (uint32_t)len, 0);
			cr_assert_eq(value_of(csum_fold(csum_add_bytes(0, bytes + at, len))),
				     value_of(htons(plain)), "%zu bytes at %zu", len, at);
		}
	}
}

Test(checksum, folds_the_largest_sums)
{
	static const uint64_t sums[] = {
		0, 0xffff, 0x10000, 0x1fffe, 0xffffffff, 0x100000000, UINT64_MAX, UINT64_MAX - 1,
	};
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		cr_expect_eq(value_of(csum_fold(sums[i])), sums[i] % 0xffff, "sum %zu", i);
		cr_expect_eq(csum_fold(sums[i]) == 0, sums[i] == 0, "sum %zu", i);
	}
	uint8_t ones[65536];
	memset(ones, 0xff, sizeof(ones));
	cr_expect_eq(csum_fold(csum_add_bytes(0, ones, sizeof(ones))), 0xffff);
}

Test(checksum, update_equals_recomputation_for_random_messages)
{
	uint8_t message[MESSAGE_MAX];
	srand(2);
	for (int i = 0; i < N_ROUNDS; i++) {
		size_t n_words = 2 + (size_t)(rand() % 40);
		fill_random(message, n_words * 2);
		uint16_t stored = csum_finish(csum_add_bytes(0, message, n_words * 2));
		uint8_t from[8];
		size_t len = (size_t)(2 + 2 * (rand() % 2));
		uint8_t *at = message + 2 * (size_t)(rand() % (int)(n_words - len / 2 + 1));
		memcpy(from, at, len);
		fill_random(at, len);
		uint16_t updated = csum_update(stored, csum_delta_bytes(from, at, len));
		uint16_t fresh = csum_finish(csum_add_bytes(0, message, n_words * 2));
		cr_assert_eq(value_of(updated), value_of(fresh), "round %d", i);
	}
}

Test(checksum, a_wrong_sum_stays_wrong_by_the_same_amount)
{
	srand(3);
	for (int i = 0; i < N_ROUNDS; i++) {
		uint16_t right = random16();
		uint16_t wrong = random16();
		uint16_t delta = csum_delta16(random16(), random16());
		unsigned distance = (0xffff + value_of(wrong) - value_of(right)) % 0xffff;
		unsigned after = (0xffff + value_of(csum_update(wrong, delta)) -
				  value_of(csum_update(right, delta))) %
				 0xffff;
		cr_assert_eq(after, distance);
	}
}

Test(checksum, the_negative_of_a_delta_undoes_it)
{
	srand(4);
	for (int i = 0; i < N_ROUNDS; i++) {
		uint16_t stored = random16();
		uint16_t delta = csum_delta16(random16(), random16());
		uint16_t back = csum_update(csum_update(stored, delta), csum_negate(delta));
		cr_assert_eq(value_of(back), value_of(stored));
	}
}
