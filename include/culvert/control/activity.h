// SPDX-License-Identifier: Apache-2.0
// Looking at what the data path has counted, again and again while something moves, and not at all
// while nothing does.
//
// Each watch looks once in its period, and says whether anything has moved since it looked before.
// When none has seen anything in a whole round, a doorbell is armed, which the data path rings when
// it has counted something; when none has in the next round either, which would see what was
// counted before the bell was armed, all of them rest. They look on, in step with before, when it
// rings, or when control has news of its own. Called by: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"

struct activity;
struct doorbell;
struct event;
struct event_base;

struct activity_watch {
	// True: something has moved, or is waited for. `is_after_rest`: the first look after a
	// rest, which began after the one before.
	bool (*look)(void *arg, bool is_after_rest);
	void *arg; // borrowed
	uint32_t period_ms;

	// What follows belongs to activity.c; zero-initialise.
	struct activity *activity; // borrowed; NULL: not added
	struct event *timer;       // owned
	struct activity_watch *next;
	uint64_t due_ns;
	bool is_still; // has looked in this round, and seen nothing
	bool has_rested;
};

// `base` is borrowed. 0 or -errno.
int activity_create(struct activity **activity, struct event_base *base, struct err *err);
void activity_destroy(struct activity *activity); // when it has no watches; NULL is legal

// To be rung by the data path, by any thread, after something was counted. Borrowed.
struct doorbell *activity_bell(struct activity *activity);

// The first look comes after a period. `watch` is borrowed until it is removed. 0 or -errno.
int activity_add(struct activity *activity, struct activity_watch *watch, struct err *err);
void activity_remove(struct activity_watch *watch); // if it was added

// Something has changed that the data path does not count, or somebody wants to see: look on.
void activity_stir(struct activity *activity);

bool activity_is_resting(const struct activity *activity);
