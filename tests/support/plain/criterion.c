// SPDX-License-Identifier: Apache-2.0
// Stands in for libcriterion in builds with a sanitizer: ThreadSanitizer's shadow memory and
// Criterion's sandbox claim the same addresses, and every sanitizer starts slowly, which Criterion
// has it do for each test. Runs the tests that Criterion's macros have collected in the section
// cr_tst, each in a child of its own, one after another, and sums up as Criterion does. Knows what
// the tests here use: Test and TestSuite with init, fini, timeout, exit_code, signal and disabled;
// assertions; skipping. A missing feature is a link error.
#include <criterion/criterion.h>
#include <criterion/internal/asprintf-compat.h>
#include <criterion/options.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_SKIPPED = 77, TIMEOUT_SECONDS = 120 };

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

static bool passes(const struct criterion_test *test)
{
	int status;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		run_in_child(test);
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	if (WIFSIGNALED(status))
		return test->data->signal == WTERMSIG(status);
	return test->data->signal == 0 && (WEXITSTATUS(status) == test->data->exit_code ||
					   WEXITSTATUS(status) == EXIT_SKIPPED);
}

int main(void)
{
	unsigned n_tests = 0, n_failed = 0;
	for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++) {
		if (!*test || (*test)->data->disabled || suite_of(*test)->disabled)
			continue;
		n_tests++;
		if (!passes(*test)) {
			printf("[FAIL] %s::%s\n", (*test)->category, (*test)->name);
			n_failed++;
		}
	}
	printf("[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: 0 \n", n_tests,
	       n_tests - n_failed, n_failed);
	return n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
