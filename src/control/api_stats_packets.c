// SPDX-License-Identifier: Apache-2.0
#include "control/api_stats.h"

static bool put_ledger(json_t *root, const struct packet_stats *stats)
{
	uint64_t n_dropped = 0;
	json_t *drops = json_object();
	bool is_good = true;
	for (unsigned v = VERDICT_PASSED + 1; v < N_VERDICTS; v++) {
		n_dropped += stats->verdicts[v];
		is_good = is_good &&
			  stats_put_count(drops, verdict_name((enum verdict)v), stats->verdicts[v]);
	}
	json_t *packets = json_object();
	is_good = is_good && stats_put_count(packets, "received", stats->received) &&
		  stats_put_count(packets, "forwarded", stats->verdicts[VERDICT_FORWARDED]) &&
		  stats_put_count(packets, "passed", stats->verdicts[VERDICT_PASSED]) &&
		  stats_put_count(packets, "dropped", n_dropped) &&
		  stats_put_count(packets, "held", stats->held) &&
		  stats_put_count(packets, "generated", stats->generated) &&
		  stats_put_count(packets, "suppressed", stats->suppressed) &&
		  stats_put_count(packets, "kernel_dropped", stats->kernel_dropped);
	bool has_packets = stats_put(root, "packets", packets);
	return stats_put(root, "drops", drops) && has_packets && is_good;
}

static bool put_flows(json_t *root, const struct packet_stats *stats)
{
	json_t *flows = json_object();
	bool is_good = stats_put_count(flows, "current", stats->flows) &&
		       stats_put_count(flows, "capacity", stats->flow_capacity) &&
		       stats_put_count(flows, "reclaimed", stats->flows_reclaimed);
	return stats_put(root, "flows", flows) && is_good;
}

static bool put_fast_path(json_t *root, const struct packet_stats *stats)
{
	json_t *fast = json_object();
	bool is_good = stats_put(fast, "state", json_string(stats->has_fast_path ? "on" : "off")) &&
		       stats_put_count(fast, "flows", stats->fast_flows) &&
		       stats_put_count(fast, "packets", stats->fast_packets);
	return stats_put(root, "fast_path", fast) && is_good;
}

bool stats_put_packets(json_t *root, const struct packet_stats *stats)
{
	return put_ledger(root, stats) && put_flows(root, stats) && put_fast_path(root, stats);
}
