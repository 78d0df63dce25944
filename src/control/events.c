// SPDX-License-Identifier: Apache-2.0
#include "culvert/control/events.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "culvert/base/clock.h"
#include "culvert/base/line.h"

struct events {
	struct event_record ring[EVENTS_KEPT];
	size_t n;    // in use
	size_t next; // where the next one goes
	events_watch_fn watch;
	void *arg; // borrowed
};

static const char *const kind_names[] = {
	[EVENT_HEALTH] = "health",   [EVENT_RELOAD] = "reload", [EVENT_ADMIN] = "admin",
	[EVENT_NETWORK] = "network", [EVENT_START] = "start",
};

static const char *level_name(enum log_level level)
{
	if (level == LOG_ERROR)
		return "error";
	return level == LOG_WARN ? "warn" : "info";
}

int events_create(struct events **events, struct err *err)
{
	struct events *created = calloc(1, sizeof(*created));
	if (!created)
		return err_set(err, -ENOMEM, "not enough memory for the list of events");
	*events = created;
	return 0;
}

void events_destroy(struct events *events)
{
	free(events);
}

void events_add(struct events *events, enum event_kind kind, enum log_level level,
		const char *subject, const char *format, ...)
{
	va_list args;
	if (!events)
		return;
	struct event_record *event = &events->ring[events->next];
	*event = (struct event_record){.time_ms = clock_wall_ms(), .kind = kind, .level = level};
	snprintf(event->subject, sizeof(event->subject), "%s", subject);
	va_start(args, format);
	vsnprintf(event->text, sizeof(event->text), format, args);
	va_end(args);
	line_make_valid(event->subject); // a cut may go through a character
	line_make_valid(event->text);
	events->next = (events->next + 1) % EVENTS_KEPT;
	if (events->n < EVENTS_KEPT)
		events->n++;
	if (events->watch)
		events->watch(events->arg, event);
}

void events_watch(struct events *events, events_watch_fn watch, void *arg)
{
	events->watch = watch;
	events->arg = arg;
}

json_t *event_to_json(const struct event_record *event)
{
	char time[CLOCK_WALL_TEXT_MAX];
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "time",
			 clock_wall_format(event->time_ms, time), "kind", kind_names[event->kind],
			 "level", level_name(event->level), "subject", event->subject, "text",
			 event->text);
}

json_t *events_to_json(const struct events *events, size_t limit)
{
	json_t *array = json_array();
	for (size_t age = 1; array && age <= events->n && age <= limit; age++) {
		size_t at = (events->next + EVENTS_KEPT - age) % EVENTS_KEPT;
		if (json_array_append_new(array, event_to_json(&events->ring[at]))) {
			json_decref(array);
			return NULL;
		}
	}
	return json_pack("{s:o}", "events", array);
}
