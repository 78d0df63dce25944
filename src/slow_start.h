// SPDX-License-Identifier: Apache-2.0
// A backend that is up again gets to its weight by and by: from a tenth of it to the whole, in the
// time that its pool says.
// Called by: control.
#pragma once

#include "culvert/balance/registry.h"

struct slow_start;

// `registry` is borrowed, as long as the object. 0 or -errno.
int slow_start_create(struct slow_start **slow_start, struct registry *registry, struct err *err);
void slow_start_destroy(struct slow_start *slow_start); // NULL is legal

// The backend is up again; its registry knows so.
void slow_start_begin(struct slow_start *slow_start, uint32_t backend, uint64_t now_ns);
// It is down, or has gone.
void slow_start_end(struct slow_start *slow_start, uint32_t backend);

// Is any backend at it?
bool slow_start_is_under_way(const struct slow_start *slow_start);

// What time has brought; call it every second while one is. True when that was news for the data
// path.
bool slow_start_step(struct slow_start *slow_start, uint64_t now_ns);
