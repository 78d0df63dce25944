// SPDX-License-Identifier: Apache-2.0
#include "packet/query.h"

#include <arpa/inet.h>

#include "culvert/packet/query.h"
#include "packet/forward.h"
#include "packet/plan.h"

enum { MS_PER_S = 1000 };

// ---- the worker --------------------------------------------------------------------------------

static struct endpoint client_of(const struct flow *flow)
{
	return (struct endpoint){flow->client, flow->client_port_be, flow->proto, 0};
}

static void fill_times(struct flow_row *row, const struct worker *worker, const struct flow *flow)
{
	int32_t timeout = (int32_t)worker->flows->params.timeouts[flow->state];
	int32_t left = (int32_t)(flow->expires - worker->flows->now);
	left = left < 0 ? 0 : left;
	row->expires_ms = (uint32_t)left * MS_PER_S;
	row->idle_ms = timeout > left ? (uint32_t)(timeout - left) * MS_PER_S : 0;
}

static void fill_row(struct flow_row *row, struct worker *worker, uint32_t index)
{
	const struct flow *flow = &worker->flows->flows[index];
	if (flow->is_aside)
		fast_path_catch_up(worker, index);
	*row = (struct flow_row){
		.client = client_of(flow),
		.state = flow_state_name((enum flow_state)flow->state),
		.backend = flow->backend,
		.frontend = flow->frontend,
		.is_fast = flow->is_aside,
		.bytes_tx = flow->bytes_tx,
	};
	fill_times(row, worker, flow);
	if (worker->flows->params.is_one_sided)
		return;
	row->bytes_rx = flow->bytes_rx;
	row->nat = (struct endpoint){worker->snapshot->snats[flow->snat], htons(flow->nat_port),
				     flow->proto, 0};
}

static void look_at(struct worker *worker, struct query_part *part, uint32_t index)
{
	const struct flow *flow = &worker->flows->flows[index];
	struct endpoint client = client_of(flow);
	if (flow->state == FLOW_FREE ||
	    !query_matches(&part->query->filter, &client, flow->frontend, flow->backend))
		return;
	struct flow_row *row = query_add(part);
	if (row)
		fill_row(row, worker, index);
}

static void find_one(struct worker *worker, struct query_part *part)
{
	const struct query *query = part->query;
	struct endpoint client = {query->filter.client, query->filter.client_port_be, query->proto,
				  0};
	uint32_t index = flow_table_find(worker->flows, &client, (uint16_t)query->filter.frontend,
					 query->hash);
	struct flow_row *row = index ? query_add(part) : NULL;
	if (!row)
		return;
	const struct flow *flow = &worker->flows->flows[index];
	fill_row(row, worker, index);
	// A client numbers its next connection beyond the last one (RFC 9293 section 3.4.1).
	row->prospect = (uint8_t)forward_prospect(worker, index, flow->client_next + 1);
}

// False when there is more to look at.
static bool look_at_piece(struct worker *worker, struct query_part *part)
{
	const struct flow_table *flows = worker->flows;
	for (int i = 0; i < QUERY_ENTRIES && part->next < flows->n_fresh; i++)
		look_at(worker, part, ++part->next);
	return part->next >= flows->n_fresh;
}

void query_answer(struct worker *worker)
{
	struct query_part *part = query_box_look(&worker->questions);
	bool is_done = true;
	if (!part)
		return;
	if (part->query->is_for_one)
		find_one(worker, part);
	else if (!query_is_cancelled(part))
		is_done = look_at_piece(worker, part);
	if (is_done)
		query_give_back(&worker->questions, part);
}

// ---- control -----------------------------------------------------------------------------------

const struct snapshot *engine_snapshot(const struct engine *engine)
{
	// Control itself has stored it.
	return atomic_load_explicit(&engine->snapshot, memory_order_relaxed);
}

uint32_t engine_n_tables(const struct engine *engine)
{
	return engine->n_workers;
}

static void post(struct engine *engine, struct query *query, uint32_t worker)
{
	query_post(&engine->workers[worker].worker.questions, &query->parts[worker]);
	doorbell_wake(engine->is_inline ? &engine->capture_bell : &engine->workers[worker].bell);
}

void engine_ask(struct engine *engine, struct query *query)
{
	if (query->is_for_one) {
		const struct query_filter *filter = &query->filter;
		struct steer_client to =
			steering_of_client(&engine->capture.steering, &filter->client,
					   filter->client_port_be, (uint16_t)filter->frontend);
		query->hash = to.hash;
		query_begin(query, 1);
		post(engine, query, to.worker);
		return;
	}
	query_begin(query, engine->n_workers);
	for (uint32_t i = 0; i < engine->n_workers; i++)
		post(engine, query, i);
}
