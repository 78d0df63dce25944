// SPDX-License-Identifier: Apache-2.0
// The last things that happened and that a person will ask about: a backend went down, a reload was
// refused, somebody drained a server. Not a log: a bounded memory of its own, for the API and the
// page. Called by: control.
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/base/log.h"

struct events;

enum { EVENTS_KEPT = 200, EVENT_SUBJECT_MAX = 160, EVENT_TEXT_MAX = 320 };

enum event_kind { EVENT_HEALTH, EVENT_RELOAD, EVENT_ADMIN, EVENT_NETWORK, EVENT_START };

// What is too long is cut; what is not UTF-8 has question marks in its place.
struct event_record {
	int64_t time_ms; // since 1970
	enum event_kind kind;
	enum log_level level;
	char subject[EVENT_SUBJECT_MAX]; // "POOL/SERVER", a frontend or the like; "": the whole
	char text[EVENT_TEXT_MAX];
};

// Valid during the call.
typedef void (*events_watch_fn)(void *arg, const struct event_record *event);

int events_create(struct events **events, struct err *err);
void events_destroy(struct events *events); // NULL is legal

// The newest takes the place of the oldest. `events` may be NULL: nobody keeps them.
__attribute__((format(printf, 5, 6))) void events_add(struct events *events, enum event_kind kind,
						      enum log_level level, const char *subject,
						      const char *format, ...);

// Have each new one told. One watcher; NULL ends it.
void events_watch(struct events *events, events_watch_fn watch, void *arg);

// {"time", "kind", "level", "subject", "text"} as a new reference, or NULL when memory is short.
json_t *event_to_json(const struct event_record *event);

// {"events": [...]}, newest first, at most `limit`. As above.
json_t *events_to_json(const struct events *events, size_t limit);
