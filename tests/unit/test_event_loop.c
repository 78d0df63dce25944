// SPDX-License-Identifier: Apache-2.0
// The loop that everything of control turns in.
#include "culvert/base/event_loop.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <sys/resource.h>

static void count(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	++*(int *)arg;
}

static long sleeps(void)
{
	struct rusage usage;
	cr_assert_eq(getrusage(RUSAGE_THREAD, &usage), 0);
	return usage.ru_nvcsw;
}

// A clock that stands still for a tick of the kernel has it sleep two or three times more for each.
Test(event_loop, sleeps_once_for_a_timer)
{
	enum { N_TIMERS = 40, US = 9500 };
	static const struct timeval soon = {.tv_usec = US};
	struct event_base *base = event_loop_create();
	cr_assert(base);
	int n = 0;
	struct event *timer = evtimer_new(base, count, &n);
	cr_assert(timer);
	long before = sleeps();
	for (int i = 0; i < N_TIMERS; i++) {
		cr_assert_eq(event_add(timer, &soon), 0);
		cr_assert_eq(event_base_dispatch(base), 1, "nothing is pending any more");
	}
	cr_expect_eq(n, N_TIMERS);
	cr_expect_leq(sleeps() - before, N_TIMERS + N_TIMERS / 4);
	event_free(timer);
	event_base_free(base);
}
