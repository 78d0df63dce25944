// SPDX-License-Identifier: Apache-2.0
// When a flow began is kept beside the table and only with a flow log: an entry has no room for it.
// A flow is written down when its entry is forgotten or begins anew, since until then more can come
// of it; the end that is written is that of its last packet.
#include "packet/flow_log.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>

#include "packet/worker.h"

enum { MS_PER_SECOND = 1000, WAITS_MAX = 5000 };

// A handshake that was not completed, or datagrams without an answer. Where answers are not seen,
// nobody knows the latter.
static bool is_half_open(const struct flow *flow, bool is_one_sided)
{
	if (flow->class != CLASS_HALF_OPEN || flow->state == FLOW_UDP_REPLIED)
		return false;
	return flow->proto == IPPROTO_TCP || !is_one_sided;
}

static void fill(const struct flow_log *log, struct flow_record *record, uint32_t index)
{
	const struct flow_table *table = log->worker->flows;
	const struct flow *flow = &table->flows[index];
	record->client = flow->client;
	record->client_port_be = flow->client_port_be;
	record->proto = flow->proto;
	record->frontend = flow->frontend;
	record->backend = flow->backend;
	record->has_backend = true;
	record->state = flow->state;
	record->start_ms = (uint64_t)log->started[index] * MS_PER_SECOND;
	record->nat_port = flow->nat_port;
	if (flow->nat_port)
		record->nat = log->worker->snapshot->snats[flow->snat];
}

static void write_start(const struct flow_log *log, uint32_t index)
{
	struct flow_record *record = flow_journal_begin(log->journal);
	if (!record)
		return;
	fill(log, record, index);
	record->is_start = true;
	record->end_ms = record->start_ms;
	flow_journal_commit(log->journal, record);
}

static void write_end(const struct flow_log *log, uint32_t index, enum flow_event event)
{
	const struct flow_table *table = log->worker->flows;
	const struct flow *flow = &table->flows[index];
	bool is_one_sided = table->params.is_one_sided;
	if (is_half_open(flow, is_one_sided) && !log->has_half_open)
		return;
	struct flow_record *record = flow_journal_begin(log->journal);
	if (!record)
		return;
	fill(log, record, index);
	record->end = (uint8_t)flow_end_of(flow, is_one_sided, event);
	record->bytes_tx = flow->bytes_tx;
	record->bytes_rx = is_one_sided ? 0 : flow->bytes_rx;
	uint32_t last = flow->expires - table->params.timeouts[flow->state];
	record->end_ms = (uint64_t)last * MS_PER_SECOND;
	flow_journal_commit(log->journal, record);
}

static void on_event(void *arg, uint32_t index, enum flow_event event)
{
	struct flow_log *log = arg;
	switch (event) {
	case FLOW_OPENED:
		log->started[index] = log->worker->flows->now;
		return;
	case FLOW_LIVE:
		if (log->has_starts)
			write_start(log, index);
		return;
	default:
		write_end(log, index, event);
		return;
	}
}

int flow_log_init(struct flow_log *log, struct worker *worker, struct err *err)
{
	const struct config_flow_log *config = &worker->config->flow_log;
	*log = (struct flow_log){
		.worker = worker,
		.has_starts = config->starts,
		.has_half_open = config->half_open,
	};
	if (!config->path)
		return 0;
	int code = flow_journal_create(&log->journal, FLOW_JOURNAL_RECORDS, err);
	if (code)
		return code;
	log->started = calloc((size_t)worker->flows->params.capacity + 1, sizeof(*log->started));
	if (!log->started) {
		flow_log_fini(log);
		return err_set(err, -ENOMEM, "not enough memory for the flow log");
	}
	worker->flows->on_event = on_event;
	worker->flows->on_event_arg = log;
	return 0;
}

void flow_log_fini(struct flow_log *log)
{
	flow_journal_destroy(log->journal);
	free(log->started);
	*log = (struct flow_log){0};
}

void flow_log_end_all(struct flow_log *log)
{
	static const struct timespec moment = {.tv_nsec = 1000000};
	int n_waits = 0;
	if (!log->journal)
		return;
	const struct flow_table *table = log->worker->flows;
	for (uint32_t i = 1; i <= table->n_fresh; i++) {
		if (table->flows[i].state == FLOW_FREE)
			continue;
		while (!flow_journal_has_room(log->journal) && n_waits++ < WAITS_MAX)
			nanosleep(&moment, NULL);
		write_end(log, i, FLOW_STOPPED);
	}
}
