// SPDX-License-Identifier: Apache-2.0
// The text that Prometheus reads. promtool looks at the whole of it in the end-to-end tests.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/api_rig.h"
#include "control/metrics_text.h"

static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void expect_line(const char *text, const char *line)
{
	char whole[256];
	snprintf(whole, sizeof(whole), "\n%s\n", line);
	cr_expect_not_null(strstr(text, whole), "no line \"%s\" in:\n%s", line, text);
}

Test(api_metrics, packet_modes_have_packets_flows_and_backends, .timeout = 120)
{
	static const char build[] =
		"culvert_build_info{version=\"" CULVERT_VERSION "\",mode=\"passthrough\"} 1";
	static const char *const lines[] = {
		build,
		"culvert_packets_received_total 60",
		"culvert_packets_dropped_total{reason=\"no_flow\"} 11",
		"culvert_flows 20",
		"culvert_fast_path_flows 9",
		"culvert_fast_path_packets_total 30",
		"culvert_flows_limit 4096",
		"culvert_frontend_connections_total{frontend=\"secure\",pool=\"db\"} 5",
		"culvert_backend_up{backend=\"web/s1\",pool=\"web\"} 1",
		"culvert_backend_up{backend=\"db/s3\",pool=\"db\"} 0",
		"culvert_backend_weight{backend=\"web/s2\",pool=\"web\"} 3",
		"culvert_backend_share_ratio{backend=\"web/s2\",pool=\"web\"} 0.75",
		"culvert_backend_transmitted_bytes_total{backend=\"web/s2\",pool=\"web\"} 200",
		"culvert_pool_up_backends{pool=\"web\"} 2",
		"culvert_removed_backends 0",
	};
	struct api_rig rig;
	api_rig_open(&rig);
	const char *answer = api_rig_ask(&rig, request);
	cr_expect_not_null(strstr(answer, "Content-Type: " METRICS_CONTENT_TYPE "\r\n"));
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		expect_line(api_rig_body(answer), lines[i]);
	cr_expect_null(strstr(answer, "culvert_sessions"));
	api_rig_close(&rig);
}

static void expect_no_part(const char *text, const char *part)
{
	cr_expect_null(strstr(text, part), "\"%s\" in:\n%s", part, text);
}

// web/s1 and a frontend are taken out. web/s2 gets another address: the name is the new one's.
Test(api_metrics, what_has_been_removed_counts_until_it_is_gone, .timeout = 120)
{
	static const char s1[] =
		"culvert_backend_connections_total{backend=\"web/s1\",pool=\"web\"} 1";
	static const char *const always[] = {
		"culvert_backend_connections_total{backend=\"web/s2\",pool=\"web\"} 0",
		"culvert_backend_removed{backend=\"web/s2\",pool=\"web\"} 0",
		"culvert_pool_connections_total{pool=\"web\"} 3",
		"culvert_pool_transmitted_bytes_total{pool=\"web\"} 300",
		"culvert_pool_backends{pool=\"web\"} 1",
		"culvert_frontend_connections_total{frontend=\"secure\",pool=\"db\"} 5",
	};
	const struct traffic counted = {.total_connections = 1, .bytes_tx = 100};
	struct api_rig rig;
	struct config next;
	struct config_pool pools[2];
	struct config_backend moved;
	api_rig_init(&rig);
	memcpy(pools, rig.pools, sizeof(pools));
	moved = rig.backends[1];
	cr_assert(endpoint_parse("10.0.0.9:80", &moved.endpoint));
	pools[0].backends = &moved;
	pools[0].n_backends = 1;
	next = rig.config;
	next.n_refs = 0;
	next.pools = pools;
	next.n_frontends = 1;
	api_rig_start(&rig);
	cr_assert_eq(registry_apply(rig.registry, &next, 1, NULL), 0);
	for (int is_gone = 0; is_gone < 2; is_gone++) {
		const char *text = api_rig_body(api_rig_ask(&rig, request));
		for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
			expect_line(text, always[i]);
		expect_no_part(text, "culvert_backend_up{backend=\"web/s1\"");
		if (is_gone) {
			expect_no_part(text, "web/s1");
		} else {
			expect_line(text, s1);
			expect_line(text,
				    "culvert_backend_removed{backend=\"web/s1\",pool=\"web\"} 1");
		}
		if (is_gone)
			break;
		registry_add_past(rig.registry, 0, &counted);
		registry_give_back_backend(rig.registry, 0);
	}
	api_rig_close(&rig);
}

Test(api_metrics, proxy_mode_has_sessions_and_histograms, .timeout = 120)
{
	static const char *const lines[] = {
		"culvert_sessions_accepted_total 12",
		"culvert_sessions 2",
		"culvert_sessions_limit 99",
		"culvert_sessions_ended_total{end=\"completed\"} 9",
		"culvert_frontend_sessions_ended_total{frontend=\"plain\",pool=\"web\",end="
		"\"completed\"}"
		" 9",
		"culvert_frontend_session_duration_seconds_bucket{frontend=\"plain\",pool=\"web\","
		"le=\"0.0001\"} 4",
		"culvert_frontend_session_duration_seconds_bucket{frontend=\"plain\",pool=\"web\","
		"le=\"3600\"} 4",
		"culvert_frontend_session_duration_seconds_bucket{frontend=\"plain\",pool=\"web\","
		"le=\"+Inf\"} 9",
		"culvert_frontend_session_duration_seconds_count{frontend=\"plain\",pool=\"web\"} "
		"9",
		"culvert_frontend_session_duration_seconds_sum{frontend=\"plain\",pool=\"web\"} "
		"0.0015",
		"culvert_backend_connects_total{backend=\"web/"
		"s2\",pool=\"web\",result=\"refused\"} 7",
		"culvert_backend_connect_duration_seconds_count{backend=\"web/s2\",pool=\"web\"} 6",
	};
	struct api_rig rig;
	api_rig_init(&rig);
	rig.mode = MODE_PROXY;
	rig.status.max_sessions = 99;
	api_rig_start(&rig);
	const char *answer = api_rig_ask(&rig, request);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		expect_line(api_rig_body(answer), lines[i]);
	cr_expect_null(strstr(answer, "culvert_packets"));
	api_rig_close(&rig);
}

Test(api_metrics, the_flow_log_is_there_when_it_is_on, .timeout = 120)
{
	struct api_rig rig;
	api_rig_init(&rig);
	rig.flow_log =
		(struct flow_log_stats){.is_on = true, .lines = 7, .dropped = 2, .unwritten = 3};
	api_rig_start(&rig);
	const char *answer = api_rig_ask(&rig, request);
	expect_line(api_rig_body(answer), "culvert_flow_log_records_total 7");
	expect_line(api_rig_body(answer), "culvert_flow_log_lost_total 5");
	api_rig_stop(&rig);
	rig.flow_log.is_on = false;
	api_rig_start(&rig);
	cr_expect_null(strstr(api_rig_ask(&rig, request), "flow_log"));
	api_rig_close(&rig);
}

Test(api_metrics, values_of_labels_are_escaped)
{
	static const struct metric_label labels[] = {{"name", "a\"b\\c\nd"},
						     {"other", ""},
						     {NULL, NULL}};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	cr_assert(out);
	metrics_count(out, "x_total", labels, UINT64_MAX);
	metrics_real(out, "y", NULL, 0.1);
	fclose(out);
	cr_expect_str_eq(text, "x_total{name=\"a\\\"b\\\\c\\nd\",other=\"\"} 18446744073709551615\n"
			       "y 0.1\n");
	free(text);
}
