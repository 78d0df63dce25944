// SPDX-License-Identifier: Apache-2.0
// The readiness check against a real backend in a second network namespace.
#include "culvert/control/dsr_check.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/dsr_bench.h"
#include "../support/lib/netns.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { N_VERDICTS = DSR_UNHEALTHY + 1 };

struct test {
	struct dsr_bench bench;
	struct dsr_check *check;
	unsigned n_results;
	unsigned n_by_verdict[N_VERDICTS];
	struct dsr_result last;
	bool closes; // on_result closes the check
};

static void on_result(void *arg, const struct dsr_result *result)
{
	struct test *test = arg;
	test->n_results++;
	test->n_by_verdict[result->verdict]++;
	test->last = *result;
	if (test->closes) {
		dsr_check_close(test->check);
		test->check = NULL;
	}
}

static int open_check(struct test *test, struct err *err)
{
	struct dsr_check_params params = {
		.base = test->bench.base,
		.netwatch = test->bench.netwatch,
		.config = &test->bench.config,
		.on_result = on_result,
		.arg = test,
	};
	return dsr_check_open(&test->check, &params, err);
}

static void must_open(struct test *test)
{
	struct err err = {0};
	cr_assert_eq(open_check(test, &err), 0, "%s", err.message);
}

static struct test *begin(void)
{
	struct test *test = calloc(1, sizeof(*test));
	cr_assert(test);
	if (!dsr_bench_init(&test->bench)) {
		free(test);
		cr_skip("needs root, for a private network namespace");
	}
	return test;
}

static void end(struct test *test)
{
	dsr_check_close(test->check);
	dsr_bench_fini(&test->bench);
	free(test);
}

static void await_results(struct test *test, unsigned n)
{
	cr_assert(dsr_bench_await(&test->bench, &test->n_results, n), "%u results of %u",
		  test->n_results, n);
}

static const char *check_once(struct test *test)
{
	static char text[640];
	unsigned n_before = test->n_results;
	cr_assert_eq(dsr_check_start(test->check, 0, 0), 0);
	await_results(test, n_before + 1);
	return dsr_result_format(&test->last, text, sizeof(text));
}

static void expect_verdict(struct test *test, enum dsr_verdict verdict)
{
	const char *text = check_once(test);
	cr_expect_eq(test->last.verdict, verdict, "%d, not %d: %s", test->last.verdict, verdict,
		     text);
}

// For free().
static char *on_backend(const struct test *test, const char *command)
{
	return netns_output("nsenter -t %d -n sh -c '%s'", test->bench.peer, command);
}

Test(dsr_check, passes_a_backend_whose_replies_are_translated)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	must_open(test);
	const char *text = check_once(test);
	cr_expect_eq(test->last.verdict, DSR_READY, "%s", text);
	cr_expect(strncmp(text, "SYN-ACK from 10.9.0.1:80 in ", 28) == 0, "%s", text);
	cr_expect_gt(test->last.duration_ns, 0);
	end(test);
}

Test(dsr_check, leaves_no_half_open_connection)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	must_open(test);
	expect_verdict(test, DSR_READY);
	char *half_open = on_backend(test, "ss -Hatn state syn-recv");
	cr_expect_str_empty(half_open, "%s", half_open);
	free(half_open);
	end(test);
}

Test(dsr_check, names_each_fault)
{
	struct test *test = begin();
	must_open(test);
	expect_verdict(test, DSR_NO_NAT);
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 8080);
	expect_verdict(test, DSR_WRONG_PORT);
	dsr_bench_set_nat(&test->bench, "10.9.0.9", 80);
	expect_verdict(test, DSR_WRONG_ADDR);
	test->bench.backends[0].endpoint.port_be = htons(81);
	expect_verdict(test, DSR_REFUSED);
	cr_expect_eq(test->last.evidence.connect, DSR_CONNECT_REFUSED);
	end(test);
}

Test(dsr_check, tells_a_backend_that_ignores_clients_from_one_that_is_down)
{
	struct test *test = begin();
	must_open(test);
	dsr_bench_on_backend(&test->bench, "ip route add blackhole 10.9.0.200");
	expect_verdict(test, DSR_NO_REPLY);
	dsr_bench_on_backend(&test->bench, "ip addr del 10.9.0.101/24 dev vb");
	expect_verdict(test, DSR_HOST_DOWN); // a neighbour that is still remembered
	cr_assert(netns_run("ip neigh flush all"));
	dsr_bench_run_ms(&test->bench, 100);
	expect_verdict(test, DSR_HOST_DOWN); // one that is looked for
	dsr_bench_on_backend(&test->bench, "ip link set vb down");
	dsr_bench_run_ms(&test->bench, 100);
	expect_verdict(test, DSR_LINK_DOWN);
	end(test);
}

