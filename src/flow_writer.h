// SPDX-License-Identifier: Apache-2.0
// The flow log: takes the journals of the data path's threads and writes their records to a file,
// on a thread of its own, which may wait for the disk. Called by: control.
#pragma once

#include "culvert/config/config.h"
#include "culvert/flow/flow_journal.h"
#include "flow_names.h"

struct flow_writer;

enum { FLOW_LINE_MAX = 1024 };

struct flow_writer_params {
	const struct config *config;          // borrowed for the call; it has [flow_log] path
	const struct registry *registry;      // likewise
	struct flow_journal *const *journals; // the list is copied, the journals are borrowed
	uint32_t n_journals;                  // until the writer is stopped
};

int flow_writer_start(struct flow_writer **writer, const struct flow_writer_params *params,
		      struct err *err); // 0 or -errno
// The registry may have other frontends and backends; to be called before the data path sees them.
// NULL is legal, as for the next three.
void flow_writer_follow(struct flow_writer *writer, const struct registry *registry);
// The file may have been renamed: open it again, soon.
void flow_writer_reopen(struct flow_writer *writer);
// Write what there is, and close the file. The data path has stopped.
void flow_writer_stop(struct flow_writer *writer);
void flow_writer_stats(const struct flow_writer *writer, struct flow_log_stats *stats);

struct flow_line_style {
	enum mode mode;
	bool is_json;
	int64_t clock_ms; // to be added to the times of records for those since 1970
};

// The line of a record, with its newline, into `text` of FLOW_LINE_MAX. Returns the length.
// Any thread.
size_t flow_line_format(const struct flow_record *record, const struct flow_names *names,
			const struct flow_line_style *style, char *text);
