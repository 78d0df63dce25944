// SPDX-License-Identifier: Apache-2.0
// What is said of a client's next connection is what the engine then does with it.
#include "explain.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/frame.h"
#include "../support/lib/rig.h"
#include "../support/lib/scene_words.h"
#include "culvert/packet/query.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { CLIENT = 0x0a030001, VIP = 0x0a010064, N_BACKENDS = 4, N_TUPLES = 300 };

static const int layouts[] = {WORKERS_INLINE, 3};
static const enum hash_kind hashes[] = {HASH_5_TUPLE, HASH_SOURCE_IP};
static uint32_t serial; // no two clients are alike

static void start(struct rig *rig, struct scene *scene, int workers, enum hash_kind hash)
{
	static const char *const addrs[N_BACKENDS] = {"10.2.0.20:8080", "10.2.0.21:8080",
						      "10.2.0.22:8080", "10.2.0.23:8080"};
	static const char *const names[N_BACKENDS] = {"b0", "b1", "b2", "b3"};
	scene_init(scene, "10.2.0.1");
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	for (size_t i = 0; i < N_BACKENDS; i++)
		scene_add_backend(scene, web, names[i], addrs[i], (uint16_t)(i + 1));
	scene_add_frontend(scene, "10.1.0.100:80", web, hash);
	scene->config->passthrough.workers = workers;
	scene->config->passthrough.connection_tracker_capacity = 20000;
	scene_build(scene);
	rig_start(rig, scene);
}

static json_t *explain_client(struct rig *rig, uint32_t client, uint16_t port, const char *vip)
{
	struct explain_params params = {
		.registry = rig->scene->registry,
		.snapshot = engine_snapshot(rig->engine),
		.client = {.addr = ip_addr_from_v4(htonl(client)),
			   .port_be = htons(port),
			   .proto = IPPROTO_TCP},
		.vip = scene_endpoint(vip, IPPROTO_TCP),
	};
	json_t *said = explain(&params);
	cr_assert_not_null(said);
	return said;
}

static const char *text_of(const json_t *said, const char *key)
{
	const char *text = json_string_value(json_object_get(said, key));
	return text ? text : "";
}

// Which backend a SYN goes to, as a name; "" when it goes nowhere.
static const char *send_syn(struct rig *rig, uint32_t client, uint16_t port)
{
	static char name[16];
	uint8_t frame[256];
	struct virtio_net_hdr vnet;
	struct frame_spec syn = {
		.src = frame_v4(client),
		.dst = frame_v4(VIP),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = port,
		.dst_port = 80,
		.flags = TCP_FLAG_SYN,
		.seq = 100,
		.dst_mac = rig->scene->link_macs[SCENE_FRONT],
	};
	rig_push(rig, SCENE_FRONT, frame, frame_build(&syn, frame, &vnet), &vnet);
	rig_settle(rig);
	struct mem_frame *sent = mem_io_take(rig->io);
	name[0] = '\0';
	if (sent && sent->link == SCENE_BACK)
		snprintf(name, sizeof(name), "web/b%d", sent->bytes[33] - 20);
	free(sent);
	return name;
}

static void compare(struct rig *rig, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t client = CLIENT + serial++ * 7;
		uint16_t port = (uint16_t)(1024 + serial * 31 % 60000);
		json_t *said = explain_client(rig, client, port, "10.1.0.100:80");
		cr_expect_str_eq(text_of(said, "backend"), send_syn(rig, client, port), "client %u",
				 i);
		json_decref(said);
	}
}

