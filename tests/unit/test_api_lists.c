// SPDX-License-Identifier: Apache-2.0
// What the API tells: status, lists, counters, configuration.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../support/lib/api_rig.h"
#include "culvert/balance/registry.h"
#include "culvert/control/api_json.h"

// The value at a path of keys and indices, "backends/0/name".
static json_t *at(json_t *root, const char *path)
{
	char copy[128];
	char *rest = copy;
	snprintf(copy, sizeof(copy), "%s", path);
	for (char *key = strtok_r(copy, "/", &rest); key; key = strtok_r(NULL, "/", &rest)) {
		if (json_is_array(root))
			root = json_array_get(root, strtoul(key, NULL, 10));
		else
			root = json_object_get(root, key);
	}
	cr_assert(root, "no %s", path);
	return root;
}

static const char *text_at(json_t *root, const char *path)
{
	const char *text = json_string_value(at(root, path));
	cr_assert(text, "%s is no string", path);
	return text;
}

static json_int_t number_at(json_t *root, const char *path)
{
	cr_assert(json_is_integer(at(root, path)), "%s", path);
	return json_integer_value(at(root, path));
}

Test(api_lists, status_sums_up, .timeout = 120)
{
	struct api_rig rig;
	json_t *root;
	api_rig_init(&rig);
	rig.status = (struct api_status){.state = API_RELOADING, .n_threads = 3};
	api_rig_start(&rig);
	cr_assert_eq(api_rig_get(&rig, "/api/v1/status", &root), 200);
	cr_expect_str_eq(text_at(root, "version"), CULVERT_VERSION);
	cr_expect_str_eq(text_at(root, "mode"), "passthrough");
	cr_expect_str_eq(text_at(root, "state"), "reloading");
	cr_expect_eq(number_at(root, "config/generation"), 1);
	cr_expect(json_is_null(at(root, "config/last_reload")));
	cr_expect_eq(number_at(root, "threads"), 3);
	cr_expect_eq(number_at(root, "flows/current"), 20);
	cr_expect_eq(number_at(root, "flows/capacity"), 4096);
	cr_expect_eq(number_at(root, "frontends"), 2);
	cr_expect_eq(number_at(root, "backends/total"), 3);
	cr_expect_eq(number_at(root, "backends/up"), 2);
	cr_expect_eq(number_at(root, "backends/down") + number_at(root, "backends/unknown"), 1);
	cr_expect(json_is_real(at(root, "uptime")));
	json_decref(root);
	api_rig_close(&rig);
}

Test(api_lists, frontends_have_their_counters, .timeout = 120)
{
	struct api_rig rig;
	json_t *root;
	api_rig_open(&rig);
	cr_assert_eq(api_rig_get(&rig, "/api/v1/frontends", &root), 200);
	cr_expect_eq(json_array_size(at(root, "frontends")), 2);
	cr_expect_str_eq(text_at(root, "frontends/1/name"), "secure");
	cr_expect_str_eq(text_at(root, "frontends/1/pool"), "db");
	cr_expect_str_eq(text_at(root, "frontends/1/scheduler"), "maglev");
	cr_expect_str_eq(text_at(root, "frontends/1/state"), "active");
	cr_expect_eq(number_at(root, "frontends/1/connections/total"), 5);
	cr_expect_eq(number_at(root, "frontends/1/bytes/rx"), 6);
	cr_expect_eq(number_at(root, "frontends/1/packets/tx"), 0);
	json_decref(root);
	api_rig_close(&rig);
}

Test(api_lists, a_frontend_without_an_open_gate_waits, .timeout = 120)
{
	struct api_rig rig;
	json_t *root;
	api_rig_init(&rig);
	registry_set_gate(rig.registry, 0, GATE_AWAITED);
	registry_set_gate(rig.registry, 1, GATE_SHUT);
	api_rig_start(&rig);
	cr_assert_eq(api_rig_get(&rig, "/api/v1/frontends", &root), 200);
	cr_expect_str_eq(text_at(root, "frontends/0/state"), "waiting");
	cr_expect_str_eq(text_at(root, "frontends/1/state"), "waiting");
	json_decref(root);
	api_rig_close(&rig);
}

