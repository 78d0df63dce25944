// SPDX-License-Identifier: Apache-2.0
// Watches that look while something moves, rest while nothing does, and come back in step.
#include "culvert/control/activity.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <time.h>

#include "culvert/base/clock.h"
#include "culvert/ds/doorbell.h"

enum { PERIOD_MS = 20, PATIENCE_S = 30 };

struct watcher {
	struct activity_watch watch;
	unsigned n_looks;
	unsigned n_after_rest;
	uint64_t due_ns; // of the last look
	bool sees;
};

static struct event_base *base;
static struct activity *activity;
static struct watcher fast;
static struct watcher slow;

static bool look(void *arg, bool is_after_rest)
{
	struct watcher *watcher = arg;
	watcher->n_looks++;
	watcher->n_after_rest += is_after_rest;
	watcher->due_ns = watcher->watch.due_ns;
	return watcher->sees;
}

static void add(struct watcher *watcher, uint32_t period_ms)
{
	*watcher = (struct watcher){
		.watch = {.look = look, .arg = watcher, .period_ms = period_ms},
		.sees = true,
	};
	cr_assert_eq(activity_add(activity, &watcher->watch, NULL), 0);
}

static void setup(void)
{
	base = event_base_new();
	cr_assert(base);
	cr_assert_eq(activity_create(&activity, base, NULL), 0);
	add(&fast, PERIOD_MS);
	add(&slow, 2 * PERIOD_MS);
}

static void teardown(void)
{
	activity_remove(&fast.watch);
	activity_remove(&slow.watch);
	activity_destroy(activity);
	event_base_free(base);
}

TestSuite(activity, .init = setup, .fini = teardown, .timeout = 120);

static void turn(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	event_base_loop(base, EVLOOP_NONBLOCK);
	nanosleep(&pause, NULL);
}

static void turn_for(uint64_t ms)
{
	uint64_t end_ns = clock_now_ns() + ms * NS_PER_MS;
	while (clock_now_ns() < end_ns)
		turn();
}

static void await_looks(const struct watcher *watcher, unsigned n)
{
	time_t end = time(NULL) + PATIENCE_S;
	while (watcher->n_looks < n && time(NULL) < end)
		turn();
	cr_assert_geq(watcher->n_looks, n);
}

static void await_rest(void)
{
	time_t end = time(NULL) + PATIENCE_S;
	fast.sees = slow.sees = false;
	while (!activity_is_resting(activity) && time(NULL) < end)
		turn();
	cr_assert(activity_is_resting(activity));
}

Test(activity, each_looks_again_and_again_while_one_of_them_sees_something)
{
	fast.sees = false;
	await_looks(&slow, 5);
	await_looks(&fast, 5);
	cr_expect_not(activity_is_resting(activity));
	cr_expect_eq(fast.n_after_rest, 0);
}

Test(activity, nobody_looks_when_nobody_has_seen_anything_in_two_rounds)
{
	await_looks(&slow, 1);
	unsigned n = slow.n_looks;
	await_rest();
	cr_expect_geq(slow.n_looks, n + 2, "the bell was armed before the last look of each");
	n = slow.n_looks + fast.n_looks;
	turn_for(UINT64_C(10) * PERIOD_MS);
	cr_expect_eq(slow.n_looks + fast.n_looks, n);
}

Test(activity, the_bell_of_the_data_path_ends_a_rest)
{
	await_rest();
	unsigned n = slow.n_looks;
	doorbell_ring(activity_bell(activity));
	await_looks(&slow, n + 2);
	cr_expect_eq(slow.n_after_rest, 1, "the first look alone is told of it");
	cr_expect_eq(fast.n_after_rest, 1);
	await_rest();
	n = slow.n_looks;
	doorbell_ring(activity_bell(activity));
	await_looks(&slow, n + 1);
}

Test(activity, the_bell_rings_before_the_rest_as_well)
{
	time_t end = time(NULL) + PATIENCE_S;
	struct doorbell *bell = activity_bell(activity);
	fast.sees = slow.sees = false;
	while (!atomic_load(&bell->is_waiting) && time(NULL) < end)
		turn();
	cr_assert(atomic_load(&bell->is_waiting));
	cr_assert_not(activity_is_resting(activity));
	unsigned n = slow.n_looks;
	doorbell_ring(bell);
	await_rest();
	cr_expect_geq(slow.n_looks, n + 2, "both rounds begin anew");
}

Test(activity, news_of_control_end_a_rest)
{
	await_rest();
	unsigned n = fast.n_looks;
	activity_stir(activity);
	cr_expect_not(activity_is_resting(activity));
	await_looks(&fast, n + 1);
}

Test(activity, the_bell_wakes_nobody_while_somebody_looks)
{
	await_looks(&slow, 1);
	cr_expect_not(atomic_load(&activity_bell(activity)->is_waiting));
	await_rest();
	activity_stir(activity);
	cr_expect_not(atomic_load(&activity_bell(activity)->is_waiting));
}

Test(activity, looks_come_back_in_step)
{
	await_looks(&slow, 2);
	uint64_t before_ns = slow.due_ns;
	await_rest();
	turn_for(UINT64_C(3) * PERIOD_MS);
	unsigned n = slow.n_looks;
	activity_stir(activity);
	await_looks(&slow, n + 1);
	cr_expect_eq((slow.due_ns - before_ns) % (2 * NS_PER_MS * PERIOD_MS), 0);
}

Test(activity, another_watch_ends_a_rest)
{
	static struct watcher late;
	await_rest();
	add(&late, PERIOD_MS);
	await_looks(&late, 2);
	activity_remove(&late.watch);
	activity_remove(&late.watch);
	cr_expect_not(activity_is_resting(activity));
}
