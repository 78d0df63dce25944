// SPDX-License-Identifier: Apache-2.0
// The statistics as JSON.
#include "control/api_stats.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../support/lib/api_rig.h"

static const char expected_json[] =
	"{'total_connections': 1000, 'current_connections': 10,"
	" 'total_bytes_tx': 1099511627776, 'total_bytes_rx': 77,"
	" 'backends': {"
	"  'web': {'total_connections': 3, 'current_connections': 30,"
	"   'bytes_tx': 300, 'bytes_rx': 3000,"
	"   'servers': {'10.0.0.1:80': true, '10.0.0.2:8080': true},"
	"   'server_stats': {"
	"    's1': {'addr': '10.0.0.1:80', 'total_connections': 1, 'current_connections': 10,"
	"     'bytes_tx': 100, 'bytes_rx': 1000},"
	"    's2': {'addr': '10.0.0.2:8080', 'total_connections': 2, 'current_connections': 20,"
	"     'bytes_tx': 200, 'bytes_rx': 2000}}},"
	"  'db': {'total_connections': 3, 'current_connections': 30,"
	"   'bytes_tx': 300, 'bytes_rx': 3000, 'servers': {'[::1]:1': false},"
	"   'server_stats': {"
	"    's3': {'addr': '[::1]:1', 'total_connections': 3, 'current_connections': 30,"
	"     'bytes_tx': 300, 'bytes_rx': 3000}}}},"
	" 'frontends': {"
	"  'plain': {'total_connections': 0, 'current_connections': 0,"
	"   'bytes_tx': 0, 'bytes_rx': 0},"
	"  'secure': {'total_connections': 5, 'current_connections': 0,"
	"   'bytes_tx': 0, 'bytes_rx': 6}},"
	" 'removed_frontends': {'total_connections': 995, 'current_connections': 10,"
	"  'bytes_tx': 1099511627776, 'bytes_rx': 71},"
	" 'mode': 'passthrough', 'packets': {'received': 60, 'forwarded': 40, 'passed': 5, "
	"'dropped': 15,"
	"  'held': 6, 'generated': 3, 'suppressed': 4, 'kernel_dropped': 2},"
	" 'flows': {'current': 20, 'capacity': 4096, 'reclaimed': 1},"
	" 'fast_path': {'state': 'on', 'flows': 9, 'packets': 30}}";

// What it holds apart from "drops", whose keys come from the list of verdicts.
static void check_json(json_t *actual)
{
	char quoted[sizeof(expected_json)];
	memcpy(quoted, expected_json, sizeof(quoted));
	for (char *c = strchr(quoted, '\''); c; c = strchr(c, '\''))
		*c = '"';
	json_error_t error;
	json_t *expected = json_loads(quoted, 0, &error);
	cr_assert(expected, "%s", error.text);
	json_t *drops = json_incref(json_object_get(actual, "drops"));
	json_object_del(actual, "drops");
	cr_expect(json_equal(expected, actual), "%s", json_dumps(actual, 0));

	size_t n_drops = 0;
	json_int_t sum = 0;
	for (unsigned v = VERDICT_PASSED + 1; v < N_VERDICTS; v++) {
		json_t *count = json_object_get(drops, verdict_name((enum verdict)v));
		cr_expect(json_is_integer(count), "%s", verdict_name((enum verdict)v));
		sum += json_integer_value(count);
		n_drops++;
	}
	cr_expect_eq(json_object_size(drops), n_drops);
	cr_expect_eq(sum, 15);
	json_decref(drops);
	json_decref(expected);
}

Test(stats, json_has_every_key_and_pools_are_sums)
{
	struct api_rig rig;
	struct stats stats = {0};
	api_rig_init(&rig);
	api_rig_gather(&rig, &stats);
	json_t *root = stats_to_json(&rig.source, &stats);
	cr_assert(root);
	check_json(root);
	json_decref(root);
	stats_fini(&stats);
	cr_expect_null(stats.packets.backends);
	api_rig_fini(&rig);
}

Test(stats, json_without_traffic_has_the_same_keys)
{
	struct api_rig rig;
	struct stats stats = {.mode = MODE_PASSTHROUGH};
	api_rig_init(&rig);
	json_t *root = stats_to_json(&rig.source, &stats);
	cr_assert(root);
	cr_expect_eq(json_object_size(json_object_get(root, "frontends")), 2);
	cr_expect_eq(json_object_size(json_object_get(root, "backends")), 2);
	cr_expect_gt(json_object_size(json_object_get(root, "drops")), 10);
	json_decref(root);
	api_rig_fini(&rig);
}