Test(explain, names_the_backend_that_the_engine_then_takes, .timeout = 120)
{
	for (size_t i = 0; i < COUNT(layouts) * COUNT(hashes); i++) {
		struct scene scene;
		struct rig rig;
		start(&rig, &scene, layouts[i / 2], hashes[i % 2]);
		compare(&rig, N_TUPLES);
		registry_set_up(scene.registry, 3, false);
		rig_publish(&rig);
		compare(&rig, N_TUPLES);
		registry_set_admin(scene.registry, 2, ADMIN_DRAIN);
		registry_set_weight(scene.registry, 0, 100);
		rig_publish(&rig);
		compare(&rig, N_TUPLES);
		registry_set_admin(scene.registry, 0, ADMIN_MAINT);
		registry_set_weight(scene.registry, 1, 0);
		rig_publish(&rig);
		json_t *said = explain_client(&rig, CLIENT, 1000, "10.1.0.100:80");
		cr_expect_str_eq(text_of(said, "backend"), "");
		cr_expect_str_eq(text_of(said, "verdict"), "no_backend");
		cr_expect_eq(json_array_size(json_object_get(said, "skipped")), N_BACKENDS);
		json_decref(said);
		cr_expect_null(rig_stop(&rig));
		scene_fini(&scene);
	}
}

// ---- reasons -----------------------------------------------------------------------------------

static const char *why(const json_t *said, const char *backend)
{
	size_t i;
	json_t *entry;
	json_array_foreach(json_object_get(said, "skipped"), i, entry)
	{
		if (strcmp(text_of(entry, "backend"), backend) == 0)
			return text_of(entry, "reason");
	}
	return "";
}

Test(explain, says_why_backends_are_passed_over)
{
	struct scene scene;
	struct rig rig;
	start(&rig, &scene, WORKERS_INLINE, HASH_5_TUPLE);
	registry_set_up(scene.registry, 0, false);
	registry_set_admin(scene.registry, 1, ADMIN_DRAIN);
	registry_set_admin(scene.registry, 2, ADMIN_MAINT);
	registry_set_weight(scene.registry, 3, 0);
	rig_publish(&rig);
	json_t *said = explain_client(&rig, CLIENT, 1000, "10.1.0.100:80");
	cr_expect_str_eq(why(said, "web/b0"), "down");
	cr_expect(strstr(why(said, "web/b1"), "draining"));
	cr_expect(strstr(why(said, "web/b2"), "maintenance"));
	cr_expect(strstr(why(said, "web/b3"), "weight is 0"));
	cr_expect_eq(json_array_size(json_object_get(said, "candidates")), 0);
	json_decref(said);
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
}

Test(explain, knows_what_becomes_of_a_packet_without_a_way)
{
	static const enum hop_state states[] = {HOP_NO_ROUTE, HOP_UNRESOLVED};
	static const char *const verdicts[] = {"no_route", "neighbour_unresolved"};
	struct scene scene;
	struct rig rig;
	start(&rig, &scene, WORKERS_INLINE, HASH_5_TUPLE);
	for (uint32_t i = 0; i + 1 < N_BACKENDS; i++)
		registry_set_up(scene.registry, i, false);
	for (size_t i = 0; i < COUNT(states); i++) {
		struct snapshot_hop hop = {.state = states[i], .link = SCENE_BACK};
		registry_set_hop(scene.registry, 3, &hop, 1);
		rig_publish(&rig);
		json_t *said = explain_client(&rig, CLIENT, 1000, "10.1.0.100:80");
		cr_expect_str_eq(text_of(said, "backend"), "web/b3");
		cr_expect_str_eq(text_of(said, "verdict"), verdicts[i]);
		cr_expect_str_eq(send_syn(&rig, CLIENT, (uint16_t)(1000 + i)), "");
		json_decref(said);
	}
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
}

Test(explain, leaves_to_the_kernel_what_is_of_no_frontend)
{
	struct scene scene;
	struct rig rig;
	start(&rig, &scene, WORKERS_INLINE, HASH_5_TUPLE);
	json_t *said = explain_client(&rig, CLIENT, 1000, "10.1.0.100:81");
	cr_expect(json_is_null(json_object_get(said, "frontend")));
	cr_expect_str_eq(text_of(said, "verdict"), "passed");
	cr_expect_eq(json_array_size(json_object_get(said, "steps")), 1);
	json_decref(said);
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
}

