// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "control/api_stats.h"

enum { US_PER_MS = 1000, KEY_MAX = 16 };

static bool put_ends(json_t *object, const uint64_t *ends)
{
	json_t *counts = json_object();
	bool is_good = true;
	for (unsigned i = 0; i < N_SESSION_ENDS; i++)
		is_good = is_good &&
			  stats_put_count(counts, session_end_name((enum session_end)i), ends[i]);
	return stats_put(object, "ends", counts) && is_good;
}

// Buckets by their upper bound in milliseconds; the last is what lay above all.
static bool put_histogram(json_t *object, const char *key, const struct histogram_sum *histogram)
{
	uint64_t count = 0;
	json_t *buckets = json_object();
	json_t *part = json_object();
	bool is_good = true;
	for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		char bound[KEY_MAX] = "inf";
		if (i < HISTOGRAM_BOUNDS)
			snprintf(bound, sizeof(bound), "%.7g",
				 (double)histogram_bounds_us[i] / US_PER_MS);
		count += histogram->buckets[i];
		is_good = is_good && stats_put_count(buckets, bound, histogram->buckets[i]);
	}
	is_good = is_good && stats_put_count(part, "count", count) &&
		  stats_put(part, "sum_ms", json_real((double)histogram->sum_us / US_PER_MS));
	bool has_buckets = stats_put(part, "buckets_ms", buckets);
	return stats_put(object, key, part) && has_buckets && is_good;
}

bool stats_put_sessions(json_t *root, const struct proxy_stats *stats)
{
	json_t *sessions = json_object();
	bool is_good = stats_put_count(sessions, "accepted", stats->accepted) &&
		       stats_put_count(sessions, "current", stats->total.current_connections) &&
		       stats_put_count(sessions, "accept_pauses", stats->accept_pauses) &&
		       put_ends(sessions, stats->ends);
	return stats_put(root, "sessions", sessions) && is_good;
}

bool stats_put_session_ends(json_t *object, const struct proxy_frontend_stats *stats)
{
	return put_ends(object, stats->ends) &&
	       put_histogram(object, "session_time", &stats->session_time);
}

bool stats_put_connects(json_t *object, const struct proxy_backend_stats *stats)
{
	json_t *counts = json_object();
	bool is_good = true;
	for (unsigned i = 0; i < N_CONNECT_RESULTS; i++)
		is_good = is_good &&
			  stats_put_count(counts, connect_result_name((enum connect_result)i),
					  stats->connects[i]);
	return stats_put(object, "connects", counts) && is_good &&
	       put_histogram(object, "connect_time", &stats->connect_time);
}
