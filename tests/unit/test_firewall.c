// SPDX-License-Identifier: Apache-2.0
// The host under test is 10.9.0.1 on link va; its neighbour 10.9.0.2 on vb lives in a second
// network namespace and plays clients and backends.
#include "culvert/control/firewall.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/lib/netns.h"

enum { AWAIT_MS = 5000 };

static const char *const only_va[] = {"va"};

// The namespaces of one test; they vanish with its process.
static pid_t enter_lab(void)
{
	if (!netns_enter())
		cr_skip("needs root, for a private network namespace");
	pid_t peer = netns_peer_start();
	cr_assert_gt(peer, 0);
	cr_assert(netns_run("ip link add va type veth peer name vb netns %d", peer));
	cr_assert(netns_run("ip addr add 10.9.0.1/24 dev va && "
			    "ip addr add fd09::1/64 dev va nodad && ip link set va up"));
	cr_assert(netns_run("nsenter -t %d -n sh -c 'ip addr add 10.9.0.2/24 dev vb && "
			    "ip addr add fd09::2/64 dev vb nodad && ip link set vb up'",
			    peer));
	return peer;
}

static struct endpoint udp_endpoint(const char *text)
{
	struct endpoint endpoint;
	cr_assert(endpoint_parse(text, &endpoint), "%s", text);
	endpoint.proto = IPPROTO_UDP;
	return endpoint;
}

static struct sockaddr_storage sockaddr_of(const struct endpoint *endpoint)
{
	struct sockaddr_storage storage = {0};
	if (ip_addr_is_v4(&endpoint->addr)) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
		v4->sin_family = AF_INET;
		v4->sin_port = endpoint->port_be;
		v4->sin_addr.s_addr = ip_addr_v4_be(&endpoint->addr);
	} else {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
		v6->sin6_family = AF_INET6;
		v6->sin6_port = endpoint->port_be;
		memcpy(&v6->sin6_addr, endpoint->addr.bytes, sizeof(v6->sin6_addr));
	}
	return storage;
}

// A UDP socket of namespace `peer` (0: this one), bound to "address:port".
static int bound_socket(pid_t peer, const char *text)
{
	struct endpoint endpoint = udp_endpoint(text);
	struct sockaddr_storage addr = sockaddr_of(&endpoint);
	int type = SOCK_DGRAM | SOCK_CLOEXEC;
	int fd = peer ? netns_peer_socket(peer, addr.ss_family, type, 0)
		      : socket(addr.ss_family, type, 0);
	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0, "%s", text);
	return fd;
}

static void send_to(int fd, const char *text)
{
	struct endpoint endpoint = udp_endpoint(text);
	struct sockaddr_storage addr = sockaddr_of(&endpoint);
	cr_assert_eq(sendto(fd, "x", 1, 0, (struct sockaddr *)&addr, sizeof(addr)), 1);
}

static bool has_input(int fd, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	return poll(&poll_fd, 1, timeout_ms) == 1;
}

// Does a datagram from the peer's `from` to our `to` reach a socket? Another one is sent behind it
// between ports that no rule names, over the same link: once that is here, so would be the first.
static bool does_reach(pid_t peer, const char *from, const char *to)
{
	bool is_v4 = from[0] != '[';
	const char *free_from = is_v4 ? "10.9.0.2:9" : "[fd09::2]:9";
	const char *free_to = is_v4 ? "10.9.0.1:9" : "[fd09::1]:9";
	int sender = bound_socket(peer, from);
	int receiver = bound_socket(0, to);
	int sender_behind = bound_socket(peer, free_from);
	int receiver_behind = bound_socket(0, free_to);
	send_to(sender, to);
	send_to(sender_behind, free_to);
	cr_assert(has_input(receiver_behind, AWAIT_MS));
	bool is_there = has_input(receiver, 0);
	close(sender);
	close(receiver);
	close(sender_behind);
	close(receiver_behind);
	return is_there;
}

// 10.9.0.1:53 and [fd09::1]:53 in front of 10.9.0.2:8080 and [fd09::2]:8080.
struct lab_plan {
	struct endpoint frontends[2];
	struct endpoint backends[2];
	struct ip_addr snat_addrs[2];
	struct firewall_plan plan;
};