// Threads tell of a flow before the last of them has looked; meanwhile the backend may be gone.
Test(explain, a_flow_whose_backend_has_been_given_back_is_none)
{
	struct scene scene;
	struct scene next;
	struct rig rig;
	struct flow_row row = {.state = "established", .backend = 1};
	scene_init(&scene, "10.2.0.1");
	scene_init(&next, "10.2.0.1");
	scene_add_words(&scene, "web=a:10.2.0.20,b:10.2.0.21 @10.1.0.100>web");
	scene_add_words(&next, "web=a:10.2.0.20 @10.1.0.100>web");
	scene_build(&scene);
	rig_start(&rig, &scene);
	cr_assert_eq(registry_apply(scene.registry, next.config, 1, NULL), 0);
	rig_publish(&rig);
	registry_give_back_backend(scene.registry, 1);
	rig_publish(&rig);
	struct explain_params params = {
		.registry = scene.registry,
		.snapshot = engine_snapshot(rig.engine),
		.client = {.addr = ip_addr_from_v4(htonl(CLIENT)),
			   .port_be = htons(1000),
			   .proto = IPPROTO_TCP},
		.vip = scene_endpoint("10.1.0.100:80", IPPROTO_TCP),
		.flow = &row,
	};
	json_t *said = explain(&params);
	cr_assert_not_null(said);
	cr_expect(json_is_null(json_object_get(said, "flow")));
	cr_expect_str_eq(text_of(said, "backend"), "web/a");
	json_decref(said);
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
	config_unref(next.config);
}

static bool has_step(const json_t *said, const char *part)
{
	size_t i;
	json_t *step;
	json_array_foreach(json_object_get(said, "steps"), i, step)
	{
		if (strstr(json_string_value(step), part))
			return true;
	}
	return false;
}

Test(explain, names_what_refuses_the_client)
{
	struct scene scene;
	struct rig rig;
	start(&rig, &scene, WORKERS_INLINE, HASH_5_TUPLE);
	json_t *said = explain_client(&rig, CLIENT, 1000, "10.1.0.100:80");
	cr_expect(has_step(said, ", slot "));
	json_decref(said);
	cr_assert(registry_set_gate(scene.registry, 0, GATE_SHUT));
	rig_publish(&rig);
	said = explain_client(&rig, CLIENT, 1000, "10.1.0.100:80");
	cr_expect(has_step(said, "The frontend takes no new connections:"));
	cr_expect_not(has_step(said, "No backend takes"));
	json_decref(said);
	registry_set_gate(scene.registry, 0, GATE_OPEN);
	for (uint32_t i = 0; i < N_BACKENDS; i++)
		registry_set_admin(scene.registry, i, ADMIN_DRAIN);
	rig_publish(&rig);
	said = explain_client(&rig, CLIENT, 1000, "10.1.0.100:80");
	cr_expect(has_step(said, "No backend takes new connections"));
	json_decref(said);
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
}

Test(explain, says_of_a_flow_that_the_kernel_forwards_it)
{
	struct scene scene;
	struct rig rig;
	start(&rig, &scene, WORKERS_INLINE, HASH_5_TUPLE);
	for (int is_fast = 0; is_fast < 2; is_fast++) {
		struct flow_row row = {.state = "established", .is_fast = is_fast};
		struct explain_params params = {
			.registry = scene.registry,
			.snapshot = engine_snapshot(rig.engine),
			.vip = scene_endpoint("10.1.0.100:80", IPPROTO_TCP),
			.flow = &row,
		};
		json_t *said = explain(&params);
		const json_t *flow = json_object_get(said, "flow");
		cr_expect_eq(has_step(said, "(fast path)"), is_fast);
		cr_expect_eq(json_is_true(json_object_get(flow, "fast_path")), is_fast);
		cr_expect(json_is_boolean(json_object_get(flow, "fast_path")));
		json_decref(said);
	}
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
}

