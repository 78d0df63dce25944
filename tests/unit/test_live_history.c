// SPDX-License-Identifier: Apache-2.0
// Rates from counters: what a sample says, how many are kept, and what becomes of parts that come,
// go and are replaced.
#include "control/live_history.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "culvert/base/clock.h"

static struct live_history *history;
static char web_name[] = "web";
static char dns_name[] = "dns";
static char b1_name[] = "web/b1";
static char b2_name[] = "web/b2";
static struct live_part frontends[] = {{.name = web_name}, {.name = dns_name}};
static struct live_part backends[] = {{.name = b1_name}, {.name = b2_name}};
static struct live_reading reading;

static void setup(void)
{
	cr_assert_eq(live_history_create(&history, NULL), 0);
	reading = (struct live_reading){
		.now_ns = 100 * NS_PER_SEC,
		.time_ms = 1700000000000,
		.frontends = frontends,
		.n_frontends = 2,
		.backends = backends,
		.n_backends = 2,
	};
	cr_assert_eq(live_history_add(history, &reading), 0);
}

static void teardown(void)
{
	live_history_destroy(history);
}

TestSuite(live_history, .init = setup, .fini = teardown);

static void add_after(uint64_t ms)
{
	reading.now_ns += ms * NS_PER_MS;
	reading.time_ms += (int64_t)ms;
	cr_assert_eq(live_history_add(history, &reading), 0);
}

static double number(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);
	cr_assert(json_is_number(value), "%s", key);
	return json_number_value(value);
}

Test(live_history, the_first_reading_is_only_what_the_next_is_compared_with)
{
	json_t *newest = live_history_newest(history);
	cr_assert(json_is_null(newest));
	json_decref(newest);
	cr_assert_eq(live_history_n(history), 0);
}

Test(live_history, rates_are_differences_by_the_time_that_has_really_passed)
{
	reading.total = (struct traffic){.total_connections = 30,
					 .current_connections = 7,
					 .bytes_tx = 4000,
					 .bytes_rx = 10000000000};
	reading.packets = 500;
	reading.drops = 1;
	add_after(2000);
	json_t *newest = live_history_newest(history);
	cr_assert_eq(number(newest, "flows_per_s"), 15);
	cr_assert_eq(number(newest, "bytes_tx_per_s"), 2000);
	cr_assert_float_eq(number(newest, "bytes_rx_per_s"), 5e9, 1000);
	cr_assert_eq(number(newest, "current"), 7);
	cr_assert_eq(number(newest, "packets_per_s"), 250);
	cr_assert_eq(number(newest, "drops_per_s"), 0.5);
	cr_assert_str_eq(json_string_value(json_object_get(newest, "time")),
			 "2023-11-14T22:13:22.000Z");
	json_decref(newest);
}

Test(live_history, only_parts_that_do_something_are_told)
{
	frontends[0].traffic.bytes_tx = 10;
	backends[1].traffic.current_connections = 1;
	add_after(1000);
	json_t *newest = live_history_newest(history);
	json_t *told = json_object_get(newest, "frontends");
	cr_assert_eq(json_object_size(told), 1);
	cr_assert_eq(number(json_object_get(told, "web"), "bytes_tx_per_s"), 10);
	told = json_object_get(newest, "backends");
	cr_assert_eq(json_object_size(told), 1);
	cr_assert_eq(number(json_object_get(told, "web/b2"), "current"), 1);
	json_decref(newest);
}

Test(live_history, a_counter_that_went_back_counts_from_zero)
{
	reading.total.bytes_tx = 1000;
	add_after(1000);
	reading.total.bytes_tx = 5;
	add_after(1000);
	json_t *newest = live_history_newest(history);
	cr_assert_eq(number(newest, "bytes_tx_per_s"), 5);
	json_decref(newest);
}

Test(live_history, another_name_at_a_place_begins_anew_and_has_no_past)
{
	static char other[] = "other";
	frontends[0].traffic.bytes_tx = 100;
	add_after(1000);
	frontends[0] = (struct live_part){.name = other, .traffic = {.bytes_tx = 1000000}};
	add_after(1000);
	frontends[0].traffic.bytes_tx += 3;
	add_after(1000);
	json_t *all = live_history_all(history);
	cr_assert_eq(json_array_size(all), 3);
	for (size_t i = 0; i < 2; i++)
		cr_assert_eq(json_object_size(json_object_get(json_array_get(all, i), "frontends")),
			     0);
	json_t *last = json_object_get(json_array_get(all, 2), "frontends");
	cr_assert_eq(number(json_object_get(last, "other"), "bytes_tx_per_s"), 3);
	json_decref(all);
}

