// SPDX-License-Identifier: Apache-2.0
// A health check under test, of a backend at 127.0.0.1 whose port its server finds out, or that a
// test changes before it asks. What goes wrong fails the test.
#pragma once

#include <event2/event.h>
#include <sys/types.h>

#include "control/probe.h"

enum { PROBE_LAB_SHORT_MS = 150 }; // patience of a check that is to lose it

struct probe_lab {
	struct event_base *base;
	struct config_pool pool;
	struct config_backend backend;
	struct probe probe;
	struct probe_result result; // of the last check
	unsigned n_results;
	pid_t server;            // of the test, for probe_lab_fini(); 0: none
	unsigned busy_before_ms; // what the loop does else in the round in which the check begins
	unsigned busy_after_ms;
};

void probe_lab_init(struct probe_lab *lab, enum health_kind kind);
void probe_lab_fini(struct probe_lab *lab);

// Ask once, wait for the result, and find `text` in what it says.
void probe_lab_expect_pass(struct probe_lab *lab, const char *text);
void probe_lab_expect_failure(struct probe_lab *lab, const char *text);
