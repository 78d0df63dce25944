// SPDX-License-Identifier: Apache-2.0
#include "bytes.h"

#include <string.h>
#include <sys/random.h>

enum { SLICES = 8 };

uint64_t stream_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t stream_seed(void)
{
	static uint64_t state;
	if (state == 0 && getrandom(&state, sizeof(state), 0) != sizeof(state))
		state = 1; // a system without entropy: the same on every run
	return stream_random(&state);
}

void stream_bytes_init(struct stream_bytes *bytes, uint64_t seed)
{
	*bytes = (struct stream_bytes){.state = seed};
}

void stream_bytes_take(struct stream_bytes *bytes, uint8_t *out, size_t n)
{
	while (n > 0) {
		if (bytes->n_left == 0) {
			bytes->word = stream_random(&bytes->state);
			bytes->n_left = sizeof(bytes->word);
		}
		size_t part = n < bytes->n_left ? n : bytes->n_left;
		memcpy(out, (uint8_t *)&bytes->word + sizeof(bytes->word) - bytes->n_left, part);
		bytes->n_left -= (unsigned)part;
		out += part;
		n -= part;
	}
}

// tables[0] is that of a byte; tables[k] that of a byte with k zeros behind it.
static void fill_tables(uint32_t tables[SLICES][256])
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
		tables[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++) {
		for (int k = 1; k < SLICES; k++)
			tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 0xff];
	}
}

// Eight bytes at a time, one table for each.
uint32_t stream_crc(uint32_t crc, const uint8_t *bytes, size_t n)
{
	static uint32_t tables[SLICES][256];
	if (tables[0][1] == 0)
		fill_tables(tables);
	crc = ~crc;
	for (; n >= SLICES; n -= SLICES, bytes += SLICES) {
		uint32_t next = 0;
		for (int i = 0; i < SLICES; i++) {
			uint8_t mixed = bytes[i] ^ (i < 4 ? (uint8_t)(crc >> 8 * i) : 0);
			next ^= tables[SLICES - 1 - i][mixed];
		}
		crc = next;
	}
	for (; n > 0; n--)
		crc = crc >> 8 ^ tables[0][(crc ^ *bytes++) & 0xff];
	return ~crc;
}
