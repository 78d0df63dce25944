// SPDX-License-Identifier: Apache-2.0
// When refusals and silence count against a backend, and above all when they do not.
#include "culvert/control/open_watch.h"

#include <criterion/criterion.h>

enum { FALL = 3, SILENCE = 1000, STEP = 100, LATER = 9000 };

static const struct open_rules rules = {
	.fall = FALL,
	.silence_ns = SILENCE,
	.hears_answers = true,
};

// A backend's sums, a clock, and the watch.
struct bench {
	struct open_watch watch;
	struct opens opens;
	uint64_t now;
};

static struct bench begin(void)
{
	struct bench bench = {.opens = {100, 90, 10, 5000}, .now = 1};
	cr_assert_eq(open_watch_look(&bench.watch, &rules, &bench.opens, bench.now), OPENS_WELL);
	return bench;
}

// Add to the sums, let time pass, and look.
static enum open_verdict look(struct bench *bench, struct opens more)
{
	bench->opens.asked += more.asked;
	bench->opens.answered += more.answered;
	bench->opens.refused += more.refused;
	bench->opens.heard += more.heard;
	bench->now += STEP;
	return open_watch_look(&bench->watch, &rules, &bench->opens, bench->now);
}

static const struct opens answer = {.asked = 1, .answered = 1, .heard = 1};
static const struct opens refusal = {.asked = 1, .refused = 1, .heard = 1};
static const struct opens question = {.asked = 1};
static const struct opens data = {.heard = 5};
static const struct opens nothing = {0};

Test(open_watch, counts_refusals_in_a_row)
{
	struct bench bench = begin();
	cr_expect_eq(look(&bench, refusal), OPENS_WELL);
	cr_expect_eq(look(&bench, refusal), OPENS_WELL);
	cr_expect_eq(look(&bench, nothing), OPENS_WELL);
	cr_expect_eq(look(&bench, refusal), OPENS_REFUSED);
	cr_expect_eq(look(&bench, nothing), OPENS_WELL, "said twice");
	cr_expect_eq(look(&bench, (struct opens){3, 0, 3, 3}), OPENS_REFUSED, "all in one look");
}

Test(open_watch, an_answer_in_between_forgives)
{
	struct bench bench = begin();
	for (int i = 0; i < 10; i++) {
		cr_expect_eq(look(&bench, refusal), OPENS_WELL);
		cr_expect_eq(look(&bench, refusal), OPENS_WELL);
		cr_expect_eq(look(&bench, answer), OPENS_WELL);
	}
	cr_expect_eq(look(&bench, (struct opens){101, 1, 100, 101}), OPENS_WELL,
		     "among a hundred refusals, one answer");
}

Test(open_watch, what_was_before_the_first_look_does_not_count)
{
	struct open_watch watch = {0};
	struct opens opens = {.asked = 9, .refused = 9, .heard = 9};
	cr_expect_eq(open_watch_look(&watch, &rules, &opens, 1), OPENS_WELL);
	cr_expect_eq(open_watch_look(&watch, &rules, &opens, LATER), OPENS_WELL);
}

// Returns after how many looks silence is found, or 0 when it is not in a hundred.
static unsigned await_silence(struct bench *bench, struct opens each)
{
	for (unsigned n = 1; n <= 100; n++) {
		if (look(bench, each) == OPENS_SILENT)
			return n;
	}
	return 0;
}

Test(open_watch, finds_silence_after_its_time)
{
	struct bench bench = begin();
	look(&bench, answer);
	unsigned n = await_silence(&bench, question);
	cr_expect_gt(n, SILENCE / STEP);
	cr_expect_leq(n, SILENCE / STEP + 2);
	cr_expect_gt(await_silence(&bench, question), SILENCE / STEP, "again at once");
}

Test(open_watch, nobody_asks_and_nobody_answers)
{
	struct bench bench = begin();
	cr_expect_eq(await_silence(&bench, nothing), 0);
}

Test(open_watch, fewer_than_it_takes_say_nothing)
{
	struct bench bench = begin();
	look(&bench, question);
	look(&bench, question);
	cr_expect_eq(await_silence(&bench, nothing), 0);
}

// A flood of SYNs for which the backend has no room, and connections that are alive.
Test(open_watch, a_backend_that_speaks_of_anything_is_not_silent)
{
	struct bench bench = begin();
	cr_expect_eq(await_silence(&bench, (struct opens){.asked = 10000, .heard = 1}), 0);
	for (int i = 0; i < 50; i++) {
		look(&bench, (struct opens){.asked = 10000});
		cr_expect_neq(look(&bench, data), OPENS_SILENT);
	}
}

Test(open_watch, the_silence_before_the_first_question_does_not_count)
{
	struct bench bench = begin();
	for (int i = 0; i < 50; i++)
		look(&bench, nothing);
	cr_expect_gt(await_silence(&bench, question), SILENCE / STEP);
}

Test(open_watch, where_answers_are_not_heard_silence_says_nothing)
{
	static const struct open_rules deaf = {.fall = FALL, .silence_ns = SILENCE};
	struct open_watch watch = {0};
	struct opens opens = {0};
	for (uint64_t now = 1; now < 100000; now += STEP) {
		opens.asked += 10;
		cr_expect_eq(open_watch_look(&watch, &deaf, &opens, now), OPENS_WELL);
	}
	opens.refused += FALL;
	cr_expect_eq(open_watch_look(&watch, &deaf, &opens, 200000), OPENS_REFUSED);
}

Test(open_watch, a_time_without_looks_is_no_silence)
{
	struct bench bench = begin();
	bench.now += LATER;
	open_watch_skip(&bench.watch, bench.now);
	for (int i = 0; i < FALL; i++)
		cr_expect_eq(look(&bench, question), OPENS_WELL);
	cr_expect_eq(look(&bench, nothing), OPENS_WELL);
	bench.now += SILENCE;
	cr_expect_eq(look(&bench, nothing), OPENS_SILENT);
}

Test(open_watch, who_was_waiting_before_still_is_after_a_time_without_looks)
{
	struct bench bench = begin();
	look(&bench, question);
	bench.now += LATER;
	open_watch_skip(&bench.watch, bench.now);
	look(&bench, question);
	cr_expect_eq(look(&bench, question), OPENS_SILENT);
}

Test(open_watch, says_whether_it_has_seen_anything)
{
	static const struct opens *const seen[] = {&answer, &refusal, &question, &data};
	struct open_watch before = {0};
	struct bench bench = begin();
	cr_expect(open_watch_has_moved(&bench.watch, &before), "the first look");
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		before = bench.watch;
		look(&bench, nothing);
		cr_expect_not(open_watch_has_moved(&bench.watch, &before));
		before = bench.watch;
		look(&bench, *seen[i]);
		cr_expect(open_watch_has_moved(&bench.watch, &before), "%zu", i);
	}
}

Test(open_watch, waits_for_silence_to_last)
{
	const struct open_rules deaf = {.fall = FALL, .silence_ns = SILENCE};
	struct bench bench = begin();
	for (int i = 0; i < FALL; i++) {
		cr_expect_not(open_watch_is_waiting(&bench.watch, &rules));
		look(&bench, question);
	}
	cr_expect(open_watch_is_waiting(&bench.watch, &rules));
	cr_expect_not(open_watch_is_waiting(&bench.watch, &deaf));
	bench.now += SILENCE;
	cr_expect_eq(look(&bench, nothing), OPENS_SILENT);
	cr_expect_not(open_watch_is_waiting(&bench.watch, &rules));
}
