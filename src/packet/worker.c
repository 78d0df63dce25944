// SPDX-License-Identifier: Apache-2.0
#include "packet/worker.h"

#include <errno.h>
#include <stdlib.h>

#include "culvert/base/clock.h"
#include "packet/forward.h"
#include "packet/fragments.h"
#include "packet/purge.h"
#include "packet/query.h"
#include "packet/sweep.h"

enum {
	IDLE_S_MAX = 16, // the longest sleep while flows wait for their timers
	MS_PER_S = 1000,
	EXPIRY_BUDGET = 256,       // timers looked at per batch
	IP_ID_STRIDE = 40503,      // 65536 by the golden ratio: workers count from places far apart
	ANSWERS_PER_SECOND = 1000, // per worker; more would make it a reflector (RFC 1812 4.3.2.8)
};

int worker_init(struct worker *worker, const struct worker_params *params, struct err *err)
{
	*worker = (struct worker){
		.config = params->config,
		.number = params->number,
		.forward = params->config->mode == MODE_DSR ? forward_dsr : forward_nat,
		.answers_left = ANSWERS_PER_SECOND,
		.lengths_left = ANSWERS_PER_SECOND,
		.next_ip_id = (uint16_t)(params->flows.secret * IP_ID_STRIDE),
	};
	worker->was_up = calloc(params->flows.n_backends + 1, sizeof(bool));
	worker->is_to_sweep = calloc(params->flows.n_backends + 1, sizeof(bool));
	worker->ways = calloc(FRAGMENTS_NUMBERS + 1, sizeof(*worker->ways));
	ip_ids_init(&worker->ids, params->flows.secret, params->number, params->n_workers);
	int code = 0;
	if (!worker->was_up || !worker->is_to_sweep || !worker->ways)
		code = err_set(err, -ENOMEM, "not enough memory for a worker");
	if (!code)
		code = answer_templates_init(&worker->templates, err);
	if (!code)
		code = flow_table_create(&worker->flows, &params->flows, err);
	if (!code)
		code = fast_path_init(&worker->fast, worker, params, err);
	if (!code)
		code = flow_log_init(&worker->log, worker, err);
	if (code)
		worker_fini(worker);
	return code;
}

void worker_fini(struct worker *worker)
{
	flow_table_destroy(worker->flows);
	flow_log_fini(&worker->log);
	fast_path_fini(&worker->fast);
	free(worker->ways);
	free(worker->was_up);
	free(worker->is_to_sweep);
	*worker = (struct worker){0};
}

void worker_begin(struct worker *worker, const struct snapshot *snapshot, uint64_t now_ns)
{
	uint32_t now = (uint32_t)(now_ns / NS_PER_SEC);
	worker->snapshot = snapshot;
	pressure_turn(&worker->pressure, now_ns);
	fast_path_look(worker, now_ns);
	if (now != worker->now) {
		worker->answers_left = ANSWERS_PER_SECOND;
		worker->lengths_left = ANSWERS_PER_SECOND;
	}
	if (now != worker->now || worker->has_expiry_left) {
		worker->now = now;
		worker->has_expiry_left = flow_table_expire(worker->flows, now, EXPIRY_BUDGET);
	}
	sweep(worker);
	purge(worker);
	query_answer(worker);
}

bool worker_is_busy(const struct worker *worker)
{
	return worker->has_expiry_left || worker->n_to_sweep || worker->purge_next ||
	       query_box_look(&worker->questions) || fast_path_is_busy(&worker->fast);
}

int worker_idle_ms(const struct worker *worker)
{
	int fast_ms = fast_path_idle_ms(&worker->fast);
	if (fast_ms >= 0)
		return fast_ms;
	if (worker->flows->n_flows == 0)
		return -1;
	return (int)wheel_next(&worker->flows->timers, IDLE_S_MAX) * MS_PER_S;
}

// Cache lines on their way while those of the packets before are: where a flow is looked up.
static void prefetch_index(const struct worker *worker, const struct packet *packet)
{
	const struct flow_table *flows = worker->flows;
	if (packet->from == FROM_CLIENT) {
		index_map_prefetch(&flows->index, packet->hash);
		return;
	}
	const struct nat_pool *pool = &flows->pools[packet->nat_pool];
	__builtin_prefetch(&pool->owner[forward_local_port(packet) - pool->first_port]);
}

// And what is likely to be found there. It is looked up again when it is the packet's turn: those
// before may have ended it.
static void prefetch_flow(const struct worker *worker, const struct packet *packet)
{
	const struct flow_table *flows = worker->flows;
	struct index_map_cursor cursor;
	if (packet->from == FROM_CLIENT)
		flow_table_prefetch(flows, index_map_first(&flows->index, packet->hash, &cursor));
	else
		flow_table_prefetch(flows, flow_table_find_reply(flows, packet->nat_pool,
								 forward_local_port(packet)));
}

static void forward_fragment(struct worker *worker, struct packet *packet)
{
	if (packet_is_later_fragment(packet)) {
		forward_later_fragment(worker, packet);
		return;
	}
	worker->forward(worker, packet);
	forward_note_fragment(worker, packet);
}

void worker_process(struct worker *worker, struct packet *const *packets, uint32_t n)
{
	if (n)
		pressure_found(&worker->pressure, n);
	for (uint32_t i = 0; i < n; i++)
		prefetch_index(worker, packets[i]);
	for (uint32_t i = 0; i < n; i++)
		prefetch_flow(worker, packets[i]);
	for (uint32_t i = 0; i < n; i++) {
		if (packets[i]->view.is_icmp_error)
			forward_icmp_error(worker, packets[i]);
		else if (packets[i]->is_fragment)
			forward_fragment(worker, packets[i]);
		else
			worker->forward(worker, packets[i]);
	}
}
