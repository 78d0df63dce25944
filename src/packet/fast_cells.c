// SPDX-License-Identifier: Apache-2.0
#include "packet/fast_cells.h"

#include <stdatomic.h>

static _Atomic uint64_t *cell_at(const struct fast_maps *maps, uint32_t cell)
{
	__u64 *at = &maps->buckets[cell / FAST_CELLS].cells[cell % FAST_CELLS];
	return (_Atomic uint64_t *)at;
}

uint32_t fast_cells_publish(const struct fast_maps *maps, const struct fast_entry *entry)
{
	uint32_t hash = fast_hash(&entry->key, maps->control->factors);
	uint64_t number = (uint64_t)(entry - maps->entries);
	uint64_t value = (uint64_t)fast_tag_of(hash) << 32 | number;
	uint32_t first = fast_bucket_of(hash) * FAST_CELLS;
	for (uint32_t cell = first; cell < first + FAST_CELLS; cell++) {
		uint64_t empty = 0;
		// Release: who sees the number sees the entry that it names.
		if (atomic_compare_exchange_strong_explicit(cell_at(maps, cell), &empty, value,
							    memory_order_release,
							    memory_order_relaxed))
			return cell;
	}
	return FAST_NO_CELL;
}

void fast_cells_withdraw(const struct fast_maps *maps, uint32_t cell)
{
	if (cell != FAST_NO_CELL)
		atomic_store_explicit(cell_at(maps, cell), 0, memory_order_release);
}

bool fast_cells_have_room(const struct fast_maps *maps, const struct fast_key *key)
{
	uint32_t hash = fast_hash(key, maps->control->factors);
	uint32_t first = fast_bucket_of(hash) * FAST_CELLS;
	bool has_empty = false;
	for (uint32_t cell = first; cell < first + FAST_CELLS; cell++) {
		uint64_t value = atomic_load_explicit(cell_at(maps, cell), memory_order_relaxed);
		has_empty |= value == 0;
		if (value >> 32 == fast_tag_of(hash))
			return false;
	}
	return has_empty;
}
