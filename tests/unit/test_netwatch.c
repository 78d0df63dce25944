// SPDX-License-Identifier: Apache-2.0
// The way to a destination as the watch knows it: routes, neighbours, and when it calls. Links and
// addresses: test_netwatch_addrs.c.
#include <criterion/criterion.h>

#include "../support/lib/netns.h"
#include "lib/netwatch_lab.h"

Test(netwatch, resolves_a_destination_on_the_link)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	netwatch_lab_track(&lab, "10.9.0.2");
	netwatch_lab_track(&lab, "10.9.0.2");
	cr_expect(netwatch_lab_hop(&lab, "10.9.0.2").has_route, "the route is known on return");
	cr_expect_eq(netwatch_lab_hop(&lab, "10.9.0.2").ifindex, netwatch_lab_index(&lab, "va"));
	netwatch_lab_await_hop(&lab, "10.9.0.2", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	netwatch_lab_track(&lab, "fd09::2");
	netwatch_lab_await_hop(&lab, "fd09::2", "via fd09::2 from fd09::1 mac " VB_MAC);
	netwatch_lab_stop(&lab);
}

Test(netwatch, an_entry_of_before_is_used_at_once)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	netwatch_lab_stop(&lab);
	cr_assert(netns_run("ip neigh add 10.9.0.2 dev va lladdr " VB_MAC " nud stale"));
	netwatch_lab_start(&lab);
	netwatch_lab_track(&lab, "10.9.0.2");
	cr_expect(netwatch_lab_hop(&lab, "10.9.0.2").is_resolved);
	// It is provoked, and keeps its address meanwhile.
	cr_expect(netns_run("ip neigh show to 10.9.0.2 | grep -q 'lladdr " VB_MAC
			    " .*\\(DELAY\\|PROBE\\|REACHABLE\\)'"));
	netwatch_lab_stop(&lab);
}