// The number at a path of keys, "a/b/c".
static json_int_t number_at(json_t *root, const char *path)
{
	char copy[128];
	char *rest = copy;
	snprintf(copy, sizeof(copy), "%s", path);
	for (char *key = strtok_r(copy, "/", &rest); key; key = strtok_r(NULL, "/", &rest))
		root = json_object_get(root, key);
	cr_assert(json_is_integer(root), "%s", path);
	return json_integer_value(root);
}

// web/s1 and a frontend are taken out, and the former is gone after a while.
Test(stats, sums_of_a_pool_go_on_without_a_server)
{
	struct api_rig rig;
	struct config next;
	struct stats stats = {0};
	struct config_pool pools[2];
	api_rig_init(&rig);
	api_rig_gather(&rig, &stats);
	memcpy(pools, rig.pools, sizeof(pools));
	pools[0].backends++;
	pools[0].n_backends = 1;
	next = rig.config;
	next.n_refs = 0;
	next.pools = pools;
	next.n_frontends = 1;
	cr_assert_eq(registry_apply(rig.registry, &next, 1, NULL), 0);
	for (int is_gone = 0; is_gone < 2; is_gone++) {
		json_t *root = stats_to_json(&rig.source, &stats);
		cr_assert(root);
		cr_expect_eq(number_at(root, "backends/web/total_connections"), 3);
		cr_expect_eq(number_at(root, "backends/web/current_connections"), 30);
		cr_expect_eq(number_at(root, "backends/web/bytes_rx"), 3000);
		cr_expect_eq(number_at(root, "backends/db/total_connections"), 3);
		cr_expect_eq(json_object_size(json_object_get(root, "frontends")), 1);
		cr_expect_eq(number_at(root, "removed_frontends/total_connections"), 1000);
		cr_expect_null(json_object_get(
			json_object_get(json_object_get(json_object_get(root, "backends"), "web"),
					"server_stats"),
			"s1"));
		json_decref(root);
		if (is_gone)
			break;
		registry_add_past(rig.registry, 0, &stats.packets.backends[0]);
		stats.packets.backends[0] = (struct traffic){0};
		registry_give_back_backend(rig.registry, 0);
	}
	stats_fini(&stats);
	api_rig_fini(&rig);
}

Test(stats, json_of_proxy_mode_tells_sessions_and_connects)
{
	struct api_rig rig;
	struct stats stats = {0};
	api_rig_init(&rig);
	rig.mode = MODE_PROXY;
	api_rig_gather(&rig, &stats);
	json_t *root = stats_to_json(&rig.source, &stats);
	cr_assert(root);
	cr_expect_eq(number_at(root, "sessions/accepted"), 12);
	cr_expect_eq(number_at(root, "sessions/current"), 2);
	cr_expect_eq(number_at(root, "sessions/accept_pauses"), 3);
	cr_expect_eq(number_at(root, "sessions/ends/completed"), 9);
	cr_expect_eq(number_at(root, "sessions/ends/idle_timeout"), 1);
	cr_expect_eq(number_at(root, "frontends/plain/ends/completed"), 9);
	cr_expect_eq(number_at(root, "frontends/plain/session_time/count"), 9);
	cr_expect_eq(number_at(root, "frontends/plain/session_time/buckets_ms/0.1"), 4);
	cr_expect_eq(number_at(root, "frontends/plain/session_time/buckets_ms/inf"), 5);
	cr_expect_eq(number_at(root, "backends/web/server_stats/s2/bytes_rx"), 99);
	cr_expect_eq(number_at(root, "backends/web/server_stats/s2/connects/refused"), 7);
	cr_expect_eq(number_at(root, "backends/web/server_stats/s2/connect_time/buckets_ms/0.25"),
		     6);
	cr_expect_null(json_object_get(root, "packets"));
	json_decref(root);
	stats_fini(&stats);
	api_rig_fini(&rig);
}

Test(verdict, every_one_has_a_name_and_a_text)
{
	for (unsigned v = 0; v < N_VERDICTS; v++) {
		cr_expect(verdict_name((enum verdict)v)[0]);
		cr_expect(verdict_text((enum verdict)v)[0]);
		for (unsigned w = 0; w < v; w++)
			cr_expect_str_neq(verdict_name((enum verdict)v),
					  verdict_name((enum verdict)w));
	}
	cr_expect_str_eq(verdict_name(VERDICT_DROP_NO_FLOW), "no_flow");
}
