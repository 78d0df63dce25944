// SPDX-License-Identifier: Apache-2.0
// A readiness check under test, against the backend of a dsr_bench. What goes wrong fails the test.
#pragma once

#include "../../support/lib/dsr_bench.h"
#include "culvert/control/dsr_check.h"

enum { DSR_LAB_VERDICTS = DSR_UNHEALTHY + 1 };

struct dsr_lab {
	struct dsr_bench bench;
	struct dsr_check *check;
	unsigned n_results;
	unsigned n_by_verdict[DSR_LAB_VERDICTS];
	struct dsr_result last;
	bool closes; // a result closes the check
};

// The check is not open yet. Skips the test without root.
struct dsr_lab *dsr_lab_begin(void);
void dsr_lab_end(struct dsr_lab *lab);

int dsr_lab_open(struct dsr_lab *lab, struct err *err);
void dsr_lab_must_open(struct dsr_lab *lab);

void dsr_lab_await(struct dsr_lab *lab, unsigned n); // results in all
// Check the first backend for the first frontend. What it says, until the next call.
const char *dsr_lab_check(struct dsr_lab *lab);
void dsr_lab_expect(struct dsr_lab *lab, enum dsr_verdict verdict);

// While checks of a ready backend run, this host answers for their source, and no longer; and the
// next check does so again.
void dsr_lab_expect_answers_for(struct dsr_lab *lab, const char *source);

// What a shell command in the backend's namespace prints, for free().
char *dsr_lab_on_backend(const struct dsr_lab *lab, const char *command);
