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

static struct ip_network network_of(const char *text)
{
	struct ip_network network;
	cr_assert(ip_network_parse(text, &network), "%s", text);
	return network;
}

static struct ip_addr addr_of(const char *text)
{
	struct ip_addr addr;
	cr_assert(ip_addr_parse(text, &addr), "%s", text);
	return addr;
}

Test(network, text_to_prefix_of_the_128_bit_form)
{
	static const struct {
		const char *text;
		const char *addr;
		unsigned prefix_len;
	} cases[] = {
		{"10.0.0.0/8", "10.0.0.0", 104},
		{"0.0.0.0/0", "0.0.0.0", 96},
		{"10.0.0.1", "10.0.0.1", 128},
		{"10.0.0.1/32", "10.0.0.1", 128},
		{"10.0.0.128/25", "10.0.0.128", 121},
		{"10.0.0.254/31", "10.0.0.254", 127},
		{"10.0.0.0/08", "10.0.0.0", 104},
		{"::/0", "::", 0},
		{"fd00::/16", "fd00::", 16},
		{"8000::/1", "8000::", 1},
		{"fd00::1", "fd00::1", 128},
		{"fd00::1/128", "fd00::1", 128},
		{"::ffff:10.0.0.0/104", "10.0.0.0", 104},
		{"::ffff:0:0/96", "0.0.0.0", 96},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ip_network network = network_of(cases[i].text);
		char text[IP_ADDR_TEXT_MAX];
		cr_expect_str_eq(ip_addr_format(&network.addr, text), cases[i].addr, "%s",
				 cases[i].text);
		cr_expect_eq(network.prefix_len, cases[i].prefix_len, "%s: %u", cases[i].text,
			     network.prefix_len);
	}
}

Test(network, refuses_host_bits_and_what_is_no_prefix)
{
	static const char *const texts[] = {
		"",
		"/",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/+8",
		"10.0.0.0/ 8",
		"10.0.0.0/8 ",
		"10.0.0.0/8/8",
		"10.0.0.0/4294967304",
		"10.0.0.0/255.0.0.0",
		"10.0.0/8",
		"10.0.0.1/31",
		"10.0.0.1/0",
		"128.0.0.0/0",
		"fd00::/129",
		"fd00::/16x",
		"fd00::1/127",
		"fd00::/7",
		"[fd00::]/16",
		"::ffff:0:0/95",
		"::ffff:10.0.0.0/102",
		"localhost/8",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
	};
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct ip_network network = {.addr = {{7}}, .prefix_len = 9};
		cr_expect_not(ip_network_parse(texts[i], &network), "%s", texts[i]);
		cr_expect(network.addr.bytes[0] == 7 && network.prefix_len == 9, "%s touched",
			  texts[i]);
	}
}

Test(network, contains_its_own_addresses_and_no_other_family)
{
	static const struct {
		const char *network;
		const char *addr;
		bool is_in;
	} cases[] = {
		{"10.0.0.0/8", "10.0.0.0", true},
		{"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/8", "9.255.255.255", false},
		{"192.0.2.64/26", "192.0.2.127", true},
		{"192.0.2.64/26", "192.0.2.128", false},
		{"192.0.2.64/26", "192.0.2.63", false},
		{"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.7", "192.0.2.6", false},
		{"0.0.0.0/0", "255.255.255.255", true},
		{"0.0.0.0/0", "0.0.0.0", true},
		{"0.0.0.0/0", "::", false},
		{"0.0.0.0/0", "fd00::1", false},
		{"::/0", "fd00::1", true},
		{"::/0", "::", true},
		{"::/0", "10.0.0.1", false},
		{"::/80", "10.0.0.1", false},
		{"::/80", "::ffff:10.0.0.1", false},
		{"::/80", "::1:10.0.0.1", true},
		{"fd00::/9", "fd7f::1", true},
		{"fd00::/9", "fd80::1", false},
		{"2001:db8::1", "2001:db8::1", true},
		{"2001:db8::1", "2001:db8::", false},
		{"8000::/1", "ffff::", true},
		{"8000::/1", "7fff::", false},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ip_network network = network_of(cases[i].network);
		struct ip_addr addr = addr_of(cases[i].addr);
		cr_expect_eq(ip_network_contains(&network, &addr), cases[i].is_in, "%s in %s",
			     cases[i].addr, cases[i].network);
	}
}
