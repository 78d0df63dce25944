// SPDX-License-Identifier: Apache-2.0
// What a worker's flow table says about its flows, as records of its journal.
#pragma once

#include "culvert/flow/flow_journal.h"
#include "culvert/flow/flow_table.h"

struct worker;

struct flow_log {
	const struct worker *worker;  // borrowed
	struct flow_journal *journal; // owned; NULL: nothing is written down
	uint32_t *started;            // owned; by flow: second of the table's clock
	bool has_starts;
	bool has_half_open;
};

// By the configuration: has the worker's table call, or does nothing. 0 or -errno.
int flow_log_init(struct flow_log *log, struct worker *worker, struct err *err);
void flow_log_fini(struct flow_log *log);

// The worker has stopped: all that is left ends. Waits for whoever reads the journal, some seconds
// at most. Called by: control.
void flow_log_end_all(struct flow_log *log);
