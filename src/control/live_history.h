// SPDX-License-Identifier: Apache-2.0
// What the last five minutes looked like: one sample a second, made of the differences between
// counters. The whole and the first LIVE_FRONTENDS frontends are kept for all of them. Backends are
// kept for the last second only: five minutes of thousands of them would be megabytes to hold and
// to send, and the page draws them from what comes in. Called by: control.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/flow/traffic.h"

enum { LIVE_SAMPLES = 300, LIVE_FRONTENDS = 16, LIVE_BACKENDS_TOLD = 1000 };

struct live_history;

struct live_part {
	char *name; // borrowed; "POOL/SERVER" of a backend
	struct traffic traffic;
};

// The counters at one moment. Parts are known again by place and name: another name at a place is
// another part, which begins with this reading.
struct live_reading {
	uint64_t now_ns; // CLOCK_MONOTONIC
	int64_t time_ms; // since 1970
	struct traffic total;
	uint64_t packets;
	uint64_t drops;
	const struct live_part *frontends; // borrowed, as the next
	size_t n_frontends;
	const struct live_part *backends;
	size_t n_backends;
};

int live_history_create(struct live_history **history, struct err *err);
void live_history_destroy(struct live_history *history); // NULL is legal

// Add a sample; the first reading gives none, being only what the next is compared with. A counter
// that has gone back counts from zero. 0, or -ENOMEM: the reading is lost.
int live_history_add(struct live_history *history, const struct live_reading *reading);

// Counters have stood still since the last reading, which was of so many seconds ago: add the
// samples that there would have been, but for the last, which is still to come.
void live_history_rest(struct live_history *history, uint64_t now_ns, int64_t time_ms);

// Did nothing move in the newest sample?
bool live_history_is_still(const struct live_history *history);

size_t live_history_n(const struct live_history *history); // samples kept

// The newest sample with its frontends and backends, or null before there is one; and all of them,
// oldest first, with frontends. Parts that have nothing to tell are left out; of more than
// LIVE_BACKENDS_TOLD backends those with most bytes are told. A new reference, NULL: no memory.
json_t *live_history_newest(const struct live_history *history);
json_t *live_history_all(const struct live_history *history);
