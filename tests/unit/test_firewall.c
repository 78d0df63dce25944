// SPDX-License-Identifier: Apache-2.0
// What the rules drop and what they leave alone, how long they stay, and which plans are refused.
// Fragments: test_firewall_fragments.c.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "lib/firewall_lab.h"

static bool has_table(void)
{
	char *text = netns_output("nft list tables");
	bool is_there = strstr(text, "culvert_") != NULL;
	free(text);
	return is_there;
}

Test(firewall, drops_what_the_plan_names_and_nothing_else)
{
	static const struct {
		const char *from;
		const char *to;
		bool reaches;
	} packets[] = {
		{"10.9.0.2:5000", "10.9.0.1:53", false},
		{"10.9.0.2:5000", "10.9.0.1:54", true},
		{"10.9.0.2:8080", "10.9.0.1:39999", true},
		{"10.9.0.2:8080", "10.9.0.1:40000", false},
		{"10.9.0.2:8080", "10.9.0.1:40010", false},
		{"10.9.0.2:8080", "10.9.0.1:40011", true},
		{"10.9.0.2:8081", "10.9.0.1:40005", true},
		{"[fd09::2]:5000", "[fd09::1]:53", false},
		{"[fd09::2]:5000", "[fd09::1]:54", true},
		{"[fd09::2]:8080", "[fd09::1]:40005", false},
		{"[fd09::2]:8080", "[fd09::1]:40011", true},
	};
	pid_t peer = firewall_lab_enter();
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
		cr_expect(firewall_lab_does_reach(peer, packets[i].from, packets[i].to),
			  "%s to %s, no rules", packets[i].from, packets[i].to);

	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
		cr_expect_eq(firewall_lab_does_reach(peer, packets[i].from, packets[i].to),
			     packets[i].reaches, "%s to %s", packets[i].from, packets[i].to);

	firewall_close(firewall);
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect_not(has_table());
}

Test(firewall, leaves_other_protocols_on_the_same_port_alone)
{
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	lab.frontends[0].proto = IPPROTO_TCP;
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect(netns_run("nsenter -t %d -n ping -q -c 1 -W 5 10.9.0.1 > /dev/null", peer));
	firewall_close(firewall);
}

Test(firewall, packet_sockets_see_dropped_frames)
{
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	int capture = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
	cr_assert_geq(capture, 0);
	struct sockaddr_ll link = {.sll_family = AF_PACKET,
				   .sll_protocol = htons(ETH_P_ALL),
				   .sll_ifindex = (int)if_nametoindex("va")};
	cr_assert_eq(bind(capture, (struct sockaddr *)&link, sizeof(link)), 0);
	cr_assert_not(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));

	struct {
		struct iphdr ip;
		struct udphdr udp;
		uint8_t rest[2048];
	} packet;
	bool is_seen = false;
	while (!is_seen && firewall_lab_has_input(capture, 0)) {
		ssize_t n = recv(capture, &packet, sizeof(packet), 0);
		is_seen = n >= 28 && packet.ip.version == 4 && packet.ip.protocol == IPPROTO_UDP &&
			  packet.udp.dest == htons(53);
	}
	cr_expect(is_seen);
	close(capture);
	firewall_close(firewall);
}

