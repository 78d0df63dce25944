// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "../support/lib/scene.h"

static void two_pools(struct scene *scene)
{
	scene_init(scene, "10.2.0.1");
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "10.2.0.21:8080", 1);
	scene_add_backend(scene, web, "two", "10.2.0.22:8080", 3);
	size_t api = scene_add_pool(scene, "api", IPPROTO_TCP);
	scene_add_backend(scene, api, "shared", "10.2.0.21:8080", 1);
	scene_add_backend(scene, api, "off", "10.2.0.23:8080", 0);
	scene_add_frontend(scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene_add_frontend(scene, "10.1.0.100:81", api, HASH_SOURCE_IP);
}

static unsigned count_slots(const struct maglev *table, uint16_t id)
{
	unsigned n = 0;
	for (uint32_t i = 0; i < table->size; i++)
		n += table->slots[i] == id;
	return n;
}

Test(registry, a_snapshot_says_what_the_configuration_says)
{
	struct scene scene;
	two_pools(&scene);
	scene_build(&scene);
	struct snapshot *snapshot = scene_snapshot(&scene);
	cr_expect_eq(snapshot->version, 1);
	cr_expect_eq(snapshot->n_frontends, 2);
	cr_expect_eq(snapshot->n_backends, 4);
	cr_expect_eq(snapshot->n_pools, 2);
	cr_expect_eq(snapshot->n_links, 2);
	cr_expect_eq(snapshot->n_snats, 1);
	cr_expect_eq(snapshot->snats_per_endpoint, 1);
	cr_expect_eq(snapshot->nat_port_min, 40000);
	cr_expect_eq(snapshot->nat_port_max, 40999);
	for (uint32_t i = 0; i < snapshot->n_frontends; i++) {
		cr_expect_eq(endpoint_map_find(snapshot->vips, &snapshot->frontends[i].endpoint),
			     (int32_t)i);
		cr_expect_eq(snapshot->frontends[i].pool, i);
	}
	cr_expect_eq(snapshot->frontends[1].hash, HASH_SOURCE_IP);
	cr_expect(snapshot->backends[0].resets_on_down && snapshot->backends[0].is_up);
	cr_expect_eq(snapshot->backends[1].weight, 3);
	cr_expect_eq(snapshot->backends[3].weight, 0);
	cr_expect_eq(snapshot->pools[1].n_members, 2);
	cr_expect_eq(snapshot->pools[1].members[0], 2);
	cr_expect_eq(snapshot->pools[1].members[1], 3);
	snapshot_destroy(snapshot);
	scene_fini(&scene);
}

Test(registry, defect_08_pools_that_list_one_endpoint_share_its_ports)
{
	struct scene scene;
	two_pools(&scene);
	scene_build(&scene);
	struct snapshot *snapshot = scene_snapshot(&scene);
	cr_expect_eq(registry_n_backends(scene.registry), 4);
	cr_expect_eq(snapshot->backend_ids->n, 3);
	cr_expect_eq(snapshot->backends[0].endpoint_id, snapshot->backends[2].endpoint_id);
	cr_expect_neq(snapshot->backends[0].endpoint_id, snapshot->backends[1].endpoint_id);
	cr_expect_neq(snapshot->backends[0].pool, snapshot->backends[2].pool);
	snapshot_destroy(snapshot);
	scene_fini(&scene);
}

Test(registry, tables_hold_the_backends_that_are_up_and_have_a_weight)
{
	struct scene scene;
	two_pools(&scene);
	scene_build(&scene);
	struct snapshot *before = scene_snapshot(&scene);
	registry_set_up(scene.registry, 1, false);
	struct snapshot *after = scene_snapshot(&scene);
	cr_expect_gt(count_slots(before->pools[0].table, 1), 0);
	cr_expect_eq(count_slots(after->pools[0].table, 1), 0);
	cr_expect_eq(count_slots(after->pools[0].table, 0), 251);
	cr_expect_eq(count_slots(before->pools[1].table, 2), 251);
	cr_expect_eq(count_slots(before->pools[1].table, 3), 0, "weight 0");

	registry_set_up(scene.registry, 0, false);
	struct snapshot *empty = scene_snapshot(&scene);
	cr_expect_eq(empty->pools[0].table->size, 0);
	cr_expect_eq(empty->pools[1].table->size, 251, "the endpoint's other backend is up");
	snapshot_destroy(empty);
	snapshot_destroy(before);
	snapshot_destroy(after);
	scene_fini(&scene);
}