Test(netwatch, goes_through_the_gateway_that_the_kernel_chooses)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	netwatch_lab_track(&lab, "192.0.2.7");
	netwatch_lab_track(&lab, "192.0.2.8");
	netwatch_lab_await_hop(&lab, "192.0.2.7", "unreachable");
	cr_assert(netns_run("ip route add 192.0.2.0/24 via 10.9.0.2"));
	netwatch_lab_await_hop(&lab, "192.0.2.7", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	netwatch_lab_await_hop(&lab, "192.0.2.8", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);

	// A more specific route, a source, a policy rule, a gateway of the other family.
	cr_assert(netns_run("nsenter -t %d -n ip addr add 10.9.0.3/24 dev vb", lab.peer));
	cr_assert(netns_run("ip route add 192.0.2.7 via 10.9.0.3"));
	netwatch_lab_await_hop(&lab, "192.0.2.7", "via 10.9.0.3 from 10.9.0.1 mac " VB_MAC);
	netwatch_lab_await_hop(&lab, "192.0.2.8", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	cr_assert(netns_run("ip addr add 10.9.0.10/32 dev va"));
	cr_assert(netns_run("ip route replace 192.0.2.0/24 via 10.9.0.2 src 10.9.0.10"));
	netwatch_lab_await_hop(&lab, "192.0.2.8", "via 10.9.0.2 from 10.9.0.10 mac " VB_MAC);
	cr_assert(netns_run("ip route add table 77 default via 10.9.0.3"));
	netwatch_lab_let_time_pass(&lab);
	cr_assert(netns_run("ip rule add to 192.0.2.8 table 77"));
	netwatch_lab_await_hop(&lab, "192.0.2.8", "via 10.9.0.3 from 10.9.0.1 mac " VB_MAC);
	cr_assert(netns_run("ip route replace 192.0.2.7 via inet6 fd09::2 dev va"));
	netwatch_lab_await_hop(&lab, "192.0.2.7", "via fd09::2 from 10.9.0.1 mac " VB_MAC);
	cr_assert(netns_run("ip route del 192.0.2.7 && ip route del 192.0.2.0/24"));
	netwatch_lab_await_hop(&lab, "192.0.2.7", "unreachable");
	netwatch_lab_stop(&lab);
}

Test(netwatch, follows_a_nexthop_object)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	cr_assert(netns_run("nsenter -t %d -n ip addr add 10.9.0.3/24 dev vb", lab.peer));
	cr_assert(netns_run("ip nexthop add id 5 via 10.9.0.2 dev va"));
	cr_assert(netns_run("ip route add 192.0.2.0/24 nhid 5"));
	netwatch_lab_track(&lab, "192.0.2.7");
	netwatch_lab_await_hop(&lab, "192.0.2.7", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	// In this mode the kernel announces the object only, and not the routes that use it.
	cr_assert(netns_run("echo 0 > /proc/sys/net/ipv4/nexthop_compat_mode"));
	cr_assert(netns_run("ip nexthop replace id 5 via 10.9.0.3 dev va"));
	netwatch_lab_await_hop(&lab, "192.0.2.7", "via 10.9.0.3 from 10.9.0.1 mac " VB_MAC);
	netwatch_lab_stop(&lab);
}

Test(netwatch, refusing_routes_are_no_routes)
{
	static const char *const kinds[] = {"blackhole", "unreachable", "prohibit", "throw"};
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	netwatch_lab_track(&lab, "10.9.0.2");
	netwatch_lab_track(&lab, "fd09::2");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		cr_assert(netns_run("ip route add %s 10.9.0.2", kinds[i]));
		cr_assert(netns_run("ip route add %s fd09::2 metric 1", kinds[i]));
		netwatch_lab_await_hop(&lab, "10.9.0.2", "unreachable");
		netwatch_lab_await_hop(&lab, "fd09::2", "unreachable");
		cr_assert(netns_run("ip route del %s 10.9.0.2", kinds[i]));
		cr_assert(netns_run("ip route del %s fd09::2 metric 1", kinds[i]));
		netwatch_lab_await_hop(&lab, "10.9.0.2", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
		netwatch_lab_await_hop(&lab, "fd09::2", "via fd09::2 from fd09::1 mac " VB_MAC);
	}
	netwatch_lab_track(&lab, "10.9.0.255");
	netwatch_lab_await_hop(&lab, "10.9.0.255", "unreachable");
	netwatch_lab_track(&lab, "224.0.0.5");
	netwatch_lab_await_hop(&lab, "224.0.0.5", "unreachable");
	netwatch_lab_stop(&lab);
}

Test(netwatch, local_destinations_are_local)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	netwatch_lab_track(&lab, "127.0.0.1");
	netwatch_lab_track(&lab, "10.9.0.1");
	netwatch_lab_track(&lab, "fd09::1");
	netwatch_lab_track(&lab, "10.9.0.77");
	netwatch_lab_await_hop(&lab, "127.0.0.1", "local");
	netwatch_lab_await_hop(&lab, "10.9.0.1", "local");
	netwatch_lab_await_hop(&lab, "fd09::1", "local");
	netwatch_lab_await_hop(&lab, "10.9.0.77", "via 10.9.0.77 from 10.9.0.1 mac unknown");
	cr_assert(netns_run("ip addr add 10.9.0.77/24 dev va"));
	netwatch_lab_await_hop(&lab, "10.9.0.77", "local");
	struct ip_addr addr = netwatch_lab_addr("10.9.0.77");
	unsigned ifindex = 0;
	cr_expect(netwatch_addr_link(lab.watch, &addr, &ifindex));
	cr_expect_eq(ifindex, netwatch_lab_index(&lab, "va"));
	cr_assert(netns_run("ip addr del 10.9.0.77/24 dev va"));
	netwatch_lab_await_hop(&lab, "10.9.0.77", "via 10.9.0.77 from 10.9.0.1 mac unknown");
	cr_expect_not(netwatch_addr_link(lab.watch, &addr, &ifindex));
	netwatch_lab_stop(&lab);
}

Test(netwatch, sees_a_neighbour_change_its_mac)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	netwatch_lab_track(&lab, "10.9.0.2");
	netwatch_lab_await_hop(&lab, "10.9.0.2", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	cr_assert(netns_run("nsenter -t %d -n ip link set vb address " OTHER_MAC, lab.peer));
	cr_assert(netns_run("nsenter -t %d -n ping -q -c 1 -W 5 10.9.0.1 > /dev/null", lab.peer));
	// Nothing but culvert uses the entry here: it goes stale, is provoked, and answered anew.
	cr_assert(netns_run("ip neigh replace 10.9.0.2 dev va lladdr " VB_MAC " nud stale"));
	cr_assert(netns_run("echo 1 > /proc/sys/net/ipv4/neigh/va/delay_first_probe_time"));
	netwatch_lab_await_hop(&lab, "10.9.0.2", "via 10.9.0.2 from 10.9.0.1 mac " OTHER_MAC);
	netwatch_lab_stop(&lab);
}