Test(api_lists, a_backend_that_starts_slowly_has_a_part_of_its_weight, .timeout = 120)
{
	struct api_rig rig;
	json_t *root;
	api_rig_init(&rig);
	api_rig_start(&rig);
	registry_hold_back(rig.registry, 1, 9);
	cr_assert_eq(api_rig_get(&rig, "/api/v1/backends", &root), 200);
	cr_expect_float_eq(json_number_value(at(root, "backends/1/weight/effective")), 0.3, 1e-9);
	cr_expect_eq(number_at(root, "backends/1/weight/configured"), 3);
	json_decref(root);
	api_rig_close(&rig);
}

// The data path has it as one that is not up, which nobody has found out.
Test(api_lists, a_backend_that_a_reload_has_brought_is_unknown_until_it_is_checked, .timeout = 120)
{
	struct api_rig rig;
	json_t *root;
	api_rig_init(&rig);
	rig.pools[1].fall = 1000; // checks: more than there are in a test
	registry_set_known(rig.registry, 2);
	api_rig_start(&rig);
	cr_assert_eq(api_rig_get(&rig, "/api/v1/backends", &root), 200);
	cr_expect_str_eq(text_at(root, "backends/2/health"), "unknown");
	json_decref(root);
	api_rig_close(&rig);
}

Test(api_lists, backends_have_state_health_weight_and_share, .timeout = 120)
{
	struct api_rig rig;
	json_t *root;
	api_rig_init(&rig);
	api_rig_start(&rig);
	cr_assert_eq(api_rig_get(&rig, "/api/v1/backends", &root), 200);
	cr_expect_eq(json_array_size(at(root, "backends")), 3);
	cr_expect_str_eq(text_at(root, "backends/0/name"), "web/s1");
	cr_expect_str_eq(text_at(root, "backends/0/address"), "10.0.0.1:80");
	cr_expect_str_eq(text_at(root, "backends/0/state"), "ready");
	cr_expect_str_eq(text_at(root, "backends/0/health"), "unchecked");
	cr_expect_str_eq(text_at(root, "backends/0/hop/state"), "no_route");
	cr_expect(json_is_null(at(root, "backends/0/weight/set")));
	cr_expect_eq(number_at(root, "backends/0/weight/configured"), 1);
	cr_expect_eq(number_at(root, "backends/1/weight/effective"), 3);
	cr_expect_float_eq(json_real_value(at(root, "backends/0/share")), 0.25, 1e-9);
	cr_expect_float_eq(json_real_value(at(root, "backends/1/share")), 0.75, 1e-9);
	cr_expect_float_eq(json_real_value(at(root, "backends/2/share")), 0, 1e-9);
	cr_expect_eq(number_at(root, "backends/1/connections/current"), 20);
	cr_expect_eq(number_at(root, "backends/1/connections/finished"), 4);
	cr_expect_eq(number_at(root, "pools/0/up"), 2);
	cr_expect_eq(number_at(root, "pools/1/total"), 1);
	cr_expect_str_eq(text_at(root, "pools/1/frontends/0"), "secure");
	json_decref(root);
	api_rig_close(&rig);
}

Test(api_lists, what_has_been_said_of_a_removed_backend_is_told, .timeout = 120)
{
	struct api_rig rig;
	struct config next;
	struct config_pool pools[2];
	json_t *root;
	api_rig_init(&rig);
	rig.pools[0].on_backend_down = ON_DOWN_KEEP;
	memcpy(pools, rig.pools, sizeof(pools));
	pools[0].backends++;
	pools[0].n_backends = 1;
	next = rig.config;
	next.n_refs = 0;
	next.pools = pools;
	api_rig_start(&rig);
	cr_assert_eq(registry_apply(rig.registry, &next, 1, NULL), 0);
	cr_assert_eq(registry_set_admin(rig.registry, 0, ADMIN_MAINT), 0);
	cr_assert_eq(api_rig_get(&rig, "/api/v1/backends", &root), 200);
	cr_expect_str_eq(text_at(root, "backends/0/state"), "removed");
	cr_expect_str_eq(text_at(root, "backends/0/state_set"), "maint");
	cr_expect_str_eq(text_at(root, "backends/0/on_backend_down"), "keep");
	cr_expect_str_eq(text_at(root, "backends/1/state_set"), "ready");
	cr_expect_str_eq(text_at(root, "backends/2/on_backend_down"), "reset");
	json_decref(root);
	api_rig_close(&rig);
}