static void fill_plan(struct lab_plan *lab)
{
	lab->frontends[0] = udp_endpoint("10.9.0.1:53");
	lab->frontends[1] = udp_endpoint("[fd09::1]:53");
	lab->backends[0] = udp_endpoint("10.9.0.2:8080");
	lab->backends[1] = udp_endpoint("[fd09::2]:8080");
	lab->snat_addrs[0] = lab->frontends[0].addr;
	lab->snat_addrs[1] = lab->frontends[1].addr;
	lab->plan = (struct firewall_plan){
		.links = only_va,
		.n_links = 1,
		.frontends = lab->frontends,
		.n_frontends = 2,
		.backends = lab->backends,
		.n_backends = 2,
		.snat_addrs = lab->snat_addrs,
		.n_snat_addrs = 2,
		.nat_port_min = 40000,
		.nat_port_max = 40010,
	};
}

static struct firewall *open_firewall(const struct firewall_plan *plan)
{
	struct firewall *firewall = NULL;
	struct err err = {0};
	cr_assert_eq(firewall_open(&firewall, plan, &err), 0, "%s", err.message);
	return firewall;
}

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
	pid_t peer = enter_lab();
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
		cr_expect(does_reach(peer, packets[i].from, packets[i].to), "%s to %s, no rules",
			  packets[i].from, packets[i].to);

	struct lab_plan lab;
	fill_plan(&lab);
	struct firewall *firewall = open_firewall(&lab.plan);
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
		cr_expect_eq(does_reach(peer, packets[i].from, packets[i].to), packets[i].reaches,
			     "%s to %s", packets[i].from, packets[i].to);

	firewall_close(firewall);
	cr_expect(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect_not(has_table());
}

Test(firewall, leaves_other_protocols_on_the_same_port_alone)
{
	pid_t peer = enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
	lab.frontends[0].proto = IPPROTO_TCP;
	struct firewall *firewall = open_firewall(&lab.plan);
	cr_expect(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect(netns_run("nsenter -t %d -n ping -q -c 1 -W 5 10.9.0.1 > /dev/null", peer));
	firewall_close(firewall);
}

// An IPv4 packet from 10.9.0.2 to 10.9.0.1 that carries 8 bytes, with the given fragment field.
static void send_fragment_of(pid_t peer, uint16_t id, uint16_t fragment,
			     const struct udphdr *payload)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
	} packet = {
		.ip = {.version = 4,
		       .ihl = 5,
		       .ttl = 64,
		       .protocol = IPPROTO_UDP,
		       .id = htons(id),
		       .frag_off = htons(fragment),
		       .saddr = inet_addr("10.9.0.2"),
		       .daddr = inet_addr("10.9.0.1")},
		.udp = *payload,
	};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = packet.ip.daddr};
	int fd = netns_peer_socket(peer, AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	cr_assert_geq(fd, 0);
	cr_assert_eq(sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to)),
		     (ssize_t)sizeof(packet));
	close(fd);
}

static void send_fragment(pid_t peer, uint16_t fragment, const struct udphdr *payload)
{
	send_fragment_of(peer, 77, fragment, payload);
}

