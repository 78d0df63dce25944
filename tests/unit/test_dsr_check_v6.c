// SPDX-License-Identifier: Apache-2.0
// The readiness check over IPv6, and of both families at once.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/netns.h"
#include "lib/dsr_lab.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct dsr_lab *begin(void)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_bench_switch_to_v6(&lab->bench);
	return lab;
}

Test(dsr_check_v6, passes_a_backend_and_leaves_nothing_half_open)
{
	struct dsr_lab *lab = begin();
	dsr_bench_set_nat(&lab->bench, "fd09::1", 80);
	dsr_lab_must_open(lab);
	const char *text = dsr_lab_check(lab);
	cr_expect_eq(lab->last.verdict, DSR_READY, "%s", text);
	cr_expect(strncmp(text, "SYN-ACK from [fd09::1]:80 in ", 29) == 0, "%s", text);
	char *half_open = dsr_lab_on_backend(lab, "ss -Hatn state syn-recv");
	cr_expect_str_empty(half_open, "%s", half_open);
	free(half_open);
	dsr_lab_end(lab);
}

Test(dsr_check_v6, names_each_fault)
{
	struct dsr_lab *lab = begin();
	dsr_lab_must_open(lab);
	dsr_lab_expect(lab, DSR_NO_NAT);
	dsr_bench_set_nat(&lab->bench, "fd09::1", 8080);
	dsr_lab_expect(lab, DSR_WRONG_PORT);
	dsr_bench_set_nat(&lab->bench, "fd09::9", 80);
	dsr_lab_expect(lab, DSR_WRONG_ADDR);
	dsr_bench_on_backend(&lab->bench, "nft 'table inet block { chain input { "
					  "type filter hook input priority 0; "
					  "ip6 saddr fd09::200 reject with icmpv6 type "
					  "admin-prohibited; }; }'");
	const char *text = dsr_lab_check(lab);
	cr_expect_eq(lab->last.verdict, DSR_UNREACHABLE);
	cr_expect_str_eq(text, "ICMP communication prohibited from fd09::101");
	dsr_bench_on_backend(&lab->bench, "nft delete table inet block");
	lab->bench.backends[0].endpoint.port_be = htons(81);
	dsr_lab_expect(lab, DSR_REFUSED);
	dsr_bench_on_backend(&lab->bench, "ip link set vb down");
	dsr_bench_run_ms(&lab->bench, 100);
	dsr_lab_expect(lab, DSR_LINK_DOWN);
	dsr_lab_end(lab);
}

Test(dsr_check_v6, answers_for_the_source_while_it_checks_and_no_longer)
{
	struct dsr_lab *lab = begin();
	dsr_bench_set_nat(&lab->bench, "fd09::1", 80);
	dsr_lab_must_open(lab);
	dsr_lab_expect_answers_for(lab, "fd09::200");
	dsr_lab_end(lab);
}

Test(dsr_check_v6, leaves_the_source_to_a_host_that_has_it)
{
	struct dsr_lab *lab = begin();
	dsr_bench_set_nat(&lab->bench, "fd09::1", 80);
	dsr_bench_on_backend(&lab->bench, "ip addr add fd09::200/128 dev vb nodad");
	dsr_lab_must_open(lab);
	dsr_lab_expect(lab, DSR_UNKNOWN);
	cr_expect(strstr(lab->last.reason, "has the check source fd09::200"), "%s",
		  lab->last.reason);
	dsr_bench_on_backend(&lab->bench, "ip addr del fd09::200/128 dev vb");
	dsr_lab_expect(lab, DSR_READY);
	dsr_lab_end(lab);
}

// While the source is held, somebody else's duplicate address detection finds it taken.
Test(dsr_check_v6, tells_one_who_asks_before_taking_the_source)
{
	struct dsr_lab *lab = begin();
	dsr_bench_set_nat(&lab->bench, "fd09::1", 80);
	dsr_lab_must_open(lab);
	dsr_bench_on_backend(&lab->bench, "ip route add blackhole fd09::200"); // so that it lasts
	cr_assert_eq(dsr_check_start(lab->check, 0, 0), 0);
	dsr_bench_run_ms(&lab->bench, 1000);
	dsr_bench_on_backend(&lab->bench, "ip addr add fd09::200/128 dev vb");
	dsr_bench_run_ms(&lab->bench, 1500);
	char *addr = dsr_lab_on_backend(lab, "ip addr show dev vb to fd09::200");
	cr_expect(strstr(addr, "dadfailed"), "%s", addr);
	free(addr);
	dsr_lab_await(lab, 1);
	cr_expect_eq(lab->last.verdict, DSR_NO_REPLY);
	dsr_lab_end(lab);
}

