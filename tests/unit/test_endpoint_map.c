// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/endpoint_map.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "../support/lib/scene.h"

enum { N_ENDPOINTS = 5000 };

static struct endpoint numbered(uint32_t i)
{
	return (struct endpoint){
		.addr = ip_addr_from_v4(htonl(0x0a000000 | i / 7)),
		.port_be = htons((uint16_t)(1000 + i % 7)),
		.proto = i % 2 ? IPPROTO_TCP : IPPROTO_UDP,
	};
}

Test(endpoint_map, gives_endpoints_the_numbers_that_they_came_with)
{
	struct endpoint_map map;
	cr_assert_eq(endpoint_map_init(&map, N_ENDPOINTS, 1, NULL), 0);
	for (uint32_t i = 0; i < N_ENDPOINTS; i++) {
		struct endpoint endpoint = numbered(i);
		cr_assert_eq(endpoint_map_find(&map, &endpoint), ENDPOINT_UNKNOWN);
		cr_assert_eq(endpoint_map_add(&map, &endpoint, 3 * i), 3 * i);
		cr_assert_eq(endpoint_map_add(&map, &endpoint, 7), 3 * i, "known already");
	}
	cr_expect_eq(map.n, N_ENDPOINTS);
	for (uint32_t i = 0; i < N_ENDPOINTS; i++) {
		struct endpoint endpoint = numbered(i);
		cr_assert_eq(endpoint_map_find(&map, &endpoint), (int32_t)(3 * i));
	}
	endpoint_map_fini(&map);
	endpoint_map_fini(&map);
}

// Alone, and among so many that they are hashed.
static void tells_apart_among(uint32_t n_others)
{
	struct endpoint_map map;
	struct endpoint known = scene_endpoint("10.0.0.1:80", IPPROTO_TCP);
	struct endpoint other_addr = scene_endpoint("10.0.0.2:80", IPPROTO_TCP);
	struct endpoint other_port = scene_endpoint("10.0.0.1:81", IPPROTO_TCP);
	struct endpoint other_proto = scene_endpoint("10.0.0.1:80", IPPROTO_UDP);
	cr_assert_eq(endpoint_map_init(&map, 1 + n_others, 1, NULL), 0);
	endpoint_map_add(&map, &known, 0);
	for (uint32_t i = 1; i <= n_others; i++) {
		struct endpoint other = numbered(100 * i);
		endpoint_map_add(&map, &other, i);
	}
	cr_expect_eq(endpoint_map_find(&map, &known), 0);
	cr_expect_eq(endpoint_map_find(&map, &other_addr), ENDPOINT_UNKNOWN);
	cr_expect_eq(endpoint_map_find(&map, &other_port), ENDPOINT_UNKNOWN);
	cr_expect_eq(endpoint_map_find(&map, &other_proto), ENDPOINT_UNKNOWN);
	endpoint_map_fini(&map);
}

Test(endpoint_map, tells_address_port_and_protocol_apart)
{
	tells_apart_among(0);
	tells_apart_among(20);
}

Test(endpoint_map, an_empty_one_finds_nothing)
{
	struct endpoint_map map;
	struct endpoint any = scene_endpoint("10.0.0.1:80", IPPROTO_TCP);
	cr_assert_eq(endpoint_map_init(&map, 0, 1, NULL), 0);
	cr_expect_eq(endpoint_map_find(&map, &any), ENDPOINT_UNKNOWN);
	endpoint_map_fini(&map);
}
