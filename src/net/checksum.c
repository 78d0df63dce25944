// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/checksum.h"

uint64_t csum_add_bytes(uint64_t sum, const void *data, size_t len)
{
	size_t n_words = len / sizeof(uint32_t);
	const uint8_t *at = (const uint8_t *)data + n_words * sizeof(uint32_t);
	sum = csum_add_words(sum, data, n_words);
	len %= sizeof(uint32_t);
	if (len >= 2) {
		uint16_t word;
		memcpy(&word, at, sizeof(word));
		sum += word;
		at += 2;
		len -= 2;
	}
	if (len) {
		// The odd byte counts as the first of a pair whose second is zero.
		uint8_t pair[2] = {*at, 0};
		uint16_t word;
		memcpy(&word, pair, sizeof(word));
		sum += word;
	}
	return sum;
}

uint16_t csum_delta_bytes(const void *from, const void *to, size_t len)
{
	uint16_t removed = csum_fold(csum_add_bytes(0, from, len));
	uint16_t added = csum_fold(csum_add_bytes(0, to, len));
	return csum_delta16(removed, added);
}
