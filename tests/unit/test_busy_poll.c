// SPDX-License-Identifier: Apache-2.0
// Times in nanoseconds; the limit is 50 microseconds.
#include <criterion/criterion.h>

#include "packet/busy_poll.h"

enum { LIMIT_US = 50, LIMIT = 50000, LOOK = 5000 };

static const uint64_t us = 1000;

static struct busy_poll begun(uint32_t limit_us)
{
	struct busy_poll poll;
	busy_poll_init(&poll, limit_us);
	return poll;
}

// For so long it looks when nothing comes; from `now` on.
static uint64_t looks_for(struct busy_poll *poll, uint64_t now)
{
	uint64_t start = now;
	while (busy_poll_goes_on(poll, now))
		now += LOOK;
	return now - start;
}

// Something comes `n` times, each `gap` after the last. Returns when that is over.
static uint64_t come(struct busy_poll *poll, uint64_t now, uint32_t n, uint64_t gap)
{
	for (uint32_t i = 0; i < n; i++) {
		(void)busy_poll_goes_on(poll, now);
		now += gap;
		busy_poll_found(poll, now);
	}
	return now;
}

Test(busy_poll, who_knows_nothing_yet_sleeps)
{
	struct busy_poll poll = begun(LIMIT_US);
	cr_expect_eq(looks_for(&poll, 1), 0);
}

Test(busy_poll, looks_on_for_as_long_as_allowed_where_much_comes)
{
	struct busy_poll poll = begun(LIMIT_US);
	uint64_t now = come(&poll, 1, 100, 10 * us);
	cr_expect_eq(looks_for(&poll, now), LIMIT);
	// It is asleep then; what wakes it up does not change that much comes.
	busy_poll_found(&poll, now + LIMIT + us);
	cr_expect_eq(looks_for(&poll, now + LIMIT + us), LIMIT);
}

Test(busy_poll, a_single_pause_is_forgotten_soon)
{
	struct busy_poll poll = begun(LIMIT_US);
	uint64_t now = come(&poll, 1, 100, 10 * us);
	now = come(&poll, now, 1, 3600 * UINT64_C(1000000000));
	cr_expect_eq(looks_for(&poll, now), 0);
	now = come(&poll, now, 20, 10 * us);
	cr_expect_eq(looks_for(&poll, now), LIMIT);
}

Test(busy_poll, sleeps_at_once_where_little_comes)
{
	struct busy_poll poll = begun(LIMIT_US);
	uint64_t now = come(&poll, 1, 100, 10 * us);
	now = come(&poll, now, 100, 1000 * us);
	cr_expect_eq(looks_for(&poll, now), 0);
}

Test(busy_poll, none_is_wanted)
{
	struct busy_poll poll = begun(0);
	uint64_t now = come(&poll, 1, 100, 1);
	cr_expect_eq(looks_for(&poll, now), 0);
}