static json_t *explain_removed(struct rig *rig, const struct flow_row *flow)
{
	struct explain_params params = {
		.registry = rig->scene->registry,
		.snapshot = engine_snapshot(rig->engine),
		.client = {.addr = ip_addr_from_v4(htonl(CLIENT)),
			   .port_be = htons(1000),
			   .proto = IPPROTO_TCP},
		.vip = scene_endpoint("10.1.0.101:80", IPPROTO_TCP),
		.flow = flow,
	};
	json_t *said = explain(&params);
	cr_assert_not_null(said);
	return said;
}

Test(explain, a_frontend_that_has_been_left_out_goes_on_and_begins_nothing)
{
	struct scene scene;
	struct scene next;
	struct rig rig;
	const struct flow_row live = {.state = "established", .prospect = FLOW_GOES_ON};
	const struct flow_row over = {.state = "time_wait", .prospect = FLOW_IS_REPLACED};
	scene_init(&scene, "10.2.0.1");
	scene_init(&next, "10.2.0.1");
	scene_add_words(&scene, "web=a:10.2.0.20 @10.1.0.100>web @10.1.0.101>web");
	scene_add_words(&next, "web=a:10.2.0.20 @10.1.0.100>web");
	scene_build(&scene);
	rig_start(&rig, &scene);
	cr_assert_eq(registry_apply(scene.registry, next.config, 1, NULL), 0);
	rig_publish(&rig);
	json_t *said = explain_removed(&rig, NULL);
	const json_t *step = json_array_get(json_object_get(said, "steps"), 0);
	cr_expect(strstr(json_string_value(step), "nothing new begins"));
	cr_expect(has_step(said, "The frontend is being removed"));
	cr_expect_not(has_step(said, "No backend takes"));
	cr_expect_str_eq(text_of(said, "verdict"), "no_backend");
	cr_expect(json_is_null(json_object_get(said, "backend")));
	json_decref(said);
	said = explain_removed(&rig, &live);
	cr_expect_str_eq(text_of(said, "verdict"), "forwarded");
	cr_expect_str_eq(text_of(said, "backend"), "web/a");
	json_decref(said);
	said = explain_removed(&rig, &over);
	cr_expect_str_eq(text_of(said, "verdict"), "no_backend");
	json_decref(said);
	// When its time is over the data path does not know it any more.
	cr_assert(registry_end_drains(scene.registry, UINT64_MAX));
	rig_publish(&rig);
	said = explain_removed(&rig, NULL);
	cr_expect_str_eq(text_of(said, "verdict"), "passed");
	json_decref(said);
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
	config_unref(next.config);
}

Test(explain, a_frontend_whose_gate_is_not_open_refuses_once_it_is_sure)
{
	static const struct {
		enum frontend_gate gate;
		const char *because;
		const char *end;
	} cases[] = {
		{GATE_AWAITED, "it is being checked", "yet: the packet is dropped"},
		{GATE_SHUT, "some backend of the pool", ": the client is refused"},
	};
	struct scene scene;
	struct rig rig;
	scene_init(&scene, "10.2.0.1");
	scene_add_words(&scene, "web=a:10.2.0.20 @10.1.0.100>web");
	scene.config->mode = MODE_DSR;
	scene_build(&scene);
	rig_start(&rig, &scene);
	for (size_t i = 0; i < COUNT(cases); i++) {
		registry_set_gate(scene.registry, 0, cases[i].gate);
		rig_publish(&rig);
		json_t *said = explain_client(&rig, CLIENT, 1000, "10.1.0.100:80");
		const json_t *steps = json_object_get(said, "steps");
		size_t n = json_array_size(steps);
		cr_assert_gt(n, 2);
		cr_expect(strstr(json_string_value(json_array_get(steps, 1)), cases[i].because));
		cr_expect(strstr(json_string_value(json_array_get(steps, n - 1)), cases[i].end));
		cr_expect_str_eq(text_of(said, "verdict"), "no_backend");
		json_decref(said);
	}
	cr_expect_null(rig_stop(&rig));
	scene_fini(&scene);
}