Test(registry, tables_are_shared_until_their_pool_changes)
{
	struct scene scene;
	two_pools(&scene);
	scene_build(&scene);
	struct snapshot *first = scene_snapshot(&scene);
	registry_set_up(scene.registry, 0, true);
	struct snapshot *same = scene_snapshot(&scene);
	registry_set_up(scene.registry, 0, false);
	struct snapshot *other = scene_snapshot(&scene);
	cr_expect_eq(first->pools[0].table, same->pools[0].table);
	cr_expect_neq(first->pools[0].table, other->pools[0].table);
	cr_expect_eq(first->pools[1].table, other->pools[1].table);
	cr_expect_lt(first->version, same->version);
	cr_expect_lt(same->version, other->version);
	// A table outlives the snapshot that it was built for, and the other way round.
	snapshot_destroy(first);
	cr_expect_eq(same->pools[0].table->size, 251);
	snapshot_destroy(same);
	snapshot_destroy(other);
	snapshot_destroy(NULL);
	scene_fini(&scene);
}

Test(registry, a_snapshot_keeps_what_it_was_made_from)
{
	struct scene scene;
	two_pools(&scene);
	scene_build(&scene);
	struct snapshot *old = scene_snapshot(&scene);
	struct snapshot_hop none = {.state = HOP_NO_ROUTE};
	registry_set_hop(scene.registry, 0, &none, 0);
	registry_set_up(scene.registry, 0, false);
	struct snapshot_link link = {.ifindex = 1, .mac = {{2, 2, 2, 2, 2, 2}}, .mtu = 9000};
	cr_expect(registry_update_link(scene.registry, 0, &link));
	cr_expect_not(registry_update_link(scene.registry, 0, &link), "no news");
	cr_expect_eq(old->backends[0].hop.state, HOP_READY);
	cr_expect(old->backends[0].is_up);
	cr_expect_eq(old->links[0].mtu, 1500);
	struct snapshot *now = scene_snapshot(&scene);
	cr_expect_eq(now->backends[0].hop.state, HOP_NO_ROUTE);
	cr_expect_eq(now->links[0].mtu, 9000);
	snapshot_destroy(old);
	snapshot_destroy(now);
	scene_fini(&scene);
}

Test(registry, links_and_source_addresses_are_known_by_what_they_are)
{
	struct scene scene;
	struct ip_addr addr;
	struct err err = {0};
	two_pools(&scene);
	scene_build(&scene);
	struct snapshot_link link = {.ifindex = scene.ifindexes[1]};
	cr_expect_eq(registry_add_link(scene.registry, &link, &err), 1);
	cr_assert(ip_addr_parse("10.2.0.1", &addr));
	cr_expect_eq(registry_add_snat(scene.registry, &addr, &err), 0);
	for (unsigned i = 2; i < CONFIG_MAX_INTERFACES; i++) {
		link.ifindex = 100 + i;
		cr_expect_eq(registry_add_link(scene.registry, &link, &err), (int)i);
	}
	link.ifindex = 999;
	cr_expect_eq(registry_add_link(scene.registry, &link, &err), -E2BIG);
	cr_expect_neq(err.message[0], '\0');
	scene_fini(&scene);
}

