// SPDX-License-Identifier: Apache-2.0
// Bytes that nobody guesses, and a checksum over them: what stream_peer and stream_load send.
#pragma once

#include <stddef.h>
#include <stdint.h>

// A stream of pseudo-random bytes that its seed determines, whatever the portions it is taken in.
struct stream_bytes {
	uint64_t state;
	uint64_t word;
	unsigned n_left; // bytes of `word`
};

void stream_bytes_init(struct stream_bytes *bytes, uint64_t seed);
void stream_bytes_take(struct stream_bytes *bytes, uint8_t *out, size_t n);

// The next number of the generator behind it (splitmix64).
uint64_t stream_random(uint64_t *state);
// A seed that no other connection has.
uint64_t stream_seed(void);

// The CRC-32 of zip and Ethernet, as Python's zlib.crc32() gives it: begin with 0, go on with what
// came out. A stream that ends with its own sum, the lowest byte first, has 0x2144df1c.
uint32_t stream_crc(uint32_t crc, const uint8_t *bytes, size_t n);