Test(dsr_check, does_not_pass_a_backend_whose_health_checks_fail_by_the_translation)
{
	struct test *test = begin();
	must_open(test);
	dsr_bench_on_backend(&test->bench, "nft 'table netdev dsr { chain egress { "
					   "type filter hook egress device vb priority 0; "
					   "tcp sport 80 ip saddr set 10.9.0.1; }; }'");
	expect_verdict(test, DSR_UNHEALTHY);
	cr_expect_eq(test->last.evidence.connect, DSR_CONNECT_SILENT);
	end(test);
}

Test(dsr_check, skips_udp)
{
	struct test *test = begin();
	test->bench.frontends[0].endpoint.proto = IPPROTO_UDP;
	must_open(test);
	expect_verdict(test, DSR_NOT_CHECKED);
	cr_expect(dsr_verdict_passes(test->last.verdict));
	end(test);
}

// Before, while and after: nobody but the check answers for the address.
Test(dsr_check, answers_for_the_source_while_it_checks_and_no_longer)
{
	char mac[MAC_ADDR_TEXT_MAX];
	struct link_info link;
	struct test *test = begin();
	cr_assert(netwatch_link_by_name(test->bench.netwatch, "va", &link));
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	must_open(test);
	expect_verdict(test, DSR_READY);
	char *known = on_backend(test, "ip neigh show 10.9.0.200");
	cr_expect(strstr(known, mac_addr_format(&link.mac, mac)), "%s", known);
	free(known);
	dsr_bench_on_backend(&test->bench, "ip neigh flush all");
	dsr_bench_on_backend(&test->bench, "ping -c 1 -W 1 10.9.0.200 >/dev/null &");
	dsr_bench_run_ms(&test->bench, 500);
	char *after = on_backend(test, "ip neigh show 10.9.0.200");
	cr_expect(strstr(after, "FAILED") || strstr(after, "INCOMPLETE"), "%s", after);
	free(after);
	expect_verdict(test, DSR_READY); // and it comes back
	end(test);
}

Test(dsr_check, refuses_a_source_that_another_host_has_until_that_gives_it_up)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	dsr_bench_on_backend(&test->bench, "ip addr add 10.9.0.200/32 dev vb");
	must_open(test);
	expect_verdict(test, DSR_UNKNOWN);
	cr_expect(strstr(test->last.reason, "has the check source 10.9.0.200"), "%s",
		  test->last.reason);
	dsr_bench_on_backend(&test->bench, "ip addr del 10.9.0.200/32 dev vb");
	expect_verdict(test, DSR_READY);
	end(test);
}

Test(dsr_check, gives_the_source_up_when_another_host_takes_it_later)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	must_open(test);
	expect_verdict(test, DSR_READY);
	dsr_bench_on_backend(&test->bench, "ip addr add 10.9.0.200/32 dev vb && "
					   "ip neigh flush all && "
					   "ping -q -c 1 -I 10.9.0.200 10.9.0.2 >/dev/null");
	dsr_bench_run_ms(&test->bench, 100);
	expect_verdict(test, DSR_UNKNOWN);
	end(test);
}

Test(dsr_check, takes_a_further_address_of_this_host_as_the_source)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	cr_assert(netns_run("ip addr add 10.9.0.200/32 dev va"));
	dsr_bench_run_ms(&test->bench, 100);
	must_open(test);
	expect_verdict(test, DSR_READY);
	end(test);
}

Test(dsr_check, checks_many_at_a_time_and_every_one_of_them)
{
	struct test *test = begin();
	dsr_bench_set_nat(&test->bench, "10.9.0.1", 80);
	for (unsigned i = 1; i < DSR_BENCH_BACKENDS_MAX; i++)
		test->bench.backends[i] = test->bench.backends[0];
	test->bench.pools[0].n_backends = DSR_BENCH_BACKENDS_MAX;
	must_open(test);
	for (unsigned i = 0; i < DSR_BENCH_BACKENDS_MAX; i++)
		cr_assert_eq(dsr_check_start(test->check, 0, i), 0);
	await_results(test, DSR_BENCH_BACKENDS_MAX);
	cr_expect_eq(test->n_by_verdict[DSR_READY], DSR_BENCH_BACKENDS_MAX);
	end(test);
}

Test(dsr_check, a_cancelled_check_has_no_result)
{
	struct test *test = begin();
	test->bench.backends[1] = test->bench.backends[0];
	test->bench.pools[0].n_backends = 2;
	must_open(test);
	expect_verdict(test, DSR_NO_NAT);
	dsr_bench_on_backend(&test->bench, "ip link set vb down"); // so that it takes its time
	cr_assert_eq(dsr_check_start(test->check, 0, 0), 0);
	cr_assert_eq(dsr_check_start(test->check, 0, 1), 0);
	dsr_bench_run_ms(&test->bench, 50);
	dsr_check_cancel(test->check, 0);
	await_results(test, 2);
	cr_expect_eq(test->last.backend, 1);
	dsr_bench_run_ms(&test->bench, 200);
	cr_expect_eq(test->n_results, 2);
	end(test);
}

