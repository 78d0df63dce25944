// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/drops: what became of packets, or in proxy mode of sessions; and samples of packets
// that were dropped.
#include <string.h>

#include "control/api_params.h"
#include "control/api_request.h"
#include "control/api_server.h"

enum { SAMPLE_PACKETS = 100, SAMPLE_PACKETS_MAX = 10000, SAMPLE_S = 10, SAMPLE_S_MAX = 60 };

static json_t *list_drops(const struct packet_stats *stats)
{
	json_t *list = json_array();
	for (unsigned v = VERDICT_PASSED + 1; v < N_VERDICTS; v++) {
		enum verdict verdict = (enum verdict)v;
		json_t *drop =
			json_pack("{s:s, s:s, s:I}", "reason", verdict_name(verdict), "text",
				  verdict_text(verdict), "count", (json_int_t)stats->verdicts[v]);
		if (json_array_append_new(list, drop)) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *ledger_to_json(const struct packet_stats *stats)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "received",
			 (json_int_t)stats->received, "forwarded",
			 (json_int_t)stats->verdicts[VERDICT_FORWARDED], "fast_path",
			 (json_int_t)stats->fast_packets, "passed",
			 (json_int_t)stats->verdicts[VERDICT_PASSED], "held",
			 (json_int_t)stats->held, "generated", (json_int_t)stats->generated,
			 "suppressed", (json_int_t)stats->suppressed, "kernel_dropped",
			 (json_int_t)stats->kernel_dropped, "drops", list_drops(stats));
}

static json_t *ends_to_json(const struct proxy_stats *stats)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < N_SESSION_ENDS; i++) {
		enum session_end end = (enum session_end)i;
		json_t *object =
			json_pack("{s:s, s:s, s:I}", "end", session_end_name(end), "text",
				  session_end_text(end), "count", (json_int_t)stats->ends[i]);
		if (json_array_append_new(list, object)) {
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{s:I, s:I, s:o}", "accepted", (json_int_t)stats->accepted, "current",
			 (json_int_t)stats->total.current_connections, "ends", list);
}

static void on_drops(struct api_request *request, void *arg)
{
	(void)arg;
	struct stats stats = {0};
	if (api_gather(request, &stats))
		api_answer_json(request, 200,
				stats.mode == MODE_PROXY ? ends_to_json(&stats.sessions)
							 : ledger_to_json(&stats.packets));
	stats_fini(&stats);
}

// Only drops have samples: what was forwarded, tcpdump shows.
static bool find_reason(const char *name, enum verdict *reason)
{
	for (unsigned v = VERDICT_PASSED + 1; v < N_VERDICTS; v++) {
		if (strcmp(verdict_name((enum verdict)v), name) == 0) {
			*reason = (enum verdict)v;
			return true;
		}
	}
	return false;
}

static void on_sample(struct api_request *request, void *arg)
{
	(void)arg;
	static const char *const keys[] = {"count", "seconds", NULL};
	const struct api_source *source = request->source;
	struct api_sample_query query = {0};
	uint32_t seconds;
	if (!source->ops->sample) {
		api_answer_lacking(request, "samples of dropped packets");
	} else if (!find_reason(request->match.captures[0], &query.reason)) {
		api_answer_error(request, 404,
				 "GET /api/v1/drops lists the reasons: `culvertctl drops --json'",
				 "there is no reason \"%s\"", request->match.captures[0]);
	} else if (api_params_known(request, keys) &&
		   api_param_number(request, "count", SAMPLE_PACKETS, 1, SAMPLE_PACKETS_MAX,
				    &query.n_packets) &&
		   api_param_number(request, "seconds", SAMPLE_S, 1, SAMPLE_S_MAX, &seconds)) {
		query.duration_ms = seconds * 1000;
		source->ops->sample(source->arg, &query, request);
	}
}

void api_add_drops(struct api *api)
{
	static const struct api_route drops = {EVHTTP_REQ_GET, "/api/v1/drops", on_drops};
	static const struct api_route sample = {EVHTTP_REQ_GET, "/api/v1/drops/*/sample",
						on_sample};
	api_add_routes(api, &drops, 1, NULL);
	api_add_private_routes(api, &sample, 1, NULL);
}
