// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/histogram.h"

#include <criterion/criterion.h>
#include <stdint.h>

#define US UINT64_C(1000)

Test(histogram, bounds_rise_from_100_us_to_an_hour)
{
	cr_expect_eq(histogram_bounds_us[0], 100);
	cr_expect_eq(histogram_bounds_us[HISTOGRAM_BOUNDS - 1], 3600000000U);
	for (int i = 1; i < HISTOGRAM_BOUNDS; i++)
		cr_expect_gt(histogram_bounds_us[i], histogram_bounds_us[i - 1]);
}

static unsigned bucket_of(uint64_t duration_ns)
{
	struct histogram histogram = {0};
	unsigned found = UINT32_MAX;
	uint64_t n = 0;
	histogram_add(&histogram, duration_ns);
	for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		n += counter_read(&histogram.buckets[i]);
		if (counter_read(&histogram.buckets[i]))
			found = i;
	}
	cr_expect_eq(n, 1, "one duration, %llu counts", (unsigned long long)n);
	return found;
}

Test(histogram, bounds_belong_to_their_bucket)
{
	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		uint64_t bound_ns = histogram_bounds_us[i] * US;
		cr_expect_eq(bucket_of(bound_ns), i, "bound %u", i);
		cr_expect_eq(bucket_of(bound_ns + 1), i + 1, "above bound %u", i);
		cr_expect_eq(bucket_of(bound_ns - 1), i, "below bound %u", i);
	}
	cr_expect_eq(bucket_of(0), 0);
	cr_expect_eq(bucket_of(UINT64_C(86400) * 1000000 * US), HISTOGRAM_BOUNDS);
}

Test(histogram, what_threads_have_counted_adds_up)
{
	struct histogram histograms[2] = {0};
	struct histogram_sum sum = {0};
	histogram_add(&histograms[0], 50 * US);
	histogram_add(&histograms[0], 300 * US);
	histogram_add(&histograms[1], 400 * US);
	histogram_add(&histograms[1], 1); // a part of a microsecond is one
	for (int i = 0; i < 2; i++)
		histogram_gather(&sum, &histograms[i]);
	cr_expect_eq(sum.sum_us, 50 + 300 + 400 + 1);
	cr_expect_eq(sum.buckets[0], 2);
	cr_expect_eq(sum.buckets[1], 0);
	cr_expect_eq(sum.buckets[2], 2);
}
