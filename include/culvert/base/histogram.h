// SPDX-License-Identifier: Apache-2.0
// Durations counted into fixed buckets, from 100 µs to an hour. One writer, any number of readers.
#pragma once

#include "culvert/base/counter.h"

enum { HISTOGRAM_BOUNDS = 20 };

// Upper bounds in microseconds, inclusive, rising.
extern const uint32_t histogram_bounds_us[HISTOGRAM_BOUNDS];

struct histogram {                               // w: its thread, r: any
	counter_t buckets[HISTOGRAM_BOUNDS + 1]; // the last: above every bound
	counter_t sum_us;
};

// A sum of such histograms, for people.
struct histogram_sum {
	uint64_t buckets[HISTOGRAM_BOUNDS + 1];
	uint64_t sum_us;
};

// Called by: the histogram's only writer.
void histogram_add(struct histogram *histogram, uint64_t duration_ns);

// Called by: any thread.
void histogram_gather(struct histogram_sum *sum, const struct histogram *histogram);

// Take away what was there before.
void histogram_subtract(struct histogram_sum *sum, const struct histogram_sum *before);