Test(dsr_check, may_be_closed_by_a_result)
{
	struct test *test = begin();
	test->bench.backends[1] = test->bench.backends[0];
	test->bench.pools[0].n_backends = 2;
	test->closes = true;
	must_open(test);
	cr_assert_eq(dsr_check_start(test->check, 0, 0), 0);
	cr_assert_eq(dsr_check_start(test->check, 0, 1), 0);
	await_results(test, 1);
	cr_expect_null(test->check);
	dsr_bench_run_ms(&test->bench, 100);
	cr_expect_eq(test->n_results, 1);
	end(test);
}

Test(dsr_check, says_why_an_address_cannot_be_the_source)
{
	static const struct {
		const char *source;
		const char *expected;
	} cases[] = {
		{"fd00::1", "needs an IPv4 address to test frontend \"web\" from: give an address "
			    "that no host has, of the network on va, as --check-source"},
		{"0.0.0.9", "is no address that a client can have"},
		{"127.0.0.9", "is no address that a client can have"},
		{"224.0.0.9", "is no address that a client can have"},
		{"10.9.0.1", "is the address of frontend \"web\""},
		{"10.9.0.101", "is the address of backend \"web\""},
		{"10.9.0.2", "is where health checks of backend \"web\" come from"},
		{"10.9.0.255", "no interface of this host is in a network with such an address"},
		{"10.8.0.1", "no interface of this host is in a network with such an address"},
		{"10.7.0.1", "is behind the router 10.9.0.101"},
	};
	struct test *test = begin();
	cr_assert(netns_run("ip route add 10.7.0.0/24 via 10.9.0.101"));
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err err = {0};
		cr_assert(ip_addr_parse(cases[i].source, test->bench.check_sources));
		cr_expect_lt(open_check(test, &err), 0, "%s", cases[i].source);
		cr_expect(strstr(err.message, cases[i].expected), "%s: %s", cases[i].source,
			  err.message);
	}
	end(test);
}

// ---- IPv6 --------------------------------------------------------------------------------------

static struct test *begin_v6(void)
{
	struct test *test = begin();
	dsr_bench_switch_to_v6(&test->bench);
	return test;
}

Test(dsr_check_v6, passes_a_backend_and_leaves_nothing_half_open)
{
	struct test *test = begin_v6();
	dsr_bench_set_nat(&test->bench, "fd09::1", 80);
	must_open(test);
	const char *text = check_once(test);
	cr_expect_eq(test->last.verdict, DSR_READY, "%s", text);
	cr_expect(strncmp(text, "SYN-ACK from [fd09::1]:80 in ", 29) == 0, "%s", text);
	char *half_open = on_backend(test, "ss -Hatn state syn-recv");
	cr_expect_str_empty(half_open, "%s", half_open);
	free(half_open);
	end(test);
}

Test(dsr_check_v6, names_each_fault)
{
	struct test *test = begin_v6();
	must_open(test);
	expect_verdict(test, DSR_NO_NAT);
	dsr_bench_set_nat(&test->bench, "fd09::1", 8080);
	expect_verdict(test, DSR_WRONG_PORT);
	dsr_bench_set_nat(&test->bench, "fd09::9", 80);
	expect_verdict(test, DSR_WRONG_ADDR);
	dsr_bench_on_backend(&test->bench, "nft 'table inet block { chain input { "
					   "type filter hook input priority 0; "
					   "ip6 saddr fd09::200 reject with icmpv6 type "
					   "admin-prohibited; }; }'");
	const char *text = check_once(test);
	cr_expect_eq(test->last.verdict, DSR_UNREACHABLE);
	cr_expect_str_eq(text, "ICMP communication prohibited from fd09::101");
	dsr_bench_on_backend(&test->bench, "nft delete table inet block");
	test->bench.backends[0].endpoint.port_be = htons(81);
	expect_verdict(test, DSR_REFUSED);
	dsr_bench_on_backend(&test->bench, "ip link set vb down");
	dsr_bench_run_ms(&test->bench, 100);
	expect_verdict(test, DSR_LINK_DOWN);
	end(test);
}

