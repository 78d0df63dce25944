// SPDX-License-Identifier: Apache-2.0
#include "packet/busy_poll.h"

#include <sched.h>

enum {
	WEIGHT = 8, // the last gap counts for one in so many
	PATIENCE =
		4, // gaps of so many limits on average are worth it still: a quarter of a processor
	GAP_MAX = 100, // limits; a longer gap counts as that, or one pause would be long remembered
};

void busy_poll_init(struct busy_poll *poll, uint32_t limit_us)
{
	*poll = (struct busy_poll){.limit_ns = UINT64_C(1000) * limit_us};
	poll->mean_gap_ns = GAP_MAX * poll->limit_ns;
}

void busy_poll_found(struct busy_poll *poll, uint64_t now_ns)
{
	if (!poll->idle_since)
		return;
	uint64_t gap = now_ns - poll->idle_since;
	uint64_t most = GAP_MAX * poll->limit_ns;
	poll->mean_gap_ns += (gap < most ? gap : most) / WEIGHT;
	poll->mean_gap_ns -= poll->mean_gap_ns / WEIGHT;
	poll->idle_since = 0;
}

bool busy_poll_goes_on(struct busy_poll *poll, uint64_t now_ns)
{
	if (!poll->idle_since)
		poll->idle_since = now_ns;
	if (now_ns - poll->idle_since >= poll->limit_ns ||
	    poll->mean_gap_ns > PATIENCE * poll->limit_ns)
		return false;
	sched_yield();
	return true;
}
