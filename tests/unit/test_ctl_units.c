// SPDX-License-Identifier: Apache-2.0
#include "ctl/units.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

static void check(const char *is, const char *should_be)
{
	cr_expect_str_eq(is, should_be);
}

Test(ctl_units, counts_have_their_thousands_apart)
{
	char text[UNITS_TEXT_MAX];
	check(units_count(0, text), "0");
	check(units_count(999, text), "999");
	check(units_count(1000, text), "1,000");
	check(units_count(1234567, text), "1,234,567");
	check(units_count(-1234, text), "-1,234");
	check(units_count(INT64_MIN, text), "-9,223,372,036,854,775,808");
}

Test(ctl_units, numbers_that_are_none_are_dashes)
{
	char text[UNITS_TEXT_MAX];
	check(units_whole(NAN, text), "-");
	check(units_whole(1e300, text), "-");
	check(units_rate(NAN, text), "-");
	check(units_bytes(INFINITY, text), "-");
	check(units_share(NAN, text), "-");
	check(units_percent(NAN, text), "-");
	check(units_duration(NAN, text), "-");
}

Test(ctl_units, bytes_have_two_or_three_digits_and_the_unit_that_fits)
{
	static const struct {
		double bytes;
		const char *text;
	} cases[] = {
		{0, "0 B"},      {999, "999 B"},     {1000, "1.0 kB"},   {9949, "9.9 kB"},
		{9950, "10 kB"}, {999499, "999 kB"}, {999500, "1.0 MB"}, {1234567, "1.2 MB"},
		{34e6, "34 MB"}, {1.2e9, "1.2 GB"},  {5e12, "5.0 TB"},   {9e18, "9.0 EB"},
	};
	char text[UNITS_TEXT_MAX];
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		check(units_bytes(cases[i].bytes, text), cases[i].text);
	check(units_byte_rate(1234567, text), "1.2 MB/s");
}

Test(ctl_units, small_rates_have_a_decimal)
{
	char text[UNITS_TEXT_MAX];
	check(units_rate(0, text), "0");
	check(units_rate(0.44, text), "0.4");
	check(units_rate(9.96, text), "10");
	check(units_rate(1204.4, text), "1,204");
	check(units_weight(3, text), "3");
	check(units_weight(0.3, text), "0.3");
	check(units_weight(1204.4, text), "1,204");
	check(units_weight(NAN, text), "-");
}

Test(ctl_units, a_share_is_all_only_when_it_is_all)
{
	char text[UNITS_TEXT_MAX];
	check(units_share(0, text), "0%");
	check(units_share(0.0004, text), "<0.1%");
	check(units_share(0.0123, text), "1.2%");
	check(units_percent(0.53312, text), "53.3%");
	check(units_percent(1, text), "100.0%");
	check(units_share(0.333, text), "33%");
	check(units_share(0.9954, text), "99.5%");
	check(units_share(0.99999, text), "99.9%");
	check(units_share(1, text), "100%");
}

Test(ctl_units, durations_have_two_units_at_most)
{
	char text[UNITS_TEXT_MAX];
	check(units_duration(-1, text), "0 s");
	check(units_duration(59.9, text), "59 s");
	check(units_duration(60, text), "1 min");
	check(units_duration(3600, text), "1 h");
	check(units_duration(7500, text), "2 h 5 min");
	check(units_duration(86400.0 * 3 + 3600 * 4, text), "3 d 4 h");
}

Test(ctl_units, times_are_shown_in_the_zone_of_the_process)
{
	char text[UNITS_TEXT_MAX];
	setenv("TZ", "UTC-1", 1); // POSIX: one hour east
	tzset();
	check(units_time("2026-11-21T23:30:00.500Z", text), "2026-11-22 00:30:00");
	check(units_time("2026-11-21T23:30:00Z", text), "2026-11-22 00:30:00");
}

Test(ctl_units, what_is_no_time_stays_as_it_is)
{
	static const char *const texts[] = {"", "yesterday", "2026-11-21T10:00:00+01:00",
					    "2026-11-21T10:00:00.5"};
	char text[UNITS_TEXT_MAX];
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		check(units_time(texts[i], text), texts[i]);
		cr_expect_lt(units_age(texts[i], 1e9), 0, "%s", texts[i]);
	}
	check(units_time("a text that is much longer than any time could be", text),
	      "a text that is much longer than");
}

Test(ctl_units, an_age_is_never_negative_for_a_time)
{
	cr_expect_float_eq(units_age("1970-01-01T00:01:00.000Z", 90), 30, 0.001);
	cr_expect_float_eq(units_age("1970-01-01T00:01:00.250Z", 90), 29.75, 0.001);
	cr_expect_float_eq(units_age("1970-01-01T00:02:00Z", 90), 0, 0.001);
}
