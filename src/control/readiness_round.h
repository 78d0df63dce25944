// SPDX-License-Identifier: Apache-2.0
// A round of readiness checks: one backend for all frontends that it serves, or one frontend for
// all backends of its pool. It is over with the last result; one that did not pass begins again
// after a while.
// Called by: control.
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>

#include "culvert/control/dsr_check.h"

struct event_base;
struct registry;
struct round;

struct round_kind {
	// Have round_check() called for all that there is to check.
	void (*check_all)(struct round *round);
	// No result is awaited any more; n_failed says how it went. Last in whatever calls it: the
	// callee may free the round.
	void (*on_over)(struct round *round);
	// What to say of a result that did not pass, and does not say the same as the last one.
	void (*log)(const struct round *round, const struct dsr_result *result);
};

struct round {
	const struct round_kind *kind;   // static
	void *owner;                     // borrowed, as the next two
	struct dsr_check *check;         // its results go to round_take_result()
	const struct registry *registry; // whose slots the results are about
	struct event timer;              // the next round
	unsigned n_awaited;              // results of this round
	unsigned n_failed;
	bool is_first; // since round_start(), and under way
	// What was logged last, so that the same is not said every round.
	bool is_logged;
	enum dsr_verdict logged_verdict;
	size_t logged_frontend;
	size_t logged_backend;
};

// kind, owner, check and registry are the caller's to fill in first, all else zero.
void round_init(struct round *round, struct event_base *base);
// From the beginning: as if there had been none before.
void round_start(struct round *round);
void round_stop(struct round *round); // legal in any state

// Both slots are in use. Out of memory, or without a source to check from, it has failed.
void round_check(struct round *round, uint32_t frontend, uint32_t backend);

// The dsr_result_fn of the check. `arg` is not looked at: a result knows its round.
void round_take_result(void *arg, const struct dsr_result *result);
