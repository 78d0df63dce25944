// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/addr.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(addr, text_to_address_and_back)
{
	static const struct {
		const char *text;
		const char *canonical; // NULL: refused
	} cases[] = {
		{"10.0.0.1", "10.0.0.1"},
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"fd00::1", "fd00::1"},
		{"FD00:0:0::1", "fd00::1"},
		{"::", "::"},
		{"::ffff:10.0.0.1", "10.0.0.1"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"", NULL},
		{"10.0.0", NULL},
		{"10.0.0.256", NULL},
		{"10.0.0.1 ", NULL},
		{" 10.0.0.1", NULL},
		{"010.0.0.1x", NULL},
		{"fd00::1::2", NULL},
		{"fe80::1%eth0", NULL},
		{"localhost", NULL},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ip_addr addr = {{1, 2, 3}};
		const struct ip_addr before = addr;
		char text[IP_ADDR_TEXT_MAX];
		bool is_right = ip_addr_parse(cases[i].text, &addr);
		cr_expect_eq(is_right, cases[i].canonical != NULL, "%s", cases[i].text);
		if (is_right)
			cr_expect_str_eq(ip_addr_format(&addr, text), cases[i].canonical);
		else
			cr_expect(ip_addr_equal(&addr, &before), "%s touched", cases[i].text);
	}
}

Test(addr, text_to_endpoint_and_back)
{
	static const struct {
		const char *text;
		const char *canonical;
	} cases[] = {
		{"10.0.0.1:80", "10.0.0.1:80"},
		{"10.0.0.1:65535", "10.0.0.1:65535"},
		{"10.0.0.1:00080", "10.0.0.1:80"},
		{"[fd00::1]:80", "[fd00::1]:80"},
		{"10.0.0.1", NULL},
		{"10.0.0.1:", NULL},
		{"10.0.0.1:0", NULL},
		{"10.0.0.1:65536", NULL},
		{"10.0.0.1:4294967376", NULL},
		{"10.0.0.1:+80", NULL},
		{"10.0.0.1: 80", NULL},
		{"10.0.0.1:80 ", NULL},
		{"10.0.0.1:80x", NULL},
		{"10.0.0.1:80:80", NULL},
		{"[10.0.0.1]:80", NULL},
		{"fd00::1:80", NULL},
		{"[fd00::1]", NULL},
		{"[fd00::1]80", NULL},
		{"[fd00::1", NULL},
		{"[]:80", NULL},
		{":80", NULL},
		{"", NULL},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80", NULL},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct endpoint endpoint = {.port_be = 7, .proto = 9};
		char text[ENDPOINT_TEXT_MAX];
		bool is_right = endpoint_parse(cases[i].text, &endpoint);
		cr_expect_eq(is_right, cases[i].canonical != NULL, "%s", cases[i].text);
		if (is_right)
			cr_expect_str_eq(endpoint_format(&endpoint, text), cases[i].canonical);
		else
			cr_expect(endpoint.port_be == 7 && endpoint.proto == 9, "%s touched",
				  cases[i].text);
	}
}

Test(addr, the_longest_texts_fit)
{
	struct endpoint endpoint = {.port_be = htons(65535)};
	char text[ENDPOINT_TEXT_MAX];
	memset(endpoint.addr.bytes, 0xff, sizeof(endpoint.addr.bytes));
	cr_expect_str_eq(endpoint_format(&endpoint, text),
			 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	struct mac_addr mac = {{0x02, 0xff, 0, 1, 0x0a, 0xa0}};
	char mac_text[MAC_ADDR_TEXT_MAX];
	cr_expect_str_eq(mac_addr_format(&mac, mac_text), "02:ff:00:01:0a:a0");
}

Test(addr, IPv4_is_mapped_and_recognised)
{
	struct ip_addr v4 = ip_addr_from_v4(htonl(0x0a000001));
	struct ip_addr v6;
	struct ip_addr parsed;
	cr_assert(ip_addr_parse("10.0.0.1", &parsed));
	cr_expect(ip_addr_equal(&v4, &parsed));
	cr_expect(ip_addr_is_v4(&v4));
	cr_expect_eq(ip_addr_v4_be(&v4), htonl(0x0a000001));
	cr_assert(ip_addr_parse("::a00:1", &v6));
	cr_expect_not(ip_addr_is_v4(&v6));
	cr_expect_not(ip_addr_equal(&v4, &v6));
}

Test(addr, both_families_have_an_unspecified_address)
{
	static const struct {
		const char *text;
		bool is_unspecified;
	} cases[] = {
		{"0.0.0.0", true}, {"::", true},       {"0.0.0.1", false},
		{"::1", false},    {"1.0.0.0", false},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ip_addr addr;
		cr_assert(ip_addr_parse(cases[i].text, &addr));
		cr_expect_eq(ip_addr_is_unspecified(&addr), cases[i].is_unspecified, "%s",
			     cases[i].text);
	}
}
