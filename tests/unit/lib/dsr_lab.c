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

static char *neighbour_of_backend(const struct dsr_lab *lab, const char *addr)
{
	return netns_output("nsenter -t %d -n ip neigh show %s", lab->bench.peer, addr);
}

void dsr_lab_expect_answers_for(struct dsr_lab *lab, const char *source)
{
	char mac[MAC_ADDR_TEXT_MAX];
	struct link_info link;
	cr_assert(netwatch_link_by_name(lab->bench.netwatch, "va", &link));
	dsr_lab_expect(lab, DSR_READY);
	char *known = neighbour_of_backend(lab, source);
	cr_expect(strstr(known, mac_addr_format(&link.mac, mac)), "%s", known);
	free(known);
	dsr_bench_on_backend(&lab->bench, "ip neigh flush all");
	dsr_bench_on_backend(&lab->bench, "ping -c 1 -W 1 %s >/dev/null &", source);
	dsr_bench_run_ms(&lab->bench, 500);
	char *after = neighbour_of_backend(lab, source);
	cr_expect(strstr(after, "FAILED") || strstr(after, "INCOMPLETE"), "%s", after);
	free(after);
	dsr_lab_expect(lab, DSR_READY);
}
