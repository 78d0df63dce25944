// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/choice.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <xxhash.h>

static struct endpoint endpoint_at(const char *text, uint8_t proto)
{
	struct endpoint endpoint = {0};
	cr_assert(endpoint_parse(text, &endpoint));
	endpoint.proto = proto;
	return endpoint;
}

static struct endpoint random_endpoint(void)
{
	struct endpoint endpoint = {.port_be = (uint16_t)rand(), .proto = (uint8_t)rand()};
	for (size_t i = 0; i < sizeof(endpoint.addr.bytes); i++)
		endpoint.addr.bytes[i] = (uint8_t)rand();
	return endpoint;
}

// What no version may change: balancers beside each other, and after each other, choose alike.
Test(choice, numbers_are_those_of_the_bytes_as_they_lie_in_memory)
{
	srand(1);
	for (int i = 0; i < 1000; i++) {
		struct endpoint both[] = {random_endpoint(), random_endpoint()};
		cr_assert_eq(choice_hash(HASH_5_TUPLE, &both[0], &both[1]),
			     (uint32_t)XXH3_64bits(both, sizeof(both)));
		cr_assert_eq(choice_hash(HASH_SOURCE_IP, &both[0], &both[1]),
			     (uint32_t)XXH3_64bits(&both[0].addr, sizeof(both[0].addr)));
	}
}

Test(choice, a_known_number)
{
	struct endpoint client = endpoint_at("192.0.2.1:40000", IPPROTO_TCP);
	struct endpoint vip = endpoint_at("[2001:db8::10]:80", IPPROTO_TCP);
	cr_expect_eq(choice_hash(HASH_5_TUPLE, &client, &vip), 1754328263);
}
