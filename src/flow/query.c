// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/query.h"

#include <stdlib.h>
#include <unistd.h>

// ---- control -----------------------------------------------------------------------------------

struct query *query_create(uint32_t n_parts, uint32_t limit)
{
	struct query *query = calloc(1, sizeof(*query) + n_parts * sizeof(query->parts[0]));
	if (!query)
		return NULL;
	query->filter = (struct query_filter){.backend = QUERY_ANY, .frontend = QUERY_ANY};
	query->limit = limit;
	query->wake_fd = -1;
	query->n_parts = n_parts;
	for (uint32_t i = 0; i < n_parts; i++) {
		query->parts[i].query = query;
		query->parts[i].rows = calloc(limit, sizeof(struct flow_row));
		if (!query->parts[i].rows) {
			query_destroy(query);
			return NULL;
		}
	}
	return query;
}

void query_destroy(struct query *query)
{
	if (!query)
		return;
	for (uint32_t i = 0; i < query->n_parts; i++)
		free(query->parts[i].rows);
	free(query);
}

void query_begin(struct query *query, uint32_t n_posted)
{
	// Relaxed: query_post() publishes it.
	atomic_store_explicit(&query->n_posted, n_posted, memory_order_relaxed);
}

void query_post(struct query_box *box, struct query_part *part)
{
	// Pairs with query_box_look(): who sees the part sees the question.
	atomic_store_explicit(&box->part, part, memory_order_release);
}

void query_cancel(struct query *query)
{
	atomic_store_explicit(&query->is_cancelled, true, memory_order_relaxed);
}

bool query_is_done(const struct query *query)
{
	// Pairs with the release in query_give_back().
	return atomic_load_explicit(&query->n_posted, memory_order_acquire) == 0;
}

// ---- threads -----------------------------------------------------------------------------------

bool query_matches(const struct query_filter *filter, const struct endpoint *client,
		   uint16_t frontend, int32_t backend)
{
	if (filter->has_client && !ip_addr_equal(&filter->client, &client->addr))
		return false;
	if (filter->client_port_be && filter->client_port_be != client->port_be)
		return false;
	return (filter->backend == QUERY_ANY || filter->backend == backend) &&
	       (filter->frontend == QUERY_ANY || filter->frontend == (int32_t)frontend);
}

struct flow_row *query_add(struct query_part *part)
{
	part->n_matched++;
	if (part->n_rows == part->query->limit)
		return NULL;
	return &part->rows[part->n_rows++];
}

void query_give_back(struct query_box *box, struct query_part *part)
{
	static const uint64_t ring = 1;
	struct query *query = part->query;
	int wake_fd = query->wake_fd;
	// The box first: when all parts are back, control may post others. Both pair with the
	// acquire in query_is_done(), after which the query may be gone.
	atomic_store_explicit(&box->part, NULL, memory_order_relaxed);
	if (atomic_fetch_sub_explicit(&query->n_posted, 1, memory_order_acq_rel) == 1)
		(void)!write(wake_fd, &ring, sizeof(ring));
}
