// SPDX-License-Identifier: Apache-2.0
// The readiness check against a real backend in a second network namespace. IPv6:
// test_dsr_check_v6.c.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/netns.h"
#include "lib/dsr_lab.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(dsr_check, passes_a_backend_whose_replies_are_translated)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_bench_set_nat(&lab->bench, "10.9.0.1", 80);
	dsr_lab_must_open(lab);
	const char *text = dsr_lab_check(lab);
	cr_expect_eq(lab->last.verdict, DSR_READY, "%s", text);
	cr_expect(strncmp(text, "SYN-ACK from 10.9.0.1:80 in ", 28) == 0, "%s", text);
	cr_expect_gt(lab->last.duration_ns, 0);
	dsr_lab_end(lab);
}

Test(dsr_check, leaves_no_half_open_connection)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_bench_set_nat(&lab->bench, "10.9.0.1", 80);
	dsr_lab_must_open(lab);
	dsr_lab_expect(lab, DSR_READY);
	char *half_open = dsr_lab_on_backend(lab, "ss -Hatn state syn-recv");
	cr_expect_str_empty(half_open, "%s", half_open);
	free(half_open);
	dsr_lab_end(lab);
}

Test(dsr_check, names_each_fault)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_lab_must_open(lab);
	dsr_lab_expect(lab, DSR_NO_NAT);
	dsr_bench_set_nat(&lab->bench, "10.9.0.1", 8080);
	dsr_lab_expect(lab, DSR_WRONG_PORT);
	dsr_bench_set_nat(&lab->bench, "10.9.0.9", 80);
	dsr_lab_expect(lab, DSR_WRONG_ADDR);
	lab->bench.backends[0].endpoint.port_be = htons(81);
	dsr_lab_expect(lab, DSR_REFUSED);
	cr_expect_eq(lab->last.evidence.connect, DSR_CONNECT_REFUSED);
	dsr_lab_end(lab);
}

Test(dsr_check, tells_a_backend_that_ignores_clients_from_one_that_is_down)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_lab_must_open(lab);
	dsr_bench_on_backend(&lab->bench, "ip route add blackhole 10.9.0.200");
	dsr_lab_expect(lab, DSR_NO_REPLY);
	dsr_bench_on_backend(&lab->bench, "ip addr del 10.9.0.101/24 dev vb");
	dsr_lab_expect(lab, DSR_HOST_DOWN); // a neighbour that is still remembered
	cr_assert(netns_run("ip neigh flush all"));
	dsr_bench_run_ms(&lab->bench, 100);
	dsr_lab_expect(lab, DSR_HOST_DOWN); // one that is looked for
	dsr_bench_on_backend(&lab->bench, "ip link set vb down");
	dsr_bench_run_ms(&lab->bench, 100);
	dsr_lab_expect(lab, DSR_LINK_DOWN);
	dsr_lab_end(lab);
}

Test(dsr_check, does_not_pass_a_backend_whose_health_checks_fail_by_the_translation)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_lab_must_open(lab);
	dsr_bench_on_backend(&lab->bench, "nft 'table netdev dsr { chain egress { "
					  "type filter hook egress device vb priority 0; "
					  "tcp sport 80 ip saddr set 10.9.0.1; }; }'");
	dsr_lab_expect(lab, DSR_UNHEALTHY);
	cr_expect_eq(lab->last.evidence.connect, DSR_CONNECT_SILENT);
	dsr_lab_end(lab);
}

Test(dsr_check, skips_udp)
{
	struct dsr_lab *lab = dsr_lab_begin();
	lab->bench.frontends[0].endpoint.proto = IPPROTO_UDP;
	dsr_lab_must_open(lab);
	dsr_lab_expect(lab, DSR_NOT_CHECKED);
	cr_expect(dsr_verdict_passes(lab->last.verdict));
	dsr_lab_end(lab);
}

// Before, while and after: nobody but the check answers for the address.
Test(dsr_check, answers_for_the_source_while_it_checks_and_no_longer)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_bench_set_nat(&lab->bench, "10.9.0.1", 80);
	dsr_lab_must_open(lab);
	dsr_lab_expect_answers_for(lab, "10.9.0.200");
	dsr_lab_end(lab);
}

Test(dsr_check, refuses_a_source_that_another_host_has_until_that_gives_it_up)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_bench_set_nat(&lab->bench, "10.9.0.1", 80);
	dsr_bench_on_backend(&lab->bench, "ip addr add 10.9.0.200/32 dev vb");
	dsr_lab_must_open(lab);
	dsr_lab_expect(lab, DSR_UNKNOWN);
	cr_expect(strstr(lab->last.reason, "has the check source 10.9.0.200"), "%s",
		  lab->last.reason);
	dsr_bench_on_backend(&lab->bench, "ip addr del 10.9.0.200/32 dev vb");
	dsr_lab_expect(lab, DSR_READY);
	dsr_lab_end(lab);
}