Test(netwatch, keeps_asking_for_a_neighbour_until_it_answers)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	netwatch_lab_track(&lab, "10.9.0.40");
	netwatch_lab_await_hop(&lab, "10.9.0.40", "via 10.9.0.40 from 10.9.0.1 mac unknown");
	// Let a first round of the kernel's probes fail.
	cr_assert(netns_run("echo 100 > /proc/sys/net/ipv4/neigh/va/retrans_time_ms"));
	uint64_t end_ns = clock_now_ns() + NETWATCH_LAB_PATIENCE_NS;
	while (!netns_run("ip neigh show to 10.9.0.40 | grep -q FAILED")) {
		cr_assert_lt(clock_now_ns(), end_ns);
		event_base_loop(lab.base, EVLOOP_ONCE);
	}
	cr_assert(netns_run("nsenter -t %d -n ip addr add 10.9.0.40/24 dev vb", lab.peer));
	netwatch_lab_await_hop(&lab, "10.9.0.40", "via 10.9.0.40 from 10.9.0.1 mac " VB_MAC);
	// And again when the entry is taken away.
	cr_assert(netns_run("ip neigh flush all"));
	netwatch_lab_await_hop(&lab, "10.9.0.40", "via 10.9.0.40 from 10.9.0.1 mac unknown");
	netwatch_lab_await_hop(&lab, "10.9.0.40", "via 10.9.0.40 from 10.9.0.1 mac " VB_MAC);
	netwatch_lab_stop(&lab);
}

Test(netwatch, leaves_permanent_entries_as_they_are)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	// Made after the dump; its event is not read yet when netwatch_lab_track() looks for the
	// neighbour.
	cr_assert(netns_run("ip neigh add 10.9.0.50 dev va lladdr " OTHER_MAC " nud permanent"));
	netwatch_lab_track(&lab, "10.9.0.50");
	netwatch_lab_await_hop(&lab, "10.9.0.50", "via 10.9.0.50 from 10.9.0.1 mac " OTHER_MAC);
	netwatch_lab_settle(&lab);
	cr_expect(netns_run("ip neigh show to 10.9.0.50 | grep -q PERMANENT"));
	netwatch_lab_stop(&lab);
}

Test(netwatch, links_without_neighbour_resolution_need_none)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	cr_assert(netns_run("ip link set va address 02:00:00:00:00:01 arp off"));
	netwatch_lab_track(&lab, "10.9.0.2");
	netwatch_lab_await_hop(&lab, "10.9.0.2",
			       "via 10.9.0.2 from 10.9.0.1 mac 02:00:00:00:00:01");
	netwatch_lab_stop(&lab);
}

