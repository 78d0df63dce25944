// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them. Pure. Each fills `text`, which has room for UNITS_TEXT_MAX, and
// returns it.
#pragma once

#include <stdint.h>

enum { UNITS_TEXT_MAX = 32 };

const char *units_count(int64_t count, char *text);          // "1,234,567"
const char *units_whole(double count, char *text);           // the same; "-" for what is none
const char *units_bytes(double bytes, char *text);           // "812 B", "1.2 MB"; powers of 1000
const char *units_byte_rate(double bytes_per_s, char *text); // "1.2 MB/s"
const char *units_rate(double per_s, char *text);            // "0.4", "37", "1,204"
const char *units_weight(double weight, char *text);         // "3", "0.4"
const char *units_share(double share, char *text);           // 0 to 1: "0%", "0.4%", "33%"
const char *units_percent(double share, char *text);         // likewise, exactly: "33.3%"
const char *units_duration(double seconds, char *text); // "8 s", "3 min", "2 h 5 min", "4 d 3 h"
// Of a time as the API says it (RFC 3339, UTC): "2026-11-21 14:03:22" in the zone of this process.
// What is no such time is given back as it is, cut to fit.
const char *units_time(const char *rfc3339, char *text);
// How long before `now`, in seconds since 1970, that time was; negative when it is no such time.
double units_age(const char *rfc3339, double now);