Test(firewall, update_replaces_the_rules_or_leaves_them)
{
	static const char *const missing[] = {"va", "eth77"};
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	struct err err = {0};
	firewall_lab_plan(&lab);
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	lab.frontends[0].port_be = htons(54);
	lab.plan.n_backends = 0;
	cr_assert_eq(firewall_update(firewall, &lab.plan, &err), 0, "%s", err.message);
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect_not(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:54"));
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:8080", "10.9.0.1:40000"));

	lab.frontends[0].port_be = htons(55);
	lab.plan.links = missing;
	lab.plan.n_links = 2;
	cr_assert_neq(firewall_update(firewall, &lab.plan, &err), 0);
	cr_expect_not(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:54"));
	firewall_close(firewall);
}

Test(firewall, dies_with_its_process_and_obeys_no_other)
{
	firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	int ready[2];
	char byte = 0;
	cr_assert_eq(pipe(ready), 0);
	pid_t holder = fork();
	if (holder == 0) {
		struct firewall *firewall = NULL;
		if (firewall_open(&firewall, &lab.plan, NULL) == 0 && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	cr_expect(has_table());
	cr_expect_not(netns_run("nft delete table netdev culvert_%d 2> /dev/null", holder));
	cr_expect_not(netns_run("nft flush table netdev culvert_%d 2> /dev/null", holder));
	(void)netns_run("nft flush ruleset 2> /dev/null");
	cr_expect(has_table());

	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	cr_expect_not(has_table());
}

// A process that installs the plan and is killed.
static void leave_behind(const struct firewall_plan *plan)
{
	int status = 0;
	pid_t holder = fork();
	if (holder == 0) {
		struct firewall *firewall = NULL;
		if (firewall_open(&firewall, plan, NULL) == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	cr_assert_eq(waitpid(holder, &status, 0), holder);
	cr_assert(WIFSIGNALED(status));
}

Test(firewall, rules_that_lapse_outlive_their_process_for_a_while)
{
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	lab.plan.lapse_s = 2;
	leave_behind(&lab.plan);
	cr_expect_not(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect_not(firewall_lab_does_reach(peer, "10.9.0.2:8080", "10.9.0.1:40000"));
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:54"));
	for (int i = 0; i < 100 && !firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53");
	     i++)
		usleep(100000);
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:8080", "10.9.0.1:40000"));
}

Test(firewall, an_update_puts_lapsing_off)
{
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	lab.plan.lapse_s = 1;
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	lab.plan.lapse_s = 1000;
	cr_assert_eq(firewall_update(firewall, &lab.plan, NULL), 0);
	firewall_close(firewall);
	usleep(1500000);
	cr_expect_not(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
}

Test(firewall, what_has_been_left_is_replaced_or_removed)
{
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	struct err err = {0};
	firewall_lab_plan(&lab);
	lab.plan.lapse_s = 1000;
	leave_behind(&lab.plan);
	lab.frontends[0].port_be = htons(54);
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect_not(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:54"));
	firewall_close(firewall);
	cr_expect(has_table());
	cr_expect_eq(firewall_remove_lapsing(&err), 0, "%s", err.message);
	cr_expect_not(has_table());
	cr_expect_eq(firewall_remove_lapsing(&err), 0, "there is nothing: %s", err.message);
}

Test(firewall, both_kinds_stand_beside_each_other)
{
	firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	struct firewall *own = firewall_lab_open(&lab.plan);
	lab.plan.lapse_s = 1000;
	struct firewall *lapsing = firewall_lab_open(&lab.plan);
	firewall_close(own);
	cr_expect(has_table());
	firewall_close(lapsing);
	cr_expect(has_table());
}

static const char *const only_va[] = {"va"};
static const char *const quoted[] = {"v\"a"};
static const char *const absent[] = {"eth77"};
static const struct {
	const char *const *links;
	size_t n_links;
	uint16_t nat_port_min;
	int code;
	const char *message;
} refusals[] = {
	{absent, 1, 40000, -ENODEV, "firewall: link eth77: No such device"},
	{quoted, 1, 40000, -EINVAL, "firewall: unusable link name 'v\"a'"},
	{only_va, 0, 40000, -EINVAL, "firewall: no link to protect"},
	{only_va, 1, 50000, -EINVAL, "firewall: NAT ports 50000-40010 are no range"},
};

Test(firewall, refusals_name_the_reason)
{
	firewall_lab_enter();
	struct firewall_lab lab;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct firewall *firewall = NULL;
		struct err err = {0};
		firewall_lab_plan(&lab);
		lab.plan.links = refusals[i].links;
		lab.plan.n_links = refusals[i].n_links;
		lab.plan.nat_port_min = refusals[i].nat_port_min;
		cr_expect_eq(firewall_open(&firewall, &lab.plan, &err), refusals[i].code);
		cr_expect_str_eq(err.message, refusals[i].message);
		cr_expect_null(firewall);
	}
}

Test(firewall, a_refusal_of_the_kernel_is_one_clear_line)
{
	firewall_lab_enter();
	struct firewall_lab lab;
	struct firewall *firewall = NULL;
	struct err err = {0};
	firewall_lab_plan(&lab);
	cr_assert_eq(seteuid(65534), 0);
	cr_expect_eq(firewall_open(&firewall, &lab.plan, &err), -EPERM);
	cr_expect_str_eq(err.message, "firewall: nftables refuses set-user-id programs");
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(setuid(65534), 0);
	cr_expect_eq(firewall_open(&firewall, &lab.plan, &err), -EPERM);
	cr_expect_null(strchr(err.message, '\n'));
	cr_expect_not_null(strstr(err.message, "Operation not permitted"), "%s", err.message);
	cr_expect_not_null(strstr(err.message, "run as root"), "%s", err.message);
}

Test(firewall, one_nat_port_and_repeated_endpoints_are_fine)
{
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	lab.backends[1] = lab.backends[0];
	lab.frontends[1] = lab.frontends[0];
	lab.plan.nat_port_max = lab.plan.nat_port_min;
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	cr_expect_not(firewall_lab_does_reach(peer, "10.9.0.2:8080", "10.9.0.1:40000"));
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:8080", "10.9.0.1:40001"));
	firewall_close(firewall);
	firewall_close(NULL);
}

Test(firewall, takes_as_many_endpoints_as_a_configuration_may_have)
{
	enum { N_FRONTENDS = 4096, N_BACKENDS = 16384 };
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	struct endpoint *list = calloc(N_FRONTENDS + N_BACKENDS, sizeof(*list));
	for (uint32_t i = 0; i < N_FRONTENDS + N_BACKENDS; i++) {
		list[i] = lab.backends[0];
		list[i].addr = ip_addr_from_v4(htonl(0x0a000000 + i));
	}
	list[N_FRONTENDS - 1] = lab.frontends[0];
	lab.plan.frontends = list;
	lab.plan.n_frontends = N_FRONTENDS;
	lab.plan.backends = list + N_FRONTENDS;
	lab.plan.n_backends = N_BACKENDS;
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	cr_expect_not(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	firewall_close(firewall);
	free(list);
}
