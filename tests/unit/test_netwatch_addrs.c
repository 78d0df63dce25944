// SPDX-License-Identifier: Apache-2.0
// What the watch knows of links and of their addresses, at once and as they change.
#include <criterion/criterion.h>

#include "../support/lib/netns.h"
#include "lib/netwatch_lab.h"

Test(netwatch_addrs, knows_links_and_addresses_at_once)
{
	struct netwatch_lab lab;
	struct link_info info;
	char mac[MAC_ADDR_TEXT_MAX];
	unsigned ifindex = 0;
	netwatch_lab_enter(&lab);
	cr_assert(netns_run("ip link set va mtu 1400 address 02:00:00:00:00:01"));
	netwatch_lab_stop(&lab);
	netwatch_lab_start(&lab);

	cr_assert(netwatch_link_by_name(lab.watch, "va", &info));
	cr_expect_eq(info.mtu, 1400);
	cr_expect_str_eq(mac_addr_format(&info.mac, mac), "02:00:00:00:00:01");
	cr_expect(info.is_up);
	cr_expect_not(info.is_loopback);
	cr_expect(netwatch_link(lab.watch, info.ifindex, &info));
	cr_expect_str_eq(info.name, "va");
	struct ip_addr addr = netwatch_lab_addr("fd09::1");
	cr_expect(netwatch_addr_link(lab.watch, &addr, &ifindex));
	cr_expect_eq(ifindex, info.ifindex);
	struct ip_addr first = netwatch_lab_addr("10.9.0.1");
	struct link_addr of_link;
	cr_expect(netwatch_link_addr(lab.watch, info.ifindex, 0, &of_link));
	cr_expect(ip_addr_equal(&of_link.addr, &first));
	cr_expect(netwatch_link_addr(lab.watch, info.ifindex, 1, &of_link));
	cr_expect_not(ip_addr_equal(&of_link.addr, &first));
	cr_expect_not(netwatch_link_addr(lab.watch, info.ifindex, 99, &of_link));

	cr_assert(netwatch_link_by_name(lab.watch, "lo", &info));
	cr_expect(info.is_loopback);
	cr_expect(info.is_up);
	addr = netwatch_lab_addr("127.0.0.1");
	cr_expect(netwatch_addr_link(lab.watch, &addr, &ifindex));
	cr_expect_eq(ifindex, info.ifindex);
	cr_expect_not(netwatch_link(lab.watch, 4711, &info));
	cr_expect_not(netwatch_link_by_name(lab.watch, "vb", &info));
	addr = netwatch_lab_addr("10.9.0.2");
	cr_expect_not(netwatch_addr_link(lab.watch, &addr, &ifindex));
	struct next_hop hop;
	cr_expect_not(netwatch_next_hop(lab.watch, &addr, &hop));
	netwatch_lab_stop(&lab);
	netwatch_destroy(NULL);
}

// 1: the address lasts; 0: it does not; -1: the link does not have it.
static int lasts(const struct netwatch_lab *lab, const char *link, const char *text)
{
	struct ip_addr wanted = netwatch_lab_addr(text);
	struct link_addr found;
	unsigned ifindex = netwatch_lab_index(lab, link);
	for (size_t i = 0; netwatch_link_addr(lab->watch, ifindex, i, &found); i++) {
		if (ip_addr_equal(&found.addr, &wanted))
			return found.is_lasting;
	}
	return -1;
}

static void await_lasting(struct netwatch_lab *lab, const char *link, const char *text,
			  int expected)
{
	uint64_t end_ns = clock_now_ns() + NETWATCH_LAB_PATIENCE_NS;
	while (lasts(lab, link, text) != expected) {
		cr_assert_lt(clock_now_ns(), end_ns, "%s is %d, awaited %d", text,
			     lasts(lab, link, text), expected);
		event_base_loop(lab->base, EVLOOP_ONCE);
	}
}

Test(netwatch_addrs, tells_addresses_that_pass_from_those_that_last)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	cr_assert(netns_run("ip addr add 10.9.0.5/24 dev va && " // a second one of its network
			    "ip addr add fd09::11/128 dev va nodad && "
			    "ip addr add fd09::12/128 dev va nodad preferred_lft 0"));
	await_lasting(&lab, "va", "10.9.0.1", 1);
	await_lasting(&lab, "va", "10.9.0.5", 1);
	await_lasting(&lab, "va", "fd09::11", 1);
	await_lasting(&lab, "va", "fd09::12", 0);
	// It changes while it is there, and the dump says the same as the events.
	cr_assert(netns_run("ip addr change fd09::11/128 dev va preferred_lft 0 && "
			    "ip addr change fd09::12/128 dev va preferred_lft forever"));
	await_lasting(&lab, "va", "fd09::11", 0);
	await_lasting(&lab, "va", "fd09::12", 1);
	netwatch_lab_stop(&lab);
	netwatch_lab_start(&lab);
	cr_expect_eq(lasts(&lab, "va", "fd09::11"), 0);
	cr_expect_eq(lasts(&lab, "va", "fd09::12"), 1);
	netwatch_lab_stop(&lab);
}

