// SPDX-License-Identifier: Apache-2.0
// Stands in for libcriterion in builds with a sanitizer: ThreadSanitizer's shadow memory and
// Criterion's sandbox claim the same addresses, and every sanitizer starts slowly, which Criterion
// has it do for each test. Runs the tests that Criterion's macros have collected in the section
// cr_tst, each in a child of its own, --jobs N of them at a time, and sums up as Criterion does.
// Knows what the tests here use: Test and TestSuite with init, fini, timeout, exit_code, signal and
// disabled; assertions; skipping. A missing feature is a link error.
#include <criterion/criterion.h>
#include <criterion/internal/asprintf-compat.h>
#include <criterion/options.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_SKIPPED = 77, TIMEOUT_SECONDS = 120, MAX_JOBS = 64 };

extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));

struct criterion_options criterion_options;

static const struct criterion_test *running; // set in the child
static bool has_failed;

static const struct criterion_test_extra_data *suite_of(const struct criterion_test *test)
{
	static const struct criterion_test_extra_data none;
	for (struct criterion_suite **suite = __start_cr_sts; suite < __stop_cr_sts; suite++) {
		if (*suite && strcmp((*suite)->name, test->category) == 0)
			return (*suite)->data;
	}
	return &none;
}

// --- what the macros call
// --------------------------------------------------------------------------

void criterion_internal_test_setup(void)
{
	const struct criterion_test_extra_data *suite = suite_of(running);
	if (suite->init)
		suite->init();
	if (running->data->init)
		running->data->init();
}

void criterion_internal_test_main(void (*function)(void))
{
	function();
}

void criterion_internal_test_teardown(void)
{
	const struct criterion_test_extra_data *suite = suite_of(running);
	if (running->data->fini)
		running->data->fini();
	if (suite->fini)
		suite->fini();
}

void cri_asserts_passed_incr(void)
{
}

void criterion_send_assert(struct criterion_assert_stats *stats)
{
	if (!stats->passed)
		printf("[----] %s:%u: Assertion failed: %s\n", stats->file, stats->line,
		       stats->message);
}

void criterion_abort_test(void)
{
	exit(EXIT_FAILURE);
}

void criterion_continue_test(void)
{
	has_failed = true;
}

__attribute__((format(printf, 1, 2))) void criterion_skip_test(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("[SKIP] %s::%s: ", running->category, running->name);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
	exit(EXIT_SKIPPED);
}

// The condition as it stands in the source; the values are in the test's own message.
char *cr_translate_assert_msg(int index, ...)
{
	(void)index;
	va_list args;
	va_start(args, index);
	char *text = strdup(va_arg(args, const char *));
	va_end(args);
	return text;
}

int cr_asprintf(char **text, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int length = vasprintf(text, format, args);
	va_end(args);
	return length;
}

void cr_asprintf_free(char *text)
{
	free(text);
}

void cr_log(enum criterion_severity severity, const char *format, ...)
{
	(void)severity;
	va_list args;
	va_start(args, format);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
}

// --- running
// ---------------------------------------------------------------------------------------

static _Noreturn void run_in_child(const struct criterion_test *test)
{
	running = test;
	alarm(TIMEOUT_SECONDS);
	test->test();
	exit(has_failed ? EXIT_FAILURE : EXIT_SUCCESS); // through the sanitizer's own exit check
}

struct job {
	const struct criterion_test *test;
	pid_t child;
};

static struct job jobs[MAX_JOBS];
static unsigned n_jobs, n_tests, n_failed;

static bool passes(const struct criterion_test *test, int status)
{
	if (WIFSIGNALED(status))
		return test->data->signal == WTERMSIG(status);
	return test->data->signal == 0 && (WEXITSTATUS(status) == test->data->exit_code ||
					   WEXITSTATUS(status) == EXIT_SKIPPED);
}

static void judge(const struct criterion_test *test, bool is_well)
{
	n_tests++;
	if (is_well)
		return;
	printf("[FAIL] %s::%s\n", test->category, test->name);
	n_failed++;
}

static void await_one(void)
{
	int status;
	pid_t child = wait(&status);
	for (unsigned i = 0; i < n_jobs; i++) {
		if (jobs[i].child != child)
			continue;
		judge(jobs[i].test, passes(jobs[i].test, status));
		jobs[i] = jobs[--n_jobs];
		return;
	}
}

static void start(const struct criterion_test *test)
{
	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		run_in_child(test);
	if (child < 0)
		judge(test, false);
	else
		jobs[n_jobs++] = (struct job){.test = test, .child = child};
}

static unsigned wanted_jobs(int argc, char **argv)
{
	unsigned long wanted = 1;
	if (argc == 3 && strcmp(argv[1], "--jobs") == 0)
		wanted = strtoul(argv[2], NULL, 10);
	if (wanted == 0)
		return 1;
	return wanted < MAX_JOBS ? (unsigned)wanted : MAX_JOBS;
}

int main(int argc, char **argv)
{
	unsigned most = wanted_jobs(argc, argv);
	for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++) {
		if (!*test || (*test)->data->disabled || suite_of(*test)->disabled)
			continue;
		if (n_jobs == most)
			await_one();
		start(*test);
	}
	while (n_jobs > 0)
		await_one();
	printf("[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: 0 \n", n_tests,
	       n_tests - n_failed, n_failed);
	return n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
