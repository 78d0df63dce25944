// SPDX-License-Identifier: Apache-2.0
#include "dsr_lab.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "../../support/lib/netns.h"

static void on_result(void *arg, const struct dsr_result *result)
{
	struct dsr_lab *lab = arg;
	lab->n_results++;
	lab->n_by_verdict[result->verdict]++;
	lab->last = *result;
	if (lab->closes) {
		dsr_check_close(lab->check);
		lab->check = NULL;
	}
}

int dsr_lab_open(struct dsr_lab *lab, struct err *err)
{
	struct dsr_check_params params = {
		.base = lab->bench.base,
		.netwatch = lab->bench.netwatch,
		.config = &lab->bench.config,
		.on_result = on_result,
		.arg = lab,
	};
	return dsr_check_open(&lab->check, &params, err);
}

void dsr_lab_must_open(struct dsr_lab *lab)
{
	struct err err = {0};
	cr_assert_eq(dsr_lab_open(lab, &err), 0, "%s", err.message);
}

struct dsr_lab *dsr_lab_begin(void)
{
	struct dsr_lab *lab = calloc(1, sizeof(*lab));
	cr_assert(lab);
	if (!dsr_bench_init(&lab->bench)) {
		free(lab);
		cr_skip("needs root, for a private network namespace");
	}
	return lab;
}

void dsr_lab_end(struct dsr_lab *lab)
{
	dsr_check_close(lab->check);
	dsr_bench_fini(&lab->bench);
	free(lab);
}

void dsr_lab_await(struct dsr_lab *lab, unsigned n)
{
	cr_assert(dsr_bench_await(&lab->bench, &lab->n_results, n), "%u results of %u",
		  lab->n_results, n);
}

const char *dsr_lab_check(struct dsr_lab *lab)
{
	static char text[640];
	unsigned n_before = lab->n_results;
	cr_assert_eq(dsr_check_start(lab->check, 0, 0), 0);
	dsr_lab_await(lab, n_before + 1);
	return dsr_result_format(&lab->last, text, sizeof(text));
}

void dsr_lab_expect(struct dsr_lab *lab, enum dsr_verdict verdict)
{
	const char *text = dsr_lab_check(lab);
	cr_expect_eq(lab->last.verdict, verdict, "%d, not %d: %s", lab->last.verdict, verdict,
		     text);
}

char *dsr_lab_on_backend(const struct dsr_lab *lab, const char *command)
{
	return netns_output("nsenter -t %d -n sh -c '%s'", lab->bench.peer, command);
}
