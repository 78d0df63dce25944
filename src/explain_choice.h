// SPDX-License-Identifier: Apache-2.0
// Whom a new connection gets, as far as it is decided before it comes.
// Called by: the main thread, which is control.
#pragma once

#include "explain.h"

enum { EXPLAIN_NOBODY = -1, EXPLAIN_OPEN = -2 };

struct explain_choice {
	uint32_t hash;      // Maglev only, as the next
	int32_t place;      // in its table; -1: there is none
	int32_t backend;    // slot; EXPLAIN_NOBODY; EXPLAIN_OPEN: one of the candidates
	json_t *candidates; // owned: names of those that may get it
	json_t *skipped;    // owned: [{"backend","reason"}]
};

// False when memory is short; the lists are the caller's in any case.
bool explain_choose(const struct explain_params *params, uint32_t frontend,
		    struct explain_choice *choice);
