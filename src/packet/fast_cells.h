// SPDX-License-Identifier: Apache-2.0
// The cells by which entries of the fast path are found (fast_entry.h). All workers put theirs into
// the same buckets; a cell is named by its number through all of them.
// Called by: any worker.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "packet/fast_program.h"

enum { FAST_NO_CELL = UINT32_MAX };

// The entry can be found from now on. Returns its cell, or FAST_NO_CELL when the bucket is full.
uint32_t fast_cells_publish(const struct fast_maps *maps, const struct fast_entry *entry);
// No more; what a processor has found is still used for a moment. FAST_NO_CELL is legal.
void fast_cells_withdraw(const struct fast_maps *maps, uint32_t cell);
// The bucket of the key has an empty cell, and none with its tag, of which one would hide the
// other.
bool fast_cells_have_room(const struct fast_maps *maps, const struct fast_key *key);