Test(dsr_check, gives_the_source_up_when_another_host_takes_it_later)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_bench_set_nat(&lab->bench, "10.9.0.1", 80);
	dsr_lab_must_open(lab);
	dsr_lab_expect(lab, DSR_READY);
	dsr_bench_on_backend(&lab->bench, "ip addr add 10.9.0.200/32 dev vb && "
					  "ip neigh flush all && "
					  "ping -q -c 1 -I 10.9.0.200 10.9.0.2 >/dev/null");
	dsr_bench_run_ms(&lab->bench, 100);
	dsr_lab_expect(lab, DSR_UNKNOWN);
	dsr_lab_end(lab);
}

Test(dsr_check, takes_a_further_address_of_this_host_as_the_source)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_bench_set_nat(&lab->bench, "10.9.0.1", 80);
	cr_assert(netns_run("ip addr add 10.9.0.200/32 dev va"));
	dsr_bench_run_ms(&lab->bench, 100);
	dsr_lab_must_open(lab);
	dsr_lab_expect(lab, DSR_READY);
	dsr_lab_end(lab);
}

Test(dsr_check, checks_many_at_a_time_and_every_one_of_them)
{
	struct dsr_lab *lab = dsr_lab_begin();
	dsr_bench_set_nat(&lab->bench, "10.9.0.1", 80);
	for (unsigned i = 1; i < DSR_BENCH_BACKENDS_MAX; i++)
		lab->bench.backends[i] = lab->bench.backends[0];
	lab->bench.pools[0].n_backends = DSR_BENCH_BACKENDS_MAX;
	dsr_lab_must_open(lab);
	for (unsigned i = 0; i < DSR_BENCH_BACKENDS_MAX; i++)
		cr_assert_eq(dsr_check_start(lab->check, 0, i), 0);
	dsr_lab_await(lab, DSR_BENCH_BACKENDS_MAX);
	cr_expect_eq(lab->n_by_verdict[DSR_READY], DSR_BENCH_BACKENDS_MAX);
	dsr_lab_end(lab);
}

Test(dsr_check, a_cancelled_check_has_no_result)
{
	struct dsr_lab *lab = dsr_lab_begin();
	lab->bench.backends[1] = lab->bench.backends[0];
	lab->bench.pools[0].n_backends = 2;
	dsr_lab_must_open(lab);
	dsr_lab_expect(lab, DSR_NO_NAT);
	dsr_bench_on_backend(&lab->bench, "ip link set vb down"); // so that it takes its time
	int asker = 0;
	const struct dsr_subject subject = {
		.vip = lab->bench.frontends[0].endpoint,
		.backend_endpoint = lab->bench.backends[0].endpoint,
		.asker = &asker,
	};
	cr_assert_eq(dsr_check_start_subject(lab->check, &subject), 0);
	cr_assert_eq(dsr_check_start(lab->check, 0, 1), 0);
	dsr_bench_run_ms(&lab->bench, 50);
	dsr_check_cancel(lab->check, &asker);
	dsr_lab_await(lab, 2);
	cr_expect_eq(lab->last.backend, 1);
	dsr_bench_run_ms(&lab->bench, 200);
	cr_expect_eq(lab->n_results, 2);
	dsr_lab_end(lab);
}

Test(dsr_check, may_be_closed_by_a_result)
{
	struct dsr_lab *lab = dsr_lab_begin();
	lab->bench.backends[1] = lab->bench.backends[0];
	lab->bench.pools[0].n_backends = 2;
	lab->closes = true;
	dsr_lab_must_open(lab);
	cr_assert_eq(dsr_check_start(lab->check, 0, 0), 0);
	cr_assert_eq(dsr_check_start(lab->check, 0, 1), 0);
	dsr_lab_await(lab, 1);
	cr_expect_null(lab->check);
	dsr_bench_run_ms(&lab->bench, 100);
	cr_expect_eq(lab->n_results, 1);
	dsr_lab_end(lab);
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
	struct dsr_lab *lab = dsr_lab_begin();
	cr_assert(netns_run("ip route add 10.7.0.0/24 via 10.9.0.101"));
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err err = {0};
		cr_assert(ip_addr_parse(cases[i].source, lab->bench.check_sources));
		cr_expect_lt(dsr_lab_open(lab, &err), 0, "%s", cases[i].source);
		cr_expect(strstr(err.message, cases[i].expected), "%s: %s", cases[i].source,
			  err.message);
	}
	dsr_lab_end(lab);
}
