// SPDX-License-Identifier: Apache-2.0
// Runs the packet tables of tests/golden through the whole packet path: step by step with every
// layout of threads, and, those cases that need no answer from a run, from capture files.
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/golden_run.h"

typedef void (*run_fn)(const struct golden_table *table, const struct golden_case *test,
		       int workers, struct frame_log *log);

static size_t for_each_case(run_fn run, int workers, struct frame_log *log)
{
	glob_t found;
	size_t n_cases = 0;
	cr_assert_eq(glob("tests/golden/*.txt", 0, NULL, &found), 0, "run from the repository");
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct golden_table table;
		const char *wrong = golden_read(&table, found.gl_pathv[i]);
		cr_assert_null(wrong, "%s: %s", found.gl_pathv[i], wrong);
		for (size_t c = 0; c < table.n_cases; c++) {
			if (run == golden_replay_case && !golden_is_replayable(&table.cases[c]))
				continue;
			run(&table, &table.cases[c], workers, log);
			n_cases++;
		}
		golden_free(&table);
	}
	globfree(&found);
	return n_cases;
}

Test(golden, packets_in_one_thread)
{
	cr_expect_geq(for_each_case(golden_run_case, WORKERS_INLINE, NULL), 60);
}

Test(golden, packets_with_one_worker)
{
	for_each_case(golden_run_case, 1, NULL);
}

Test(golden, packets_with_three_workers)
{
	for_each_case(golden_run_case, 3, NULL);
}

Test(golden, captures_in_one_thread)
{
	cr_expect_geq(for_each_case(golden_replay_case, WORKERS_INLINE, NULL), 20);
}

Test(golden, captures_with_one_worker)
{
	for_each_case(golden_replay_case, 1, NULL);
}

Test(golden, captures_with_three_workers)
{
	for_each_case(golden_replay_case, 3, NULL);
}

// What scapy makes of every frame that comes in and of every one that was sent.
Test(golden, an_independent_parser_finds_the_frames_as_right_and_wrong_as_the_tables_say)
{
	char dir[] = "/tmp/culvert-frames-XXXXXX";
	char command[100];
	cr_assert_not_null(mkdtemp(dir));
	struct frame_log *log = frame_log_open(dir);
	for_each_case(golden_run_case, WORKERS_INLINE, log);
	frame_log_close(log);
	snprintf(command, sizeof(command), "/usr/bin/python3 tests/golden/check_frames %s", dir);
	cr_expect_eq(system(command), 0); // NOLINT(cert-env33-c)
	snprintf(command, sizeof(command), "rm -r %s", dir);
	cr_expect_eq(system(command), 0); // NOLINT(cert-env33-c)
}
