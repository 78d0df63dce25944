// SPDX-License-Identifier: Apache-2.0
// What a piece of work costs: nanoseconds by the clock, and, when callgrind runs this program,
// instructions, which it writes into a dump of its own under the name of the work.
#pragma once

#include <stdint.h>

#include "culvert/base/clock.h"

// Without valgrind's header the program still measures time.
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#define CALLGRIND_DUMP_STATS_AT(name) (void)(name)
#endif

static inline uint64_t meter_start(void)
{
	CALLGRIND_START_INSTRUMENTATION;
	return clock_now_ns();
}

// Returns nanoseconds since `started`.
static inline uint64_t meter_stop(uint64_t started, const char *name)
{
	uint64_t ns = clock_now_ns() - started;
	CALLGRIND_STOP_INSTRUMENTATION;
	CALLGRIND_DUMP_STATS_AT(name);
	return ns;
}
