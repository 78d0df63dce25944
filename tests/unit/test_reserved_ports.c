// SPDX-License-Identifier: Apache-2.0
#include "control/port_set.h"
#include "culvert/control/firewall.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/lib/netns.h"

#define SYSCTL "/proc/sys/net/ipv4/ip_local_reserved_ports"

static const struct {
	const char *text;
	bool is_valid;
	const char *canonical;
} lists[] = {
	{"", true, ""},
	{"\n", true, ""},
	{"22", true, "22"},
	{"0,65535\n", true, "0,65535"},
	{"0-65535", true, "0-65535"},
	{"5,4,3,9", true, "3-5,9"},
	{"10-20,15-30", true, "10-30"},
	{" 80 , 443 \n", true, "80,443"},
	{"63-64", true, "63-64"},
	{"65536", false, NULL},
	{"99999999999999999999", false, NULL},
	{"20-10", false, NULL},
	{"10-", false, NULL},
	{"-10", false, NULL},
	{"1,,2", false, NULL},
	{"1,", false, NULL},
	{",1", false, NULL},
	{"1 2", false, NULL},
	{"a", false, NULL},
	{"1-2-3", false, NULL},
};

Test(port_set, texts_parse_to_their_canonical_form)
{
	char *text = malloc(PORT_SET_TEXT_MAX);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct port_set set = {0};
		port_set_add(&set, 7);
		bool is_valid = port_set_parse(lists[i].text, &set);
		cr_expect_eq(is_valid, lists[i].is_valid, "'%s'", lists[i].text);
		size_t length = port_set_format(&set, text);
		cr_expect_str_eq(text, is_valid ? lists[i].canonical : "7", "'%s'", lists[i].text);
		cr_expect_eq(length, strlen(text));
	}
	free(text);
}

Test(port_set, the_longest_text_fits_and_comes_back)
{
	char *text = malloc(PORT_SET_TEXT_MAX);
	struct port_set set = {0};
	struct port_set back = {0};
	for (unsigned port = 1; port < PORT_SET_BITS; port += 2)
		port_set_add(&set, port);
	cr_assert_lt(port_set_format(&set, text), (size_t)PORT_SET_TEXT_MAX);
	cr_assert(port_set_parse(text, &back));
	cr_assert_eq(memcmp(&set, &back, sizeof(set)), 0);
	port_set_subtract(&back, &set);
	cr_assert(port_set_is_empty(&back));
	cr_assert_not(port_set_is_empty(&set));
	free(text);
}

static void expect_list(const char *expected)
{
	char *text = netns_output("cat " SYSCTL);
	text[strcspn(text, "\n")] = '\0';
	cr_expect_str_eq(text, expected);
	free(text);
}

static void skip_unless_private(void)
{
	if (!netns_enter())
		cr_skip("needs root, for a private network namespace");
}

Test(reserved_ports, an_empty_list_gets_the_range_and_is_empty_again_after_close)
{
	skip_unless_private();
	struct reserved_ports *ports = NULL;
	struct err err = {0};
	cr_assert_eq(reserved_ports_open(&ports, 33768, 61000, &err), 0, "%s", err.message);
	expect_list("33768-61000");
	reserved_ports_close(ports);
	expect_list("");
	reserved_ports_close(NULL);
}

Test(reserved_ports, close_takes_only_what_open_added)
{
	skip_unless_private();
	struct reserved_ports *ports = NULL;
	struct err err = {0};
	cr_assert(netns_run("echo 80,40000-40010 > " SYSCTL));
	cr_assert_eq(reserved_ports_open(&ports, 40005, 40020, &err), 0, "%s", err.message);
	expect_list("80,40000-40020");
	// Somebody else adds one meanwhile.
	cr_assert(netns_run("echo 80,443,40000-40020 > " SYSCTL));
	reserved_ports_close(ports);
	expect_list("80,443,40000-40010");
}

Test(reserved_ports, a_range_that_is_there_already_stays)
{
	skip_unless_private();
	struct reserved_ports *ports = NULL;
	struct err err = {0};
	cr_assert(netns_run("echo 40000-40010 > " SYSCTL));
	cr_assert_eq(reserved_ports_open(&ports, 40000, 40010, &err), 0, "%s", err.message);
	reserved_ports_close(ports);
	expect_list("40000-40010");
}

// Each write after the first adds to the list.
static void fill_list_with_odd_ports(unsigned end)
{
	FILE *sysctl = fopen(SYSCTL, "w");
	cr_assert_not_null(sysctl);
	setbuf(sysctl, NULL);
	for (unsigned port = 1; port < end; port += 2)
		cr_assert_gt(fprintf(sysctl, "%u", port), 0);
	fclose(sysctl);
}

Test(reserved_ports, a_list_longer_than_a_page_survives)
{
	skip_unless_private();
	enum { END = 12000 };
	struct reserved_ports *ports = NULL;
	struct err err = {0};
	struct port_set set = {0};
	char *before = malloc(PORT_SET_TEXT_MAX);
	char *during = malloc(PORT_SET_TEXT_MAX);
	fill_list_with_odd_ports(END);
	for (unsigned port = 1; port < END; port += 2)
		port_set_add(&set, port);
	port_set_format(&set, before);
	port_set_add(&set, 2);
	port_set_add(&set, 65535);
	port_set_format(&set, during);
	expect_list(before);

	struct reserved_ports *last = NULL;
	cr_assert_eq(reserved_ports_open(&ports, 2, 3, &err), 0, "%s", err.message);
	cr_assert_eq(reserved_ports_open(&last, 65535, 65535, &err), 0, "%s", err.message);
	expect_list(during);
	reserved_ports_close(ports);
	reserved_ports_close(last);
	expect_list(before);
	free(before);
	free(during);
}

Test(reserved_ports, refusals_say_what_to_do)
{
	skip_unless_private();
	struct reserved_ports *ports = NULL;
	struct err err = {0};
	cr_assert_eq(reserved_ports_open(&ports, 2, 1, &err), -EINVAL);
	// Without root the file of a namespace cannot be written.
	cr_assert_eq(seteuid(65534), 0);
	cr_assert_eq(reserved_ports_open(&ports, 40000, 40010, &err), -EACCES);
	cr_assert_eq(seteuid(0), 0);
	cr_assert_null(ports);
	cr_assert_not_null(strstr(err.message, "cannot write " SYSCTL), "%s", err.message);
	cr_assert_not_null(strstr(err.message, "manage = false"));
	cr_assert_not_null(
		strstr(err.message, "sysctl -w net.ipv4.ip_local_reserved_ports=40000-40010"));
}