// JSON is UTF-8, which names of files and of interfaces need not be.
Test(api_lists, names_that_are_not_utf8_spoil_no_answer, .timeout = 120)
{
	struct api_rig rig;
	struct snapshot_hop hop = {.state = HOP_UNRESOLVED};
	static char path[] = "/etc/caf\xe9.toml";
	json_t *root;
	api_rig_init(&rig);
	rig.config.path = path;
	api_rig_start(&rig);
	cr_assert_eq(api_rig_get(&rig, "/api/v1/status", &root), 200);
	cr_expect_str_eq(text_at(root, "config/path"), "/etc/caf?.toml");
	json_decref(root);
	cr_assert_eq(api_rig_get(&rig, "/api/v1/config", &root), 200);
	json_decref(root);
	api_rig_close(&rig);
	root = api_hop_to_json(&hop, "v\xff");
	cr_assert_not_null(root);
	cr_expect_str_eq(text_at(root, "interface"), "v?");
	json_decref(root);
}

Test(api_lists, drops_are_packets_or_ends_of_sessions, .timeout = 120)
{
	struct api_rig rig;
	json_t *root;
	api_rig_open(&rig);
	cr_assert_eq(api_rig_get(&rig, "/api/v1/drops", &root), 200);
	cr_expect_eq(number_at(root, "received"), 60);
	cr_expect_eq(json_array_size(at(root, "drops")), N_VERDICTS - VERDICT_PASSED - 1);
	cr_expect_str_eq(text_at(root, "drops/0/reason"), "truncated");
	json_decref(root);
	rig.mode = MODE_PROXY;
	cr_assert_eq(api_rig_get(&rig, "/api/v1/drops", &root), 200);
	cr_expect_str_eq(text_at(root, "ends/0/end"), "completed");
	cr_expect_eq(number_at(root, "ends/0/count"), 9);
	cr_expect_eq(number_at(root, "accepted"), 12);
	json_decref(root);
	api_rig_close(&rig);
}

Test(api_lists, readyz_names_the_frontends_that_nobody_serves, .timeout = 120)
{
	static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct api_rig rig;
	api_rig_init(&rig);
	rig.status.state = API_READY;
	api_rig_start(&rig);
	const char *answer = api_rig_ask(&rig, request);
	cr_expect_not_null(strstr(answer, "503"), "%s", answer);
	cr_expect_str_eq(api_rig_body(answer),
			 "frontend secure: no backend of pool db can be used\n");
	api_rig_stop(&rig);
	registry_set_up(rig.registry, 2, true);
	api_rig_start(&rig);
	cr_expect_str_eq(api_rig_body(api_rig_ask(&rig, request)), "ready\n");
	api_rig_stop(&rig);
	registry_set_gate(rig.registry, 0, GATE_AWAITED);
	registry_set_gate(rig.registry, 1, GATE_SHUT);
	api_rig_start(&rig);
	cr_expect_str_eq(api_rig_body(api_rig_ask(&rig, request)),
			 "frontend secure: some backend of pool db is not ready for it\n");
	api_rig_stop(&rig);
	registry_set_gate(rig.registry, 1, GATE_OPEN);
	rig.status.state = API_DRAINING;
	api_rig_start(&rig);
	cr_expect_str_eq(api_rig_body(api_rig_ask(&rig, request)), "culvert is draining\n");
	api_rig_close(&rig);
}

Test(api_lists, everything_that_counts_says_so_when_it_cannot, .timeout = 120)
{
	static const char *const paths[] = {"/api/v1/status", "/api/v1/frontends",
					    "/api/v1/backends", "/api/v1/drops", "/metrics"};
	struct api_rig rig;
	json_t *root;
	api_rig_init(&rig);
	rig.gather_code = -ENOMEM;
	api_rig_start(&rig);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		cr_expect_eq(api_rig_get(&rig, paths[i], &root), 503, "%s", paths[i]);
		cr_expect(json_is_string(at(root, "error/message")));
		json_decref(root);
	}
	api_rig_close(&rig);
}