Test(live_history, parts_come_and_go)
{
	reading.n_backends = 0;
	add_after(1000);
	reading.n_backends = 2;
	backends[0].traffic.bytes_rx = 1000;
	add_after(1000);
	backends[0].traffic.bytes_rx = 1400;
	add_after(1000);
	json_t *newest = live_history_newest(history);
	json_t *told = json_object_get(newest, "backends");
	cr_assert_eq(json_object_size(told), 1);
	cr_assert_eq(number(json_object_get(told, "web/b1"), "bytes_rx_per_s"), 400);
	json_decref(newest);
}

Test(live_history, the_last_five_minutes_are_kept_oldest_first)
{
	for (unsigned i = 1; i <= LIVE_SAMPLES + 20; i++) {
		reading.total.total_connections += i;
		add_after(1000);
	}
	json_t *all = live_history_all(history);
	cr_assert_eq(json_array_size(all), LIVE_SAMPLES);
	cr_assert_eq(number(json_array_get(all, 0), "flows_per_s"), 21);
	cr_assert_eq(number(json_array_get(all, LIVE_SAMPLES - 1), "flows_per_s"),
		     LIVE_SAMPLES + 20);
	json_decref(all);
}

Test(live_history, of_thousands_of_backends_the_busiest_are_told)
{
	enum { N = 3 * LIVE_BACKENDS_TOLD };
	static char names[N][16];
	static struct live_part many[N];
	for (size_t i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "p/%zu", i);
		many[i] = (struct live_part){.name = names[i]};
	}
	reading.backends = many;
	reading.n_backends = N;
	add_after(1000);
	for (size_t i = 0; i < N; i++)
		many[i].traffic.bytes_tx = i + 1;
	add_after(1000);
	json_t *newest = live_history_newest(history);
	json_t *told = json_object_get(newest, "backends");
	cr_assert_eq(json_object_size(told), LIVE_BACKENDS_TOLD);
	cr_assert(json_object_get(told, names[N - 1]));
	cr_assert(json_object_get(told, names[N - LIVE_BACKENDS_TOLD]));
	cr_assert_null(json_object_get(told, names[N - LIVE_BACKENDS_TOLD - 1]));
	json_decref(newest);
}

static void rest_until(uint64_t ms)
{
	live_history_rest(history, reading.now_ns + ms * NS_PER_MS, reading.time_ms + (int64_t)ms);
}

Test(live_history, a_rest_gets_the_samples_that_it_would_have_had_but_for_the_last)
{
	reading.total = (struct traffic){.current_connections = 2};
	add_after(1000);
	cr_expect(live_history_is_still(history));
	rest_until(10000);
	cr_assert_eq(live_history_n(history), 1 + 9);
	json_t *all = live_history_all(history);
	json_t *third = json_array_get(all, 2);
	cr_expect_str_eq(json_string_value(json_object_get(third, "time")),
			 "2023-11-14T22:13:23.000Z");
	cr_expect_eq(number(third, "current"), 2);
	cr_expect_eq(number(third, "packets_per_s"), 0);
	json_decref(all);
}

Test(live_history, what_moved_after_a_rest_is_a_rate_of_its_last_second)
{
	add_after(1000);
	rest_until(10000);
	reading.packets = 500;
	add_after(10000);
	json_t *newest = live_history_newest(history);
	cr_expect_eq(number(newest, "packets_per_s"), 500);
	json_decref(newest);
	cr_expect_eq(live_history_n(history), 1 + 9 + 1);
}

Test(live_history, a_rest_that_has_been_made_up_for_is_not_again)
{
	add_after(1000);
	rest_until(10300);
	rest_until(11000);
	cr_expect_eq(live_history_n(history), 1 + 10);
	rest_until(11400);
	cr_expect_eq(live_history_n(history), 1 + 10, "the next sample is still to come");
}

Test(live_history, a_rest_longer_than_the_history_fills_it)
{
	enum { S = LIVE_SAMPLES + 100 };
	reading.packets = 5;
	add_after(1000);
	cr_expect_not(live_history_is_still(history));
	add_after(1000);
	rest_until(S * UINT64_C(1000));
	cr_assert_eq(live_history_n(history), LIVE_SAMPLES);
	json_t *all = live_history_all(history);
	cr_expect_eq(number(json_array_get(all, 0), "packets_per_s"), 0);
	json_decref(all);
	reading.packets += 7;
	add_after(S * UINT64_C(1000));
	json_t *newest = live_history_newest(history);
	cr_expect_eq(number(newest, "packets_per_s"), 7);
	json_decref(newest);
}

Test(live_history, nothing_is_made_up_before_the_first_sample)
{
	rest_until(10000);
	cr_expect_eq(live_history_n(history), 0);
}
