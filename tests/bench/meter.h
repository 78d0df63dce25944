// SPDX-License-Identifier: Apache-2.0
// What a piece of work costs its thread: nanoseconds on a processor, page faults, and, when
// callgrind runs this program, instructions, which it writes into a dump of its own under the name
// of the work. What others do to a machine in the meantime is not in them, but for what they do to
// its caches, and for what a host takes from a virtual machine.
#pragma once

#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#include "culvert/base/clock.h"

// Without valgrind's header the program still measures time.
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#define CALLGRIND_DUMP_STATS_AT(name) (void)(name)
#endif

// Sums of everything between a start and a stop; zeros to begin with.
struct meter {
	uint64_t ns;
	uint64_t faults; // that no disk was needed for: memory touched for the first time
	uint64_t ns_at_start;
	uint64_t faults_at_start;
};

static inline uint64_t meter_thread_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

static inline uint64_t meter_thread_faults(void)
{
	struct rusage usage;
	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)usage.ru_minflt;
}

static inline void meter_start(struct meter *meter)
{
	meter->faults_at_start = meter_thread_faults();
	CALLGRIND_START_INSTRUMENTATION;
	meter->ns_at_start = meter_thread_ns();
}

static inline void meter_stop(struct meter *meter)
{
	meter->ns += meter_thread_ns() - meter->ns_at_start;
	CALLGRIND_STOP_INSTRUMENTATION;
	meter->faults += meter_thread_faults() - meter->faults_at_start;
}

// The instructions since the last dump are those of `name`.
static inline void meter_dump(const char *name)
{
	CALLGRIND_DUMP_STATS_AT(name);
}
