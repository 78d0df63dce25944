// SPDX-License-Identifier: Apache-2.0
// A walk through the whole table, since a frontend's flows are on no list of its own. A flow that
// is opened behind the walk's back belongs to none of them: nothing new goes there any more.
#include "packet/purge.h"

#include <netinet/in.h>

#include "packet/sweep.h"
#include "packet/worker.h"

enum { FLOWS_AT_ONCE = 4096 };

static bool is_over(const struct snapshot *snapshot, const struct flow *flow)
{
	return snapshot->frontends[flow->frontend].state == SLOT_OVER ||
	       snapshot->backends[flow->backend].state == SLOT_OVER;
}

// False when it has to wait for a packet to write a reset into.
static bool purge_flow(struct worker *worker, uint32_t index)
{
	struct flow *flow = &worker->flows->flows[index];
	if (flow->state == FLOW_FREE || (flow->marks & FLOW_IS_ORPHAN) ||
	    !is_over(worker->snapshot, flow))
		return true;
	if (flow->class != CLASS_LIVE || flow->proto != IPPROTO_TCP) {
		flow_table_end(worker->flows, index, FLOW_REMOVED);
		return true;
	}
	if (!sweep_has_room(worker))
		return false;
	sweep_reset_client(worker, index);
	flow_table_orphan(worker->flows, index);
	return true;
}

static void notice_changes(struct worker *worker)
{
	if (worker->purged_version == worker->snapshot->version)
		return;
	worker->purged_version = worker->snapshot->version;
	worker->purge_next = worker->snapshot->n_over ? 1 : 0;
}

void purge(struct worker *worker)
{
	notice_changes(worker);
	if (worker->purge_next == 0)
		return;
	for (int i = 0; i < FLOWS_AT_ONCE && worker->purge_next <= worker->flows->n_fresh; i++) {
		if (!purge_flow(worker, worker->purge_next))
			return;
		worker->purge_next++;
	}
	if (worker->purge_next > worker->flows->n_fresh)
		worker->purge_next = 0;
}
