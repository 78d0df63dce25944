// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/clock.h"

#include <stdio.h>

enum { MS_PER_SEC = 1000 };

int64_t clock_wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * MS_PER_SEC + now.tv_nsec / (long)NS_PER_MS;
}

const char *clock_wall_format(int64_t wall_ms, char *text)
{
	time_t seconds = (time_t)(wall_ms / MS_PER_SEC);
	struct tm utc;
	char stamp[CLOCK_WALL_TEXT_MAX];
	gmtime_r(&seconds, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, CLOCK_WALL_TEXT_MAX, "%.23s.%03dZ", stamp, (int)(wall_ms % MS_PER_SEC));
	return text;
}
