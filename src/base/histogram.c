// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/histogram.h"

enum { NS_PER_US = 1000 };

const uint32_t histogram_bounds_us[HISTOGRAM_BOUNDS] = {100,      250,      500,       1000,
							2500,     5000,     10000,     25000,
							50000,    100000,   250000,    500000,
							1000000,  2500000,  5000000,   10000000,
							30000000, 60000000, 300000000, 3600000000};

void histogram_add(struct histogram *histogram, uint64_t duration_ns)
{
	uint64_t us = (duration_ns + NS_PER_US - 1) / NS_PER_US;
	unsigned bucket = 0;
	while (bucket < HISTOGRAM_BOUNDS && us > histogram_bounds_us[bucket])
		bucket++;
	counter_add(&histogram->buckets[bucket], 1);
	counter_add(&histogram->sum_us, us);
}

void histogram_gather(struct histogram_sum *sum, const struct histogram *histogram)
{
	for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++)
		sum->buckets[i] += counter_read(&histogram->buckets[i]);
	sum->sum_us += counter_read(&histogram->sum_us);
}

void histogram_subtract(struct histogram_sum *sum, const struct histogram_sum *before)
{
	for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++)
		sum->buckets[i] -= before->buckets[i];
	sum->sum_us -= before->sum_us;
}