Test(dsr_check_v6, answers_for_the_source_while_it_checks_and_no_longer)
{
	char mac[MAC_ADDR_TEXT_MAX];
	struct link_info link;
	struct test *test = begin_v6();
	cr_assert(netwatch_link_by_name(test->bench.netwatch, "va", &link));
	dsr_bench_set_nat(&test->bench, "fd09::1", 80);
	must_open(test);
	expect_verdict(test, DSR_READY);
	char *known = on_backend(test, "ip neigh show fd09::200");
	cr_expect(strstr(known, mac_addr_format(&link.mac, mac)), "%s", known);
	free(known);
	dsr_bench_on_backend(&test->bench, "ip neigh flush all");
	dsr_bench_on_backend(&test->bench, "ping -c 1 -W 1 fd09::200 >/dev/null &");
	dsr_bench_run_ms(&test->bench, 500);
	char *after = on_backend(test, "ip neigh show fd09::200");
	cr_expect(strstr(after, "FAILED") || strstr(after, "INCOMPLETE"), "%s", after);
	free(after);
	expect_verdict(test, DSR_READY); // and it comes back
	end(test);
}

Test(dsr_check_v6, leaves_the_source_to_a_host_that_has_it)
{
	struct test *test = begin_v6();
	dsr_bench_set_nat(&test->bench, "fd09::1", 80);
	dsr_bench_on_backend(&test->bench, "ip addr add fd09::200/128 dev vb nodad");
	must_open(test);
	expect_verdict(test, DSR_UNKNOWN);
	cr_expect(strstr(test->last.reason, "has the check source fd09::200"), "%s",
		  test->last.reason);
	dsr_bench_on_backend(&test->bench, "ip addr del fd09::200/128 dev vb");
	expect_verdict(test, DSR_READY);
	end(test);
}

// While the source is held, somebody else's duplicate address detection finds it taken.
Test(dsr_check_v6, tells_one_who_asks_before_taking_the_source)
{
	struct test *test = begin_v6();
	dsr_bench_set_nat(&test->bench, "fd09::1", 80);
	must_open(test);
	dsr_bench_on_backend(&test->bench, "ip route add blackhole fd09::200"); // so that it lasts
	cr_assert_eq(dsr_check_start(test->check, 0, 0), 0);
	dsr_bench_run_ms(&test->bench, 1000);
	dsr_bench_on_backend(&test->bench, "ip addr add fd09::200/128 dev vb");
	dsr_bench_run_ms(&test->bench, 1500);
	char *addr = on_backend(test, "ip addr show dev vb to fd09::200");
	cr_expect(strstr(addr, "dadfailed"), "%s", addr);
	free(addr);
	await_results(test, 1);
	cr_expect_eq(test->last.verdict, DSR_NO_REPLY);
	end(test);
}

Test(dsr_check_v6, takes_a_further_address_of_this_host_as_the_source)
{
	struct test *test = begin_v6();
	dsr_bench_set_nat(&test->bench, "fd09::1", 80);
	cr_assert(netns_run("ip addr add fd09::200/128 dev va nodad preferred_lft 0"));
	dsr_bench_run_ms(&test->bench, 100);
	must_open(test);
	expect_verdict(test, DSR_READY);
	end(test);
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
	struct test *test = begin_v6();
	cr_assert(netns_run("ip route add fd07::/64 via fd09::101"));
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err err = {0};
		cr_assert(ip_addr_parse(cases[i].source, test->bench.check_sources));
		cr_expect_lt(open_check(test, &err), 0, "%s", cases[i].source);
		cr_expect(strstr(err.message, cases[i].expected), "%s: %s", cases[i].source,
			  err.message);
	}
	end(test);
}

// A frontend of each, each with a backend and a source of its family.
static void add_v4(struct test *test)
{
	struct dsr_bench *bench = &test->bench;
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
	struct test *test = begin_v6();
	dsr_bench_set_nat(&test->bench, "fd09::1", 80);
	add_v4(test);
	must_open(test);
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(dsr_check_start(test->check, i % 2, i % 2), 0);
	await_results(test, 20);
	cr_expect_eq(test->n_by_verdict[DSR_READY], 10);
	cr_expect_eq(test->n_by_verdict[DSR_NO_NAT], 10);
	end(test);
}

// The lost source of one family holds up nobody of the other.
Test(dsr_check_v6, one_family_does_without_the_source_of_the_other)
{
	struct test *test = begin_v6();
	dsr_bench_set_nat(&test->bench, "fd09::1", 80);
	dsr_bench_on_backend(&test->bench, "ip addr add 10.9.0.200/32 dev vb");
	add_v4(test);
	must_open(test);
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(dsr_check_start(test->check, i % 2, i % 2), 0);
	await_results(test, 20);
	cr_expect_eq(test->n_by_verdict[DSR_READY], 10);
	cr_expect_eq(test->n_by_verdict[DSR_UNKNOWN], 10);
	end(test);
}
