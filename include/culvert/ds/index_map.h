// SPDX-License-Identifier: Apache-2.0
// From a 32-bit hash to the indices stored under it. The map keeps no keys: it yields candidates,
// nearly always the right one first, and the caller compares keys in its own array.
//
// A bucket is one cache line of ten entries: a 16-bit tag and the index each. An insertion that
// finds its home bucket full moves on to the next one, and every bucket it passes over counts it.
// So a lookup ends at the first bucket that nobody has passed over. A full map after long use shows
// 1.07 buckets to a hit and 1.5 to a miss. Not for sharing between threads.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "culvert/base/err.h"

enum { INDEX_MAP_WAYS = 10 };

struct index_map_bucket {
	uint16_t tags[INDEX_MAP_WAYS]; // 0: the entry is free
	uint32_t values[INDEX_MAP_WAYS];
	uint32_t n_passed; // entries that live further on because this bucket was full
};
_Static_assert(sizeof(struct index_map_bucket) == 64, "a bucket is one cache line");

struct index_map {
	struct index_map_bucket *buckets; // owned; mapped, so aligned and zero
	uint32_t n_buckets;
	uint32_t n_entries;
	uint32_t capacity;
};

// A lookup under way; broken off by any change of the map.
struct index_map_cursor {
	const struct index_map_bucket *bucket;
	uint32_t n_left;  // buckets not looked at yet
	uint32_t matches; // bit i: entry i of `bucket` has the tag and was not returned yet
	uint16_t tag;
};

// Room for `capacity` entries (at least 1), six to a bucket on average when full. The memory is
// touched here, so that the first insertions do not pay for page faults. 0, or -errno with nothing
// to free.
int index_map_init(struct index_map *map, uint32_t capacity, struct err *err);
void index_map_fini(struct index_map *map);

// `value` is not 0. The same pair twice makes two entries. False when `capacity` entries are held.
bool index_map_insert(struct index_map *map, uint32_t hash, uint32_t value);

// Remove one entry of this pair. False when there is none. Not for a value that is held under other
// hashes only: the entry keeps but part of its hash, and could be taken for one of `hash`.
bool index_map_remove(struct index_map *map, uint32_t hash, uint32_t value);

// The home bucket comes from the high bits of the hash, the tag from the low ones.
static inline uint32_t index_map_home(const struct index_map *map, uint32_t hash)
{
	return (uint32_t)(((uint64_t)hash * map->n_buckets) >> 32);
}

static inline uint16_t index_map_tag(uint32_t hash)
{
	uint16_t tag = (uint16_t)hash;
	return tag ? tag : 1;
}

// Bit i is set when entry i has `tag`.
static inline uint32_t index_map_match(const struct index_map_bucket *bucket, uint16_t tag)
{
#if defined(__SSE2__)
	// The two vectors cover the ten tags and the first three values; the mask drops the latter.
	const __m128i *line = (const __m128i *)(const void *)bucket;
	__m128i wanted = _mm_set1_epi16((short)tag);
	__m128i low = _mm_cmpeq_epi16(_mm_load_si128(line), wanted);
	__m128i high = _mm_cmpeq_epi16(_mm_load_si128(line + 1), wanted);
	uint32_t mask = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
	return mask & ((UINT32_C(1) << INDEX_MAP_WAYS) - 1);
#else
	uint32_t mask = 0;
	for (unsigned i = 0; i < INDEX_MAP_WAYS; i++)
		mask |= (uint32_t)(bucket->tags[i] == tag) << i;
	return mask;
#endif
}

// Start to fetch the line that a lookup or a change of `hash` will touch first.
static inline void index_map_prefetch(const struct index_map *map, uint32_t hash)
{
	__builtin_prefetch(&map->buckets[index_map_home(map, hash)]);
}

// The next candidate, or 0 when there is no other.
static inline uint32_t index_map_next(const struct index_map *map, struct index_map_cursor *cursor)
{
	while (!cursor->matches) {
		// The count ends the search should every bucket have been passed over.
		if (cursor->bucket->n_passed == 0 || cursor->n_left == 0)
			return 0;
		cursor->n_left--;
		if (++cursor->bucket == map->buckets + map->n_buckets)
			cursor->bucket = map->buckets;
		cursor->matches = index_map_match(cursor->bucket, cursor->tag);
	}
	uint32_t way = (uint32_t)__builtin_ctz(cursor->matches);
	cursor->matches &= cursor->matches - 1;
	return cursor->bucket->values[way];
}

// The first value that may be stored under `hash`, or 0. Some candidates belong to other hashes.
static inline uint32_t index_map_first(const struct index_map *map, uint32_t hash,
				       struct index_map_cursor *cursor)
{
	cursor->bucket = &map->buckets[index_map_home(map, hash)];
	cursor->n_left = map->n_buckets - 1;
	cursor->tag = index_map_tag(hash);
	cursor->matches = index_map_match(cursor->bucket, cursor->tag);
	return index_map_next(map, cursor);
}
