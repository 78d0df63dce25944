// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/sockaddr.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

Test(sockaddr, an_ipv4_endpoint_is_an_ipv4_socket_address)
{
	struct endpoint endpoint;
	struct sockaddr_storage addr;
	cr_assert(endpoint_parse("192.0.2.10:8000", &endpoint));
	memset(&addr, 0xff, sizeof(addr));
	cr_assert_eq(sockaddr_from_endpoint(&endpoint, &addr), sizeof(struct sockaddr_in));
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr;
	cr_expect_eq(v4->sin_family, AF_INET);
	cr_expect_eq(v4->sin_port, htons(8000));
	cr_expect_eq(v4->sin_addr.s_addr, htonl(0xc000020a));
	static const char zero[sizeof(v4->sin_zero)];
	cr_expect_eq(memcmp(v4->sin_zero, zero, sizeof(zero)), 0);
}

Test(sockaddr, an_ipv6_endpoint_is_an_ipv6_socket_address)
{
	struct endpoint endpoint;
	struct sockaddr_storage addr;
	cr_assert(endpoint_parse("[2001:db8::7]:443", &endpoint));
	memset(&addr, 0xff, sizeof(addr));
	cr_assert_eq(sockaddr_from_endpoint(&endpoint, &addr), sizeof(struct sockaddr_in6));
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr;
	cr_expect_eq(v6->sin6_family, AF_INET6);
	cr_expect_eq(v6->sin6_port, htons(443));
	cr_expect_eq(v6->sin6_flowinfo, 0);
	cr_expect_eq(v6->sin6_scope_id, 0);
	cr_expect_eq(memcmp(&v6->sin6_addr, endpoint.addr.bytes, 16), 0);
}

Test(sockaddr, endpoints_come_back_as_they_went)
{
	static const char *const texts[] = {"0.0.0.0:1", "127.0.0.1:65535", "255.255.255.255:80",
					    "[::]:80",   "[::1]:1",         "[fe80::1:2:3]:8000"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct endpoint endpoint;
		struct endpoint back;
		struct sockaddr_storage addr;
		cr_assert(endpoint_parse(texts[i], &endpoint));
		sockaddr_from_endpoint(&endpoint, &addr);
		memset(&back, 0xff, sizeof(back));
		endpoint_from_sockaddr((const struct sockaddr *)&addr, &back);
		cr_expect(endpoint_equal(&endpoint, &back), "%s", texts[i]);
	}
}

// What a dual-stack socket says of an IPv4 client.
Test(sockaddr, a_mapped_address_is_an_ipv4_endpoint)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	struct endpoint expected;
	struct endpoint endpoint;
	cr_assert_eq(inet_pton(AF_INET6, "::ffff:192.0.2.10", &v6.sin6_addr), 1);
	cr_assert(endpoint_parse("192.0.2.10:80", &expected));
	endpoint_from_sockaddr((const struct sockaddr *)&v6, &endpoint);
	cr_expect(endpoint_equal(&endpoint, &expected));
	cr_expect(ip_addr_is_v4(&endpoint.addr));
}

Test(sockaddr, other_families_have_no_endpoint)
{
	static const struct endpoint none;
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/web.sock"};
	struct endpoint endpoint;
	memset(&endpoint, 0xff, sizeof(endpoint));
	endpoint_from_sockaddr((const struct sockaddr *)&un, &endpoint);
	cr_expect(endpoint_equal(&endpoint, &none));
}

Test(sockaddr, a_path_is_a_local_socket_address)
{
	struct sockaddr_storage addr;
	memset(&addr, 0xff, sizeof(addr));
	cr_expect_eq(sockaddr_from_path("/run/web.sock", &addr), sizeof(struct sockaddr_un));
	const struct sockaddr_un *un = (const struct sockaddr_un *)&addr;
	cr_expect_eq(un->sun_family, AF_UNIX);
	cr_expect_str_eq(un->sun_path, "/run/web.sock");
}

Test(sockaddr, an_abstract_name_has_exactly_its_own_bytes)
{
	struct sockaddr_storage addr;
	memset(&addr, 0xff, sizeof(addr));
	cr_expect_eq(sockaddr_from_path("@web", &addr),
		     offsetof(struct sockaddr_un, sun_path) + strlen("@web"));
	const struct sockaddr_un *un = (const struct sockaddr_un *)&addr;
	cr_expect_eq(un->sun_path[0], '\0');
	cr_expect_eq(memcmp(un->sun_path + 1, "web", 3), 0);
}

Test(sockaddr, the_longest_path_fits_and_ends)
{
	enum { LONGEST = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 };
	char path[LONGEST + 1];
	struct sockaddr_storage addr;
	memset(path, 'a', LONGEST);
	path[LONGEST] = '\0';
	path[0] = '/';
	sockaddr_from_path(path, &addr);
	const struct sockaddr_un *un = (const struct sockaddr_un *)&addr;
	cr_expect_str_eq(un->sun_path, path);
	path[0] = '@';
	cr_expect_eq(sockaddr_from_path(path, &addr),
		     offsetof(struct sockaddr_un, sun_path) + LONGEST);
	cr_expect_eq(un->sun_path[LONGEST - 1], 'a');
}
