// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "culvert/balance/registry.h"

// How many slots of the Maglev tables would name another backend under `config`, and of how many,
// over all frontends that there are before and after. What is up stays up, and what is new is taken
// to be. 0 or -errno. Called by: control.
int reload_count_slots(const struct registry *registry, const struct config *config,
		       const struct registry_match *match, uint64_t *n_moved, uint64_t *n_total,
		       struct err *err);