Test(netwatch, a_link_that_goes_down_takes_its_routes_along)
{
	struct netwatch_lab lab;
	struct link_info info;
	netwatch_lab_enter(&lab);
	netwatch_lab_track(&lab, "10.9.0.2");
	netwatch_lab_await_hop(&lab, "10.9.0.2", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	// IPv6 would announce its routes; IPv4 is silent about those that go with a link.
	cr_assert(netns_run("echo 1 > /proc/sys/net/ipv6/conf/va/disable_ipv6"));
	netwatch_lab_let_time_pass(&lab);
	cr_assert(netns_run("ip link set va down"));
	netwatch_lab_await_hop(&lab, "10.9.0.2", "unreachable");
	cr_assert(netwatch_link_by_name(lab.watch, "va", &info));
	cr_expect_not(info.is_up);
	cr_assert(netns_run("ip link set va up"));
	netwatch_lab_await_hop(&lab, "10.9.0.2", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	cr_assert(netwatch_link_by_name(lab.watch, "va", &info));
	cr_expect(info.is_up);

	// Without carrier, and removed.
	cr_assert(netns_run("nsenter -t %d -n ip link set vb down", lab.peer));
	netwatch_lab_await_hop(&lab, "10.9.0.2", "via 10.9.0.2 from 10.9.0.1 mac unknown");
	cr_assert(netwatch_link_by_name(lab.watch, "va", &info));
	cr_expect_not(info.is_up);
	cr_assert(netns_run("ip link del va"));
	netwatch_lab_await_hop(&lab, "10.9.0.2", "unreachable");
	cr_expect_not(netwatch_link_by_name(lab.watch, "va", &info));
	netwatch_lab_stop(&lab);
}

Test(netwatch, calls_only_when_an_answer_is_another)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	netwatch_lab_track(&lab, "10.9.0.2");
	netwatch_lab_await_hop(&lab, "10.9.0.2", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	netwatch_lab_settle(&lab);
	lab.n_changes = 0;
	for (int i = 0; i < 20; i++) {
		cr_assert(netns_run("ip neigh change 10.9.0.2 dev va lladdr " VB_MAC " nud stale"));
		cr_assert(netns_run("ip neigh change 10.9.0.2 dev va lladdr " VB_MAC
				    " nud reachable"));
		event_base_loop(lab.base, EVLOOP_NONBLOCK);
	}
	// Neighbours and routes that nobody asked for, an address that is only refreshed.
	cr_assert(netns_run("ip neigh add 10.9.0.60 dev va lladdr " OTHER_MAC " nud permanent"));
	cr_assert(netns_run("ip route add 198.51.100.0/24 via 10.9.0.2"));
	cr_assert(netns_run("ip addr change 10.9.0.1/24 dev va valid_lft 9000 preferred_lft 9000"));
	netwatch_lab_let_time_pass(&lab);
	cr_expect_eq(lab.n_changes, 0u, "%u calls", lab.n_changes);
	netwatch_lab_stop(&lab);
}

Test(netwatch, a_burst_is_one_call)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	netwatch_lab_track(&lab, "10.9.0.2");
	netwatch_lab_await_hop(&lab, "10.9.0.2", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	netwatch_lab_settle(&lab);
	lab.n_changes = 0;
	cr_assert(netns_run("for i in $(seq 100 199); do echo addr add 10.9.0.$i/24 dev va; done | "
			    "ip -batch -"));
	while (lab.n_changes == 0)
		event_base_loop(lab.base, EVLOOP_ONCE);
	struct ip_addr addr = netwatch_lab_addr("10.9.0.199");
	unsigned ifindex = 0;
	cr_expect(netwatch_addr_link(lab.watch, &addr, &ifindex), "not all in the first call");
	netwatch_lab_settle(&lab);
	cr_expect_eq(lab.n_changes, 2u, "%u calls", lab.n_changes);
	netwatch_lab_stop(&lab);
}

// More events than the socket can hold while the loop does not run. The last of them, which say
// what is true now, are the ones that get lost.
Test(netwatch, dumps_again_when_events_were_lost)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	netwatch_lab_track(&lab, "10.9.0.50");
	netwatch_lab_track(&lab, "192.0.2.7");
	cr_assert(
		netns_run("(for r in 1 2 3; do for i in $(seq 0 63); do for j in $(seq 1 100); do "
			  "echo neigh replace 10.50.$i.$j dev va lladdr " VB_MAC
			  " nud permanent; done; done; done) | ip -batch - && "
			  "ip neigh replace 10.9.0.50 dev va lladdr " OTHER_MAC " nud permanent "
			  "&& ip route add 192.0.2.0/24 via 10.9.0.50"));
	cr_assert(netns_run("ip link add late type veth peer name latep"));
	netwatch_lab_await_hop(&lab, "10.9.0.50", "via 10.9.0.50 from 10.9.0.1 mac " OTHER_MAC);
	netwatch_lab_await_hop(&lab, "192.0.2.7", "via 10.9.0.50 from 10.9.0.1 mac " OTHER_MAC);
	struct link_info info;
	cr_expect(netwatch_link_by_name(lab.watch, "late", &info));
	netwatch_lab_stop(&lab);
}

Test(netwatch, forgets_who_is_no_longer_tracked)
{
	static const char *const dsts[] = {"10.9.0.2", "10.9.0.3", "10.9.0.4"};
	struct netwatch_lab lab;
	struct next_hop hop;
	netwatch_lab_enter(&lab);
	for (size_t gone = 0; gone < 3; gone++) {
		struct ip_addr addr = netwatch_lab_addr(dsts[gone]);
		for (size_t i = 0; i < 3; i++)
			netwatch_lab_track(&lab, dsts[i]);
		netwatch_untrack(lab.watch, &addr);
		netwatch_untrack(lab.watch, &addr); // harmless
		cr_expect_not(netwatch_next_hop(lab.watch, &addr, &hop), "%s", dsts[gone]);
		for (size_t i = 0; i < 3; i++)
			cr_expect(i == gone || netwatch_lab_hop(&lab, dsts[i]).has_route);
	}
	netwatch_lab_track(&lab, "10.9.0.2");
	netwatch_lab_await_hop(&lab, "10.9.0.2", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	netwatch_lab_stop(&lab);
}

Test(netwatch, holds_as_many_destinations_as_a_configuration_may_have)
{
	enum { N_DESTINATIONS = 16384 };
	struct netwatch_lab lab;
	struct err err = {0};
	netwatch_lab_enter(&lab);
	cr_assert(netns_run("ip route add 10.64.0.0/16 via 10.9.0.2"));
	for (uint32_t i = 0; i < N_DESTINATIONS; i++) {
		struct ip_addr addr = ip_addr_from_v4(__builtin_bswap32(0x0a400000 + i));
		cr_assert_eq(netwatch_track(lab.watch, &addr, &err), 0, "%s", err.message);
	}
	netwatch_lab_await_hop(&lab, "10.64.0.0", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	netwatch_lab_await_hop(&lab, "10.64.63.255", "via 10.9.0.2 from 10.9.0.1 mac " VB_MAC);
	cr_assert(netns_run("ip route del 10.64.0.0/16"));
	netwatch_lab_await_hop(&lab, "10.64.0.0", "unreachable");
	netwatch_lab_await_hop(&lab, "10.64.63.255", "unreachable");
	netwatch_lab_stop(&lab);
}