Test(firewall, takes_no_later_fragment_for_a_port)
{
	pid_t peer = enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
	struct firewall *firewall = open_firewall(&lab.plan);
	// The payload of this second and last fragment looks like ports of a frontend's client. The
	// rest comes after it as a first fragment of a flow that no rule names.
	struct udphdr like_ports = {.source = htons(5000), .dest = htons(53)};
	struct udphdr first = {.source = htons(5000), .dest = htons(54), .len = htons(16)};
	int receiver = bound_socket(0, "10.9.0.1:54");
	send_fragment(peer, 1, &like_ports);
	send_fragment(peer, IP_MF, &first);
	cr_expect(has_input(receiver, AWAIT_MS), "the two fragments did not come together");

	// A first fragment has ports and is dropped by them.
	first.dest = htons(53);
	int dropped = bound_socket(0, "10.9.0.1:53");
	send_fragment(peer, IP_MF, &first);
	send_fragment(peer, 1, &like_ports);
	cr_expect(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:55"));
	cr_expect_not(has_input(dropped, 0));
	close(receiver);
	close(dropped);
	firewall_close(firewall);
}

// How many fragments the kernel has put by, of both families.
static long n_put_by(void)
{
	char *text = netns_output("awk '/^Ip: [0-9]/ { n += $15 } END { print n }' /proc/net/snmp; "
				  "awk '/^Ip6ReasmReqds/ { print $2 }' /proc/net/snmp6");
	char *end;
	long n = strtol(text, &end, 10);
	n += strtol(end, NULL, 10);
	free(text);
	return n;
}

Test(firewall, later_fragments_of_what_is_ours_do_not_wait_in_the_kernel)
{
	pid_t peer = enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
	struct firewall *firewall = open_firewall(&lab.plan);
	struct udphdr first = {.source = htons(5000), .dest = htons(53), .len = htons(16)};
	struct udphdr rest = {0};
	send_fragment_of(peer, 1, IP_MF, &first);
	send_fragment_of(peer, 1, 1, &rest);
	first = (struct udphdr){.source = htons(8080), .dest = htons(40005), .len = htons(16)};
	send_fragment_of(peer, 2, IP_MF, &first);
	send_fragment_of(peer, 2, 1, &rest);
	cr_expect(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:55"));
	cr_expect_eq(n_put_by(), 0);

	// Others with the same ports of another service, and of what looks like the same datagram.
	int receiver = bound_socket(0, "10.9.0.1:54");
	first.dest = htons(54);
	send_fragment_of(peer, 3, IP_MF, &first);
	send_fragment_of(peer, 3, 1, &rest);
	cr_expect(has_input(receiver, AWAIT_MS));
	cr_expect_eq(n_put_by(), 2);
	close(receiver);
	firewall_close(firewall);
}

// Datagrams of 4000 bytes, which the sender cuts.
static void send_large(pid_t peer, const char *from, const char *to)
{
	static const char large[4000];
	struct endpoint endpoint = udp_endpoint(to);
	struct sockaddr_storage addr = sockaddr_of(&endpoint);
	int sender = bound_socket(peer, from);
	cr_assert_eq(sendto(sender, large, sizeof(large), 0, (struct sockaddr *)&addr,
			    sizeof(addr)),
		     (ssize_t)sizeof(large));
	close(sender);
}

Test(firewall, large_datagrams_of_both_families_are_ours_or_are_not)
{
	static const struct {
		const char *from;
		const char *to;
		long n_put_by;
	} datagrams[] = {
		{"10.9.0.2:5000", "10.9.0.1:53", 0},   {"10.9.0.2:8080", "10.9.0.1:40005", 0},
		{"[fd09::2]:5000", "[fd09::1]:53", 0}, {"[fd09::2]:8080", "[fd09::1]:40005", 0},
		{"10.9.0.2:5000", "10.9.0.1:54", 3},   {"[fd09::2]:5000", "[fd09::1]:54", 3},
	};
	pid_t peer = enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
	cr_assert(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:55")); // neighbours are known
	cr_assert(does_reach(peer, "[fd09::2]:5000", "[fd09::1]:55"));
	struct firewall *firewall = open_firewall(&lab.plan);
	for (size_t i = 0; i < sizeof(datagrams) / sizeof(datagrams[0]); i++) {
		int receiver = bound_socket(0, datagrams[i].to);
		long before = n_put_by();
		send_large(peer, datagrams[i].from, datagrams[i].to);
		cr_assert(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:55"));
		cr_expect_eq(n_put_by() - before, datagrams[i].n_put_by, "%s to %s",
			     datagrams[i].from, datagrams[i].to);
		cr_expect_eq(has_input(receiver, 0), datagrams[i].n_put_by != 0);
		close(receiver);
	}
	firewall_close(firewall);
}

Test(firewall, packet_sockets_see_dropped_frames)
{
	pid_t peer = enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
	struct firewall *firewall = open_firewall(&lab.plan);
	int capture = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
	cr_assert_geq(capture, 0);
	struct sockaddr_ll link = {.sll_family = AF_PACKET,
				   .sll_protocol = htons(ETH_P_ALL),
				   .sll_ifindex = (int)if_nametoindex("va")};
	cr_assert_eq(bind(capture, (struct sockaddr *)&link, sizeof(link)), 0);
	cr_assert_not(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));

	struct {
		struct iphdr ip;
		struct udphdr udp;
		uint8_t rest[2048];
	} packet;
	bool is_seen = false;
	while (!is_seen && has_input(capture, 0)) {
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
	pid_t peer = enter_lab();
	struct lab_plan lab;
	struct err err = {0};
	fill_plan(&lab);
	struct firewall *firewall = open_firewall(&lab.plan);
	lab.frontends[0].port_be = htons(54);
	lab.plan.n_backends = 0;
	cr_assert_eq(firewall_update(firewall, &lab.plan, &err), 0, "%s", err.message);
	cr_expect(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect_not(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:54"));
	cr_expect(does_reach(peer, "10.9.0.2:8080", "10.9.0.1:40000"));

	lab.frontends[0].port_be = htons(55);
	lab.plan.links = missing;
	lab.plan.n_links = 2;
	cr_assert_neq(firewall_update(firewall, &lab.plan, &err), 0);
	cr_expect_not(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:54"));
	firewall_close(firewall);
}

Test(firewall, dies_with_its_process_and_obeys_no_other)
{
	enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
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
	pid_t peer = enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
	lab.plan.lapse_s = 2;
	leave_behind(&lab.plan);
	cr_expect_not(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect_not(does_reach(peer, "10.9.0.2:8080", "10.9.0.1:40000"));
	cr_expect(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:54"));
	for (int i = 0; i < 100 && !does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"); i++)
		usleep(100000);
	cr_expect(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect(does_reach(peer, "10.9.0.2:8080", "10.9.0.1:40000"));
}

Test(firewall, an_update_puts_lapsing_off)
{
	pid_t peer = enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
	lab.plan.lapse_s = 1;
	struct firewall *firewall = open_firewall(&lab.plan);
	lab.plan.lapse_s = 1000;
	cr_assert_eq(firewall_update(firewall, &lab.plan, NULL), 0);
	firewall_close(firewall);
	usleep(1500000);
	cr_expect_not(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
}

Test(firewall, what_has_been_left_is_replaced_or_removed)
{
	pid_t peer = enter_lab();
	struct lab_plan lab;
	struct err err = {0};
	fill_plan(&lab);
	lab.plan.lapse_s = 1000;
	leave_behind(&lab.plan);
	lab.frontends[0].port_be = htons(54);
	struct firewall *firewall = open_firewall(&lab.plan);
	cr_expect(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	cr_expect_not(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:54"));
	firewall_close(firewall);
	cr_expect(has_table());
	cr_expect_eq(firewall_remove_lapsing(&err), 0, "%s", err.message);
	cr_expect_not(has_table());
	cr_expect_eq(firewall_remove_lapsing(&err), 0, "there is nothing: %s", err.message);
}

Test(firewall, both_kinds_stand_beside_each_other)
{
	enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
	struct firewall *own = open_firewall(&lab.plan);
	lab.plan.lapse_s = 1000;
	struct firewall *lapsing = open_firewall(&lab.plan);
	firewall_close(own);
	cr_expect(has_table());
	firewall_close(lapsing);
	cr_expect(has_table());
}

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
	enter_lab();
	struct lab_plan lab;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct firewall *firewall = NULL;
		struct err err = {0};
		fill_plan(&lab);
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
	enter_lab();
	struct lab_plan lab;
	struct firewall *firewall = NULL;
	struct err err = {0};
	fill_plan(&lab);
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
	pid_t peer = enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
	lab.backends[1] = lab.backends[0];
	lab.frontends[1] = lab.frontends[0];
	lab.plan.nat_port_max = lab.plan.nat_port_min;
	struct firewall *firewall = open_firewall(&lab.plan);
	cr_expect_not(does_reach(peer, "10.9.0.2:8080", "10.9.0.1:40000"));
	cr_expect(does_reach(peer, "10.9.0.2:8080", "10.9.0.1:40001"));
	firewall_close(firewall);
	firewall_close(NULL);
}

Test(firewall, takes_as_many_endpoints_as_a_configuration_may_have)
{
	enum { N_FRONTENDS = 4096, N_BACKENDS = 16384 };
	pid_t peer = enter_lab();
	struct lab_plan lab;
	fill_plan(&lab);
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
	struct firewall *firewall = open_firewall(&lab.plan);
	cr_expect_not(does_reach(peer, "10.9.0.2:5000", "10.9.0.1:53"));
	firewall_close(firewall);
	free(list);
}