static unsigned n_passing(const struct netwatch_lab *lab, const char *link, const char *network)
{
	struct ip_network in;
	struct link_addr found;
	unsigned ifindex = netwatch_lab_index(lab, link);
	unsigned n = 0;
	cr_assert(ip_network_parse(network, &in));
	for (size_t i = 0; netwatch_link_addr(lab->watch, ifindex, i, &found); i++)
		n += ip_network_contains(&in, &found.addr) && !found.is_lasting;
	return n;
}

Test(netwatch_addrs, temporary_addresses_pass)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	cr_assert(netns_run("echo 2 > /proc/sys/net/ipv6/conf/va/use_tempaddr"));
	cr_assert(netns_run("ip addr add fd0a::1/64 dev va nodad mngtmpaddr"));
	// The kernel adds the temporary one.
	uint64_t end_ns = clock_now_ns() + NETWATCH_LAB_PATIENCE_NS;
	while (!netns_run("ip addr show dev va temporary to fd0a::/64 | grep -q 'temporary'") ||
	       netns_run("ip addr show dev va tentative | grep -q inet6")) {
		cr_assert_lt(clock_now_ns(), end_ns);
		event_base_loop(lab.base, EVLOOP_ONCE);
	}
	netwatch_lab_settle(&lab);
	cr_expect_eq(lasts(&lab, "va", "fd0a::1"), 1);
	cr_expect_eq(n_passing(&lab, "va", "fd0a::/64"), 1);
	netwatch_lab_stop(&lab);
}

Test(netwatch_addrs, an_address_lasts_once_nobody_else_has_it)
{
	struct netwatch_lab lab;
	netwatch_lab_enter(&lab);
	cr_assert(netns_run("echo 1 > /proc/sys/net/ipv6/conf/va/accept_dad"));
	cr_assert(netns_run("ip addr add fd09::21/64 dev va"));
	await_lasting(&lab, "va", "fd09::21", 0);
	await_lasting(&lab, "va", "fd09::21", 1);
	// The neighbour has this one: it stays, and is not this host's.
	cr_assert(netns_run("ip addr add fd09::2/64 dev va"));
	await_lasting(&lab, "va", "fd09::2", 0);
	uint64_t end_ns = clock_now_ns() + NETWATCH_LAB_PATIENCE_NS;
	while (!netns_run("ip addr show dev va to fd09::2 | grep -q dadfailed")) {
		cr_assert_lt(clock_now_ns(), end_ns);
		event_base_loop(lab.base, EVLOOP_ONCE);
	}
	netwatch_lab_settle(&lab);
	cr_expect_eq(lasts(&lab, "va", "fd09::2"), 0);
	netwatch_lab_stop(&lab);
}

Test(netwatch_addrs, a_port_that_leaves_a_bridge_is_still_a_link)
{
	struct netwatch_lab lab;
	struct link_info info;
	netwatch_lab_enter(&lab);
	cr_assert(netns_run("ip link add br0 address 02:00:00:00:00:0b type bridge"));
	netwatch_lab_settle(&lab);
	lab.n_changes = 0;
	cr_assert(netns_run("ip link set va master br0 && ip link set va nomaster"));
	netwatch_lab_let_time_pass(&lab);
	cr_expect_eq(lab.n_changes, 0u, "%u calls", lab.n_changes);
	cr_expect(netwatch_link_by_name(lab.watch, "va", &info));
	netwatch_lab_stop(&lab);
}

Test(netwatch_addrs, a_renamed_link_and_a_new_mtu_are_seen)
{
	struct netwatch_lab lab;
	struct link_info info;
	netwatch_lab_enter(&lab);
	unsigned ifindex = netwatch_lab_index(&lab, "va");
	cr_assert(netns_run("ip link set va down && ip link set va name renamed mtu 9000"));
	netwatch_lab_settle(&lab);
	cr_assert(netwatch_link(lab.watch, ifindex, &info));
	cr_expect_str_eq(info.name, "renamed");
	cr_expect_eq(info.mtu, 9000);
	netwatch_lab_stop(&lab);
}
