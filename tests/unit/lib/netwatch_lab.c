// SPDX-License-Identifier: Apache-2.0
#include "netwatch_lab.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../../support/lib/netns.h"

static void count_change(void *arg)
{
	struct netwatch_lab *lab = arg;
	lab->n_changes++;
}

struct ip_addr netwatch_lab_addr(const char *text)
{
	struct ip_addr addr;
	cr_assert(ip_addr_parse(text, &addr), "%s", text);
	return addr;
}

void netwatch_lab_start(struct netwatch_lab *lab)
{
	struct err err = {0};
	lab->base = event_base_new();
	cr_assert_eq(netwatch_create(&lab->watch, lab->base, count_change, lab, &err), 0, "%s",
		     err.message);
}

void netwatch_lab_enter(struct netwatch_lab *lab)
{
	*lab = (struct netwatch_lab){0};
	if (!netns_enter())
		cr_skip("needs root, for a private network namespace");
	lab->peer = netns_peer_start();
	cr_assert_gt(lab->peer, 0);
	cr_assert(netns_run("ip link add va type veth peer name vb address " VB_MAC " netns %d",
			    lab->peer));
	// Without duplicate detection the link-local address is there at once. Else its event would
	// come seconds later, and hide that another was missed.
	cr_assert(netns_run("echo 0 > /proc/sys/net/ipv6/conf/va/accept_dad"));
	cr_assert(netns_run("ip addr add 10.9.0.1/24 dev va && "
			    "ip addr add fd09::1/64 dev va nodad && ip link set va up"));
	cr_assert(netns_run("nsenter -t %d -n sh -c 'ip addr add 10.9.0.2/24 dev vb && "
			    "ip addr add fd09::2/64 dev vb nodad && ip link set vb up'",
			    lab->peer));
	netwatch_lab_start(lab);
}

void netwatch_lab_stop(struct netwatch_lab *lab)
{
	netwatch_destroy(lab->watch);
	event_base_free(lab->base);
}

void netwatch_lab_track(struct netwatch_lab *lab, const char *dst)
{
	struct err err = {0};
	struct ip_addr addr = netwatch_lab_addr(dst);
	cr_assert_eq(netwatch_track(lab->watch, &addr, &err), 0, "%s", err.message);
}

struct next_hop netwatch_lab_hop(const struct netwatch_lab *lab, const char *dst)
{
	struct next_hop hop = {0};
	struct ip_addr addr = netwatch_lab_addr(dst);
	cr_assert(netwatch_next_hop(lab->watch, &addr, &hop), "%s is not tracked", dst);
	return hop;
}

unsigned netwatch_lab_index(const struct netwatch_lab *lab, const char *link)
{
	struct link_info info;
	cr_assert(netwatch_link_by_name(lab->watch, link, &info), "no link %s", link);
	return info.ifindex;
}

// "via 10.9.0.2 mac 02:00:00:00:00:02", and so on: the hop in one line to compare.
static const char *describe(const struct next_hop *hop, char *text, size_t size)
{
	char gateway[IP_ADDR_TEXT_MAX];
	char source[IP_ADDR_TEXT_MAX];
	char mac[MAC_ADDR_TEXT_MAX];
	if (!hop->has_route)
		snprintf(text, size, "unreachable");
	else if (hop->is_local)
		snprintf(text, size, "local");
	else
		snprintf(text, size, "via %s from %s mac %s",
			 ip_addr_format(&hop->gateway, gateway),
			 ip_addr_format(&hop->source, source),
			 hop->is_resolved ? mac_addr_format(&hop->mac, mac) : "unknown");
	return text;
}

void netwatch_lab_await_hop(struct netwatch_lab *lab, const char *dst, const char *expected)
{
	char text[160];
	uint64_t end_ns = clock_now_ns() + NETWATCH_LAB_PATIENCE_NS;
	for (;;) {
		struct next_hop hop = netwatch_lab_hop(lab, dst);
		if (strcmp(describe(&hop, text, sizeof(text)), expected) == 0)
			return;
		cr_assert_lt(clock_now_ns(), end_ns, "%s is '%s', awaited '%s'", dst, text,
			     expected);
		event_base_loop(lab->base, EVLOOP_ONCE);
	}
}

void netwatch_lab_settle(struct netwatch_lab *lab)
{
	static unsigned n_markers;
	char name[16];
	struct link_info info;
	snprintf(name, sizeof(name), "mark%u", n_markers++);
	cr_assert(netns_run("ip link add %s type veth peer name %sp", name, name));
	uint64_t end_ns = clock_now_ns() + NETWATCH_LAB_PATIENCE_NS;
	unsigned before = lab->n_changes;
	while (!netwatch_link_by_name(lab->watch, name, &info) || lab->n_changes == before) {
		cr_assert_lt(clock_now_ns(), end_ns);
		event_base_loop(lab->base, EVLOOP_ONCE);
	}
}

void netwatch_lab_let_time_pass(struct netwatch_lab *lab)
{
	static const struct timeval interval = {.tv_sec = 1, .tv_usec = 200000};
	event_base_loopexit(lab->base, &interval);
	event_base_dispatch(lab->base);
}
