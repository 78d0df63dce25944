// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>
#include <time.h>

#define NS_PER_SEC 1000000000ULL
#define NS_PER_MS  1000000ULL

// Nanoseconds of CLOCK_MONOTONIC. Any thread.
static inline uint64_t clock_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

enum { CLOCK_WALL_TEXT_MAX = 32 };

// Milliseconds since 1970 by the wall clock, which may be set: for people, not for durations.
int64_t clock_wall_ms(void);
// RFC 3339 in UTC with milliseconds. `text` has room for CLOCK_WALL_TEXT_MAX. Returns `text`.
const char *clock_wall_format(int64_t wall_ms, char *text);
