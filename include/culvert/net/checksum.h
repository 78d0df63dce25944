// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//
// Sums are kept over 16-bit words as they lie in memory: ones'-complement addition does not care
// about byte order as long as all operands share it (RFC 1071 section 2B). A "delta" is the folded
// sum of (new - old) over every word that a rewrite changes; its negative is its complement. Thus
// one stored number serves both directions of a flow.
// Pure; any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Add `n` words of 32 bits to an unfolded sum: 2^32 of them fit before it could wrap.
static inline uint64_t csum_add_words(uint64_t sum, const void *data, size_t n)
{
	const uint8_t *at = data;
	for (size_t i = 0; i < n; i++) {
		uint32_t word;
		memcpy(&word, at + i * sizeof(word), sizeof(word));
		sum += word;
	}
	return sum;
}

// Add `len` bytes to an unfolded sum. `len` may be odd only in the last piece of a message.
uint64_t csum_add_bytes(uint64_t sum, const void *data, size_t len);

static inline uint16_t csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint16_t csum_add(uint16_t a, uint16_t b)
{
	uint32_t sum = (uint32_t)a + b;
	return (uint16_t)(sum + (sum >> 16));
}

static inline uint16_t csum_negate(uint16_t delta)
{
	return (uint16_t)~delta;
}

// What new addresses and new ports change, apart: an IP header knows addresses only. Passed by
// value: stored as two and loaded as one, they would wait for whatever is being stored.
struct csum_deltas {
	uint16_t addrs;
	uint16_t ports;
};

static inline struct csum_deltas csum_negate_both(struct csum_deltas deltas)
{
	return (struct csum_deltas){csum_negate(deltas.addrs), csum_negate(deltas.ports)};
}

// The delta of one word changing from `from` to `to`.
static inline uint16_t csum_delta16(uint16_t from, uint16_t to)
{
	return csum_add((uint16_t)~from, to);
}

// The delta of `len` bytes (even) changing from `from` to `to`.
uint16_t csum_delta_bytes(const void *from, const void *to, size_t len);

// RFC 1624 equation 3 for a stored (complemented) checksum.
static inline uint16_t csum_update(uint16_t stored, uint16_t delta)
{
	return (uint16_t)~csum_add((uint16_t)~stored, delta);
}

// The checksum of a message whose sum, pseudo-header included, is `sum`.
static inline uint16_t csum_finish(uint64_t sum)
{
	return (uint16_t)~csum_fold(sum);
}