Test(registry, more_source_addresses_than_the_configuration_names_are_refused)
{
	struct scene scene;
	struct ip_addr addr;
	struct err err = {0};
	two_pools(&scene);
	scene_build(&scene);
	cr_assert(ip_addr_parse("10.2.0.2", &addr));
	cr_expect_eq(registry_add_snat(scene.registry, &addr, &err), -E2BIG);
	cr_expect_neq(err.message[0], '\0');
	struct snapshot *snapshot = scene_snapshot(&scene);
	cr_expect_eq(snapshot_find_snat(snapshot, &addr), -1);
	cr_expect_eq(snapshot_find_snat(snapshot, &snapshot->snats[0]), 0);
	snapshot_destroy(snapshot);
	scene_fini(&scene);
}

Test(registry, an_empty_configuration_makes_an_empty_snapshot)
{
	struct scene scene;
	scene_init(&scene, "10.2.0.1");
	scene_build(&scene);
	struct snapshot *snapshot = scene_snapshot(&scene);
	cr_expect_eq(snapshot->n_backends + snapshot->n_frontends + snapshot->n_pools, 0);
	snapshot_destroy(snapshot);
	scene_fini(&scene);
}

// They have no endpoints to tell them apart.
Test(registry, sockets_with_a_path_have_places_of_their_own)
{
	enum { N = 10 };
	struct scene scene;
	char paths[N][16];
	scene_init(&scene, "10.2.0.1");
	size_t pool = scene_add_pool(&scene, "local", IPPROTO_TCP);
	for (int i = 0; i < N; i++) {
		scene_add_backend(&scene, pool, "one", "10.2.0.21:8080", 1);
		struct config_backend *backend = &scene.config->pools[pool].backends[i];
		backend->endpoint = (struct endpoint){0};
		snprintf(paths[i], sizeof(paths[i]), "/run/%d", i);
		backend->unix_path = paths[i];
	}
	scene_build(&scene);
	struct snapshot *all = scene_snapshot(&scene);
	registry_set_up(scene.registry, 0, false);
	struct snapshot *fewer = scene_snapshot(&scene);
	const struct maglev *before = all->pools[0].table;
	const struct maglev *after = fewer->pools[0].table;
	unsigned n_moved = 0;
	for (uint32_t i = 0; i < before->size; i++)
		n_moved += before->slots[i] != 0 && before->slots[i] != after->slots[i];
	cr_expect_lt(n_moved, before->size / 5, "%u slots moved", n_moved);
	snapshot_destroy(all);
	snapshot_destroy(fewer);
	for (int i = 0; i < N; i++)
		scene.config->pools[pool].backends[i].unix_path = NULL; // the test's own
	scene_fini(&scene);
}

static uint32_t n_unknown(struct scene *scene, uint32_t pool)
{
	struct snapshot *snapshot = scene_snapshot(scene);
	uint32_t n = snapshot->pools[pool].n_unknown;
	snapshot_destroy(snapshot);
	return n;
}

Test(registry, a_pool_says_how_many_of_its_backends_are_not_known_yet)
{
	struct scene scene;
	two_pools(&scene);
	scene.is_unchecked = true;
	scene_build(&scene);
	cr_expect_eq(n_unknown(&scene, 0), 2);
	registry_set_up(scene.registry, 0, true);
	registry_set_up(scene.registry, 0, false);
	cr_expect_eq(n_unknown(&scene, 0), 1);
	cr_expect(registry_set_known(scene.registry, 1));
	cr_expect_not(registry_set_known(scene.registry, 1));
	cr_expect_eq(n_unknown(&scene, 0), 0);
	registry_set_up(scene.registry, 2, false);
	cr_expect_eq(n_unknown(&scene, 1), 1);
	scene_fini(&scene);
}

Test(registry, in_DSR_mode_packets_keep_the_clients_address)
{
	struct scene scene;
	two_pools(&scene);
	scene.config->mode = MODE_DSR;
	scene_build(&scene);
	struct snapshot *snapshot = scene_snapshot(&scene);
	cr_expect_eq(snapshot->n_snats, 0);
	cr_expect_eq(snapshot->snats_per_endpoint, 1, "one list of flows per endpoint");
	cr_expect_eq(snapshot->backends[0].snat_mask, 1);
	snapshot_destroy(snapshot);
	scene_fini(&scene);
}
