// SPDX-License-Identifier: Apache-2.0
#include "balance/endpoint_ids.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

int endpoint_ids_init(struct endpoint_ids *ids, uint32_t capacity, uint64_t secret, struct err *err)
{
	*ids = (struct endpoint_ids){
		.endpoints = calloc(capacity + 1, sizeof(*ids->endpoints)),
		.n_users = calloc(capacity + 1, sizeof(*ids->n_users)),
		.capacity = capacity,
		.secret = secret,
	};
	int code = 0;
	if (!ids->endpoints || !ids->n_users)
		code = err_set(err, -ENOMEM, "not enough memory for %u endpoints", capacity);
	if (!code)
		code = index_map_init(&ids->index, capacity ? capacity : 1, err);
	if (code)
		endpoint_ids_fini(ids);
	return code;
}

void endpoint_ids_fini(struct endpoint_ids *ids)
{
	index_map_fini(&ids->index);
	free(ids->endpoints);
	free(ids->n_users);
	*ids = (struct endpoint_ids){0};
}

static uint32_t hash_of(const struct endpoint_ids *ids, const struct endpoint *endpoint)
{
	return (uint32_t)XXH3_64bits_withSeed(endpoint, sizeof(*endpoint), ids->secret);
}

// Values of the index are numbers counted from 1. False when it is not remembered.
static bool find(const struct endpoint_ids *ids, const struct endpoint *endpoint, uint32_t *id)
{
	struct index_map_cursor cursor;
	for (uint32_t i = index_map_first(&ids->index, hash_of(ids, endpoint), &cursor); i;
	     i = index_map_next(&ids->index, &cursor)) {
		if (!endpoint_equal(&ids->endpoints[i - 1], endpoint))
			continue;
		*id = i - 1;
		return true;
	}
	return false;
}

// Numbers that nobody has had come first; then, in a round, those that nobody has any more.
static uint32_t choose(struct endpoint_ids *ids)
{
	if (ids->n < ids->capacity)
		return ids->n++;
	do
		ids->cursor = ids->cursor + 1 < ids->capacity ? ids->cursor + 1 : 0;
	while (ids->n_users[ids->cursor]);
	index_map_remove(&ids->index, hash_of(ids, &ids->endpoints[ids->cursor]), ids->cursor + 1);
	return ids->cursor;
}

uint32_t endpoint_ids_take(struct endpoint_ids *ids, const struct endpoint *endpoint)
{
	uint32_t id;
	if (!find(ids, endpoint, &id)) {
		id = choose(ids);
		ids->endpoints[id] = *endpoint;
		index_map_insert(&ids->index, hash_of(ids, endpoint), id + 1);
	}
	ids->n_users[id]++;
	return id;
}

void endpoint_ids_give_back(struct endpoint_ids *ids, uint32_t id)
{
	ids->n_users[id]--;
}
