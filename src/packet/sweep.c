// SPDX-License-Identifier: Apache-2.0
// A client accepts a reset at once only if its number is exactly the next one it expects (RFC 5961
// section 3.2): the flow has kept it. Should a segment have been lost behind us, the client
// answers with a challenge ACK, and that is refused with the number it acknowledges.
#include "packet/sweep.h"

#include "packet/worker.h"

static void set_to_sweep(struct worker *worker, uint32_t backend, bool is_to_sweep)
{
	worker->n_to_sweep += (uint32_t)is_to_sweep - (uint32_t)worker->is_to_sweep[backend];
	worker->is_to_sweep[backend] = is_to_sweep;
}

static void notice_changes(struct worker *worker)
{
	const struct snapshot *snapshot = worker->snapshot;
	if (worker->swept_version == snapshot->version)
		return;
	worker->swept_version = snapshot->version;
	for (uint32_t i = 0; i < snapshot->n_backends; i++) {
		const struct snapshot_backend *backend = &snapshot->backends[i];
		bool has_gone_down = worker->was_up[i] && !backend->is_up;
		if (has_gone_down && backend->resets_on_down)
			set_to_sweep(worker, i, true);
		else if (backend->is_up)
			// What it has not lost by now it may keep, and what comes is new.
			set_to_sweep(worker, i, false);
		worker->was_up[i] = backend->is_up;
	}
}

bool sweep_has_room(const struct worker *worker)
{
	return worker->n_spares && worker->n_made < WORKER_SPARES;
}

void sweep_reset_client(struct worker *worker, uint32_t index)
{
	const struct flow *flow = &worker->flows->flows[index];
	fast_path_leave(worker, index); // with the numbers that it has got to
	const struct snapshot *snapshot = worker->snapshot;
	struct packet *packet = worker->spares[--worker->n_spares];
	struct reset reset = {
		.src_mac = snapshot->links[flow->client_link].mac,
		.dst_mac = flow->client_mac,
		.src = snapshot->frontends[flow->frontend].endpoint,
		.dst = {flow->client, flow->client_port_be, flow->proto, 0},
		.seq = flow->backend_next,
		.ack = flow->client_next,
		.has_ack = true,
		.link = flow->client_link,
	};
	answer_write_reset(&worker->templates, &reset, packet);
	packet->verdict = VERDICT_DROP_BACKEND_DOWN;
	worker->made[worker->n_made++] = packet;
}

// The first live TCP flow of `backend` in a pool, which two backends of one endpoint may share.
static uint32_t next_victim(const struct worker *worker, const struct nat_pool *pool,
			    uint32_t backend)
{
	const struct flow *flows = worker->flows->flows;
	uint32_t index = pool->lists[CLASS_LIVE].head;
	while (index && (flows[index].backend != backend || flows[index].proto != IPPROTO_TCP))
		index = flows[index].list_next;
	return index;
}

// True when no live flow of the backend is left in the pool.
static bool sweep_pool(struct worker *worker, const struct nat_pool *pool, uint32_t backend)
{
	uint32_t index;
	while ((index = next_victim(worker, pool, backend))) {
		if (!sweep_has_room(worker))
			return false;
		sweep_reset_client(worker, index);
		flow_table_orphan(worker->flows, index);
	}
	return true;
}

static bool sweep_backend(struct worker *worker, uint32_t id)
{
	const struct snapshot *snapshot = worker->snapshot;
	const struct snapshot_backend *backend = &snapshot->backends[id];
	for (uint32_t snat = 0; snat < snapshot->snats_per_endpoint; snat++) {
		uint32_t pool = snapshot_nat_pool(snapshot, backend->endpoint_id, snat);
		if (!sweep_pool(worker, &worker->flows->pools[pool], id))
			return false;
	}
	return true;
}

void sweep(struct worker *worker)
{
	notice_changes(worker);
	if (worker->n_to_sweep == 0)
		return;
	for (uint32_t i = 0; i < worker->snapshot->n_backends; i++) {
		if (!worker->is_to_sweep[i])
			continue;
		if (!sweep_backend(worker, i))
			return;
		set_to_sweep(worker, i, false);
	}
}
