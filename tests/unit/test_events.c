// SPDX-License-Identifier: Apache-2.0
// The memory of what happened: its order, its bound, and what may be in a text.
#include "culvert/control/events.h"

#include <criterion/criterion.h>
#include <string.h>

static struct events *events;

static void setup(void)
{
	cr_assert_eq(events_create(&events, NULL), 0);
}

static void teardown(void)
{
	events_destroy(events);
}

TestSuite(events, .init = setup, .fini = teardown);

static const char *text_of(json_t *list, size_t i, const char *key)
{
	return json_string_value(
		json_object_get(json_array_get(json_object_get(list, "events"), i), key));
}

Test(events, come_newest_first_with_all_their_parts)
{
	events_add(events, EVENT_START, LOG_INFO, "", "ready");
	events_add(events, EVENT_HEALTH, LOG_WARN, "web/b1", "down: %s", "refused");
	json_t *list = events_to_json(events, 10);
	cr_assert_eq(json_array_size(json_object_get(list, "events")), 2);
	cr_assert_str_eq(text_of(list, 0, "kind"), "health");
	cr_assert_str_eq(text_of(list, 0, "level"), "warn");
	cr_assert_str_eq(text_of(list, 0, "subject"), "web/b1");
	cr_assert_str_eq(text_of(list, 0, "text"), "down: refused");
	cr_assert_str_eq(text_of(list, 1, "kind"), "start");
	json_decref(list);
}

Test(events, are_kept_up_to_a_bound_and_listed_up_to_a_limit)
{
	for (int i = 0; i < EVENTS_KEPT + 5; i++)
		events_add(events, EVENT_ADMIN, LOG_INFO, "", "%d", i);
	json_t *all = events_to_json(events, 1000);
	cr_assert_eq(json_array_size(json_object_get(all, "events")), EVENTS_KEPT);
	cr_assert_str_eq(text_of(all, 0, "text"), "204");
	cr_assert_str_eq(text_of(all, EVENTS_KEPT - 1, "text"), "5");
	json_decref(all);
	json_t *some = events_to_json(events, 3);
	cr_assert_eq(json_array_size(json_object_get(some, "events")), 3);
	cr_assert_str_eq(text_of(some, 2, "text"), "202");
	json_decref(some);
}

Test(events, that_are_not_utf_8_or_cut_within_a_character_are_still_told)
{
	char lang[2 * EVENT_TEXT_MAX];
	memset(lang, 'a', sizeof(lang));
	memcpy(lang + EVENT_TEXT_MAX - 2, "\xc3\xa4", 3); // the end of the room is in its middle
	events_add(events, EVENT_HEALTH, LOG_WARN, "p\xff", "%s", lang);
	json_t *list = events_to_json(events, 1);
	cr_assert_str_eq(text_of(list, 0, "subject"), "p?");
	cr_assert_eq(strlen(text_of(list, 0, "text")), EVENT_TEXT_MAX - 1);
	json_decref(list);
}

static void count(void *arg, const struct event_record *event)
{
	cr_assert_str_eq(event->text, "it");
	++*(int *)arg;
}

Test(events, are_told_to_the_watcher_until_it_leaves)
{
	int n = 0;
	events_watch(events, count, &n);
	events_add(events, EVENT_RELOAD, LOG_INFO, "", "it");
	events_watch(events, NULL, NULL);
	events_add(events, EVENT_RELOAD, LOG_INFO, "", "it");
	cr_assert_eq(n, 1);
	events_add(NULL, EVENT_RELOAD, LOG_INFO, "", "nobody keeps it");
}
