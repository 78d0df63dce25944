// SPDX-License-Identifier: Apache-2.0
#include "ctl/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "culvert/base/digits.h"

enum { MINUTE_S = 60, HOUR_S = 60 * MINUTE_S, DAY_S = 24 * HOUR_S };

static const char *unknown(char *text)
{
	memcpy(text, "-", sizeof("-"));
	return text;
}

const char *units_count(int64_t count, char *text)
{
	bool is_negative = count < 0;
	_Static_assert((int)UNITS_TEXT_MAX > (int)DIGITS_TEXT_MAX, "there is room for a sign");
	if (is_negative)
		*text = '-';
	digits_group(is_negative ? 0 - (uint64_t)count : (uint64_t)count, text + is_negative);
	return text;
}

const char *units_whole(double count, char *text)
{
	if (!isfinite(count) || fabs(count) > (double)INT64_MAX / 2)
		return unknown(text);
	return units_count(llround(count), text);
}

// Three digits say enough: the first decimal only while there is one digit before it.
static const char *scaled(double value, const char *suffix, char *text)
{
	static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
	enum { N_PREFIXES = sizeof(prefixes) / sizeof(*prefixes) };
	size_t i = 0;
	if (!isfinite(value))
		return unknown(text);
	while (fabs(value) >= 999.5 && i + 1 < N_PREFIXES) {
		value /= 1000;
		i++;
	}
	int decimals = i > 0 && fabs(value) < 9.95;
	snprintf(text, UNITS_TEXT_MAX, "%.*f %s%s", decimals, value, prefixes[i], suffix);
	return text;
}

const char *units_bytes(double bytes, char *text)
{
	return scaled(bytes, "B", text);
}

const char *units_byte_rate(double bytes_per_s, char *text)
{
	return scaled(bytes_per_s, "B/s", text);
}

const char *units_rate(double per_s, char *text)
{
	if (!(per_s > 0 && per_s < 9.95))
		return units_whole(per_s, text);
	snprintf(text, UNITS_TEXT_MAX, "%.1f", per_s);
	return text;
}

const char *units_weight(double weight, char *text)
{
	return weight == floor(weight) ? units_whole(weight, text) : units_rate(weight, text);
}

const char *units_share(double share, char *text)
{
	double percent = share * 100;
	if (!isfinite(percent))
		return unknown(text);
	if (percent > 0 && percent < 0.1)
		return memcpy(text, "<0.1%", sizeof("<0.1%"));
	if (percent > 99 && percent < 100) // which is not all
		percent = floor(percent * 10) / 10;
	bool has_decimal = percent > 0 && percent < 100 && (percent < 9.95 || percent > 99);
	snprintf(text, UNITS_TEXT_MAX, "%.*f%%", has_decimal, percent);
	return text;
}

const char *units_percent(double share, char *text)
{
	if (!isfinite(share))
		return unknown(text);
	snprintf(text, UNITS_TEXT_MAX, "%.1f%%", share * 100);
	return text;
}

static const char *two_parts(int64_t whole, const char *unit, int64_t rest, const char *rest_unit,
			     char *text)
{
	int length = snprintf(text, UNITS_TEXT_MAX, "%" PRId64 " %s", whole, unit);
	if (rest > 0 && length < UNITS_TEXT_MAX)
		snprintf(text + length, (size_t)(UNITS_TEXT_MAX - length), " %" PRId64 " %s", rest,
			 rest_unit);
	return text;
}

const char *units_duration(double seconds, char *text)
{
	if (!isfinite(seconds) || fabs(seconds) > 1e15)
		return unknown(text);
	int64_t whole = seconds > 0 ? (int64_t)seconds : 0;
	if (whole < MINUTE_S)
		return two_parts(whole, "s", 0, "", text);
	if (whole < HOUR_S)
		return two_parts(whole / MINUTE_S, "min", 0, "", text);
	if (whole < DAY_S)
		return two_parts(whole / HOUR_S, "h", whole % HOUR_S / MINUTE_S, "min", text);
	return two_parts(whole / DAY_S, "d", whole % DAY_S / HOUR_S, "h", text);
}

static double parse_time(const char *rfc3339)
{
	struct tm tm = {0};
	const char *rest = strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return NAN;
	double fraction = 0;
	if (*rest == '.') {
		char *end;
		fraction = strtod(rest, &end);
		rest = end;
	}
	return strcmp(rest, "Z") == 0 ? (double)timegm(&tm) + fraction : NAN;
}

const char *units_time(const char *rfc3339, char *text)
{
	double time_s = parse_time(rfc3339);
	struct tm tm;
	time_t whole = isfinite(time_s) ? (time_t)time_s : 0;
	if (!isfinite(time_s) || !localtime_r(&whole, &tm) ||
	    strftime(text, UNITS_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(text, UNITS_TEXT_MAX, "%s", rfc3339);
	return text;
}

double units_age(const char *rfc3339, double now)
{
	double time_s = parse_time(rfc3339);
	if (!isfinite(time_s))
		return -1;
	return now > time_s ? now - time_s : 0;
}
