// SPDX-License-Identifier: Apache-2.0
// Changes to the hash index; its lookup is inline in the header.
//
// Invariant: for each entry, every bucket from its home up to, not including, the one it lives in
// counts it in n_passed. A bucket may count entries and have room again: later insertions use that
// room, and the count falls only when the entries themselves go.
#include "culvert/ds/index_map.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { AVERAGE_LOAD = 6 };

int index_map_init(struct index_map *map, uint32_t capacity, struct err *err)
{
	if (capacity == 0)
		return err_set(err, -EINVAL, "a hash index needs room for at least one entry");
	uint32_t n_buckets = (capacity - 1) / AVERAGE_LOAD + 1;
	size_t size = (size_t)n_buckets * sizeof(struct index_map_bucket);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return err_sys(err, -errno, "cannot map a hash index of %u entries", capacity);
	// Both only save time later, and not every kernel has them.
	(void)madvise(memory, size, MADV_HUGEPAGE);
	(void)madvise(memory, size, MADV_POPULATE_WRITE);
	*map = (struct index_map){.buckets = memory,
				  .n_buckets = n_buckets,
				  .n_entries = 0,
				  .capacity = capacity};
	return 0;
}

void index_map_fini(struct index_map *map)
{
	if (map->buckets)
		munmap(map->buckets, (size_t)map->n_buckets * sizeof(*map->buckets));
	memset(map, 0, sizeof(*map));
}

static uint32_t next_bucket(const struct index_map *map, uint32_t at)
{
	return at + 1 == map->n_buckets ? 0 : at + 1;
}

bool index_map_insert(struct index_map *map, uint32_t hash, uint32_t value)
{
	if (map->n_entries == map->capacity)
		return false;
	// There are more places than `capacity`, so one is free and the walk ends.
	uint32_t at = index_map_home(map, hash);
	uint32_t free_ways;
	while ((free_ways = index_map_match(&map->buckets[at], 0)) == 0) {
		map->buckets[at].n_passed++;
		at = next_bucket(map, at);
	}
	uint32_t way = (uint32_t)__builtin_ctz(free_ways);
	map->buckets[at].tags[way] = index_map_tag(hash);
	map->buckets[at].values[way] = value;
	map->n_entries++;
	return true;
}

// The way in `bucket` that holds the pair, or INDEX_MAP_WAYS.
static uint32_t find_way(const struct index_map_bucket *bucket, uint16_t tag, uint32_t value)
{
	uint32_t matches = index_map_match(bucket, tag);
	for (; matches; matches &= matches - 1) {
		uint32_t way = (uint32_t)__builtin_ctz(matches);
		if (bucket->values[way] == value)
			return way;
	}
	return INDEX_MAP_WAYS;
}

bool index_map_remove(struct index_map *map, uint32_t hash, uint32_t value)
{
	uint16_t tag = index_map_tag(hash);
	uint32_t home = index_map_home(map, hash);
	uint32_t at = home;
	uint32_t n_left = map->n_buckets;
	uint32_t way;
	while ((way = find_way(&map->buckets[at], tag, value)) == INDEX_MAP_WAYS) {
		if (map->buckets[at].n_passed == 0 || --n_left == 0)
			return false;
		at = next_bucket(map, at);
	}
	map->buckets[at].tags[way] = 0;
	map->buckets[at].values[way] = 0;
	map->n_entries--;
	for (uint32_t passed = home; passed != at; passed = next_bucket(map, passed))
		map->buckets[passed].n_passed--;
	return true;
}
