// SPDX-License-Identifier: Apache-2.0
#include "flow_check.h"

#include <string.h>

static const char *check_flow(const struct flow_table *table, uint32_t index)
{
	const struct flow *flow = &table->flows[index];
	struct endpoint client = {flow->client, flow->client_port_be, flow->proto, 0};
	if (flow->class != flow_state_class((enum flow_state)flow->state))
		return "a flow is of another class than its state";
	if (flow->nat_pool >= table->params.n_pools ||
	    flow->frontend >= table->params.n_frontends ||
	    flow->backend >= table->params.n_backends)
		return "a flow names what is not there";
	if (flow_table_find(table, &client, flow->frontend, flow->hash) != index)
		return "a flow cannot be found by its client";
	if (!table->params.is_one_sided &&
	    nat_pool_owner(&table->pools[flow->nat_pool], flow->nat_port) != index)
		return "a flow does not own its NAT port";
	return NULL;
}

static const char *check_pool(const struct flow_table *table, const struct nat_pool *pool,
			      uint32_t *n_flows)
{
	uint32_t n = 0;
	for (int class = 0; class < N_FLOW_CLASSES; class ++) {
		const struct flow_list *list = &pool->lists[class];
		uint32_t n_linked = 0;
		for (uint32_t i = list->head; i && n_linked <= list->count;
		     i = table->flows[i].list_next) {
			if (table->flows[i].class != class)
				return "a flow is on the list of another class";
			n_linked++;
		}
		if (n_linked != list->count)
			return "a list is longer or shorter than it says";
		n += n_linked;
	}
	*n_flows += n;
	if (!table->params.is_one_sided && pool->n_free + n != pool->n_ports)
		return "NAT ports are lost";
	return NULL;
}

// In the order in which they would be taken.
static const char *check_free(const struct flow_table *table, uint32_t n_free)
{
	uint32_t n = 0;
	uint32_t heads[FLOW_FREE_LISTS];
	memcpy(heads, table->free_heads, sizeof(heads));
	for (uint32_t turn = table->free_turn; heads[turn]; n++) {
		const struct flow *flow = &table->flows[heads[turn]];
		if (flow->state != FLOW_FREE || n == n_free)
			return "an entry is given back that is in use, or twice";
		heads[turn] = flow->list_next;
		turn = (turn - 1) % FLOW_FREE_LISTS;
	}
	return n == n_free ? NULL : "entries are lost";
}

const char *flow_check(const struct flow_table *table)
{
	uint32_t n_used = 0;
	uint32_t n_half_open = 0;
	uint32_t n_listed = 0;
	const char *wrong = NULL;
	for (uint32_t i = 1; i <= table->n_fresh && !wrong; i++) {
		if (table->flows[i].state == FLOW_FREE)
			continue;
		n_used++;
		n_half_open += table->flows[i].class == CLASS_HALF_OPEN;
		wrong = check_flow(table, i);
	}
	for (uint32_t i = 0; i < table->params.n_pools && !wrong; i++)
		wrong = check_pool(table, &table->pools[i], &n_listed);
	if (wrong)
		return wrong;
	if (n_used != table->n_flows || n_used != counter_read(&table->flows_current) ||
	    n_used != n_listed || table->n_fresh > table->params.capacity)
		return "flows are miscounted";
	wrong = check_free(table, table->n_fresh - n_used);
	if (wrong)
		return wrong;
	return n_half_open == table->n_half_open ? NULL : "half-open flows are miscounted";
}
