// SPDX-License-Identifier: Apache-2.0
#include "packet/ip_ids.h"

#include "culvert/ds/hash.h"

void ip_ids_init(struct ip_ids *ids, uint64_t secret, uint32_t worker, uint32_t n_workers)
{
	ids->secret = secret;
	ids->worker = worker;
	ids->n_workers = n_workers;
	for (uint32_t i = 0; i < IP_IDS_COUNTERS; i++)
		ids->counters[i] = (uint32_t)XXH3_64bits_withSeed(&i, sizeof(i), secret);
}

static uint32_t *counter_of(struct ip_ids *ids, const struct ip_addr *src,
			    const struct ip_addr *dst)
{
	struct ip_addr pair[] = {*src, *dst};
	return &ids->counters[XXH3_64bits_withSeed(pair, sizeof(pair), ids->secret) %
			      IP_IDS_COUNTERS];
}

uint16_t ip_ids_take_v4(struct ip_ids *ids, const struct ip_addr *src, const struct ip_addr *dst,
			uint32_t n)
{
	uint32_t *counter = counter_of(ids, src, dst);
	uint32_t n_own = (UINT32_C(1) << 16) / ids->n_workers;
	uint32_t first = *counter % n_own;
	// What does not fit before the end of the part begins at its start.
	if (first + n > n_own)
		first = 0;
	*counter = first + n;
	return (uint16_t)(ids->worker * n_own + first);
}

uint32_t ip_ids_take_v6(struct ip_ids *ids, const struct ip_addr *src, const struct ip_addr *dst)
{
	uint32_t *counter = counter_of(ids, src, dst);
	uint32_t n_own = UINT32_MAX / ids->n_workers;
	uint32_t first = *counter % n_own;
	*counter = first + 1;
	return ids->worker * n_own + first;
}