Test(dsr_check_v6, takes_a_further_address_of_this_host_as_the_source)
{
	struct dsr_lab *lab = begin();
	dsr_bench_set_nat(&lab->bench, "fd09::1", 80);
	cr_assert(netns_run("ip addr add fd09::200/128 dev va nodad preferred_lft 0"));
	dsr_bench_run_ms(&lab->bench, 100);
	dsr_lab_must_open(lab);
	dsr_lab_expect(lab, DSR_READY);
	dsr_lab_end(lab);
}

Test(dsr_check_v6, says_why_an_address_cannot_be_the_source)
{
	static const struct {
		const char *source;
		const char *expected;
	} cases[] = {
		{"10.9.0.200",
		 "needs an IPv6 address to test frontend \"web\" from: give an address "
		 "that no host has, of the network on va, as --check-source"},
		{"::", "is no address that a client can have"},
		{"::1", "is no address that a client can have"},
		{"fe80::1", "is no address that a client can have"},
		{"ff02::1", "is no address that a client can have"},
		{"fd09::1", "is the address of frontend \"web\""},
		{"fd09::101", "is the address of backend \"web\""},
		{"fd09::2", "is where health checks of backend \"web\" come from"},
		{"fd08::1", "no interface of this host is in a network with such an address"},
		{"fd07::1", "is behind the router fd09::101"},
	};
	struct dsr_lab *lab = begin();
	cr_assert(netns_run("ip route add fd07::/64 via fd09::101"));
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err err = {0};
		cr_assert(ip_addr_parse(cases[i].source, lab->bench.check_sources));
		cr_expect_lt(dsr_lab_open(lab, &err), 0, "%s", cases[i].source);
		cr_expect(strstr(err.message, cases[i].expected), "%s: %s", cases[i].source,
			  err.message);
	}
	dsr_lab_end(lab);
}

// A frontend of each, each with a backend and a source of its family.
static void add_v4(struct dsr_lab *lab)
{
	struct dsr_bench *bench = &lab->bench;
	bench->pools[1] = bench->pools[0];
	bench->pools[1].backends = &bench->backends[1];
	bench->backends[1] = bench->backends[0];
	cr_assert(endpoint_parse("10.9.0.101:80", &bench->backends[1].endpoint));
	bench->backends[1].endpoint.proto = IPPROTO_TCP;
	bench->frontends[1] = bench->frontends[0];
	bench->frontends[1].pool = 1;
	cr_assert(endpoint_parse("10.9.0.1:80", &bench->frontends[1].endpoint));
	bench->frontends[1].endpoint.proto = IPPROTO_TCP;
	cr_assert(ip_addr_parse("10.9.0.200", &bench->check_sources[1]));
	bench->config.n_pools = 2;
	bench->config.n_frontends = 2;
	bench->config.dsr.n_check_sources = 2;
}

Test(dsr_check_v6, checks_both_families_at_once_each_from_its_source)
{
	struct dsr_lab *lab = begin();
	dsr_bench_set_nat(&lab->bench, "fd09::1", 80);
	add_v4(lab);
	dsr_lab_must_open(lab);
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(dsr_check_start(lab->check, i % 2, i % 2), 0);
	dsr_lab_await(lab, 20);
	cr_expect_eq(lab->n_by_verdict[DSR_READY], 10);
	cr_expect_eq(lab->n_by_verdict[DSR_NO_NAT], 10);
	dsr_lab_end(lab);
}

// The lost source of one family holds up nobody of the other.
Test(dsr_check_v6, one_family_does_without_the_source_of_the_other)
{
	struct dsr_lab *lab = begin();
	dsr_bench_set_nat(&lab->bench, "fd09::1", 80);
	dsr_bench_on_backend(&lab->bench, "ip addr add 10.9.0.200/32 dev vb");
	add_v4(lab);
	dsr_lab_must_open(lab);
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(dsr_check_start(lab->check, i % 2, i % 2), 0);
	dsr_lab_await(lab, 20);
	cr_expect_eq(lab->n_by_verdict[DSR_READY], 10);
	cr_expect_eq(lab->n_by_verdict[DSR_UNKNOWN], 10);
	dsr_lab_end(lab);
}
