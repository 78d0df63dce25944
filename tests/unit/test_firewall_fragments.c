// SPDX-License-Identifier: Apache-2.0
// Fragments, of which only the first has ports that a rule could know.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "lib/firewall_lab.h"

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

Test(firewall_fragments, takes_no_later_fragment_for_a_port)
{
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	// The payload of this second and last fragment looks like ports of a frontend's client. The
	// rest comes after it as a first fragment of a flow that no rule names.
	struct udphdr like_ports = {.source = htons(5000), .dest = htons(53)};
	struct udphdr first = {.source = htons(5000), .dest = htons(54), .len = htons(16)};
	int receiver = firewall_lab_socket(0, "10.9.0.1:54");
	send_fragment(peer, 1, &like_ports);
	send_fragment(peer, IP_MF, &first);
	cr_expect(firewall_lab_has_input(receiver, FIREWALL_LAB_AWAIT_MS),
		  "the two fragments did not come together");

	// A first fragment has ports and is dropped by them.
	first.dest = htons(53);
	int dropped = firewall_lab_socket(0, "10.9.0.1:53");
	send_fragment(peer, IP_MF, &first);
	send_fragment(peer, 1, &like_ports);
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:55"));
	cr_expect_not(firewall_lab_has_input(dropped, 0));
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

Test(firewall_fragments, later_fragments_of_what_is_ours_do_not_wait_in_the_kernel)
{
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	struct udphdr first = {.source = htons(5000), .dest = htons(53), .len = htons(16)};
	struct udphdr rest = {0};
	send_fragment_of(peer, 1, IP_MF, &first);
	send_fragment_of(peer, 1, 1, &rest);
	first = (struct udphdr){.source = htons(8080), .dest = htons(40005), .len = htons(16)};
	send_fragment_of(peer, 2, IP_MF, &first);
	send_fragment_of(peer, 2, 1, &rest);
	cr_expect(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:55"));
	cr_expect_eq(n_put_by(), 0);

	// Others with the same ports of another service, and of what looks like the same datagram.
	int receiver = firewall_lab_socket(0, "10.9.0.1:54");
	first.dest = htons(54);
	send_fragment_of(peer, 3, IP_MF, &first);
	send_fragment_of(peer, 3, 1, &rest);
	cr_expect(firewall_lab_has_input(receiver, FIREWALL_LAB_AWAIT_MS));
	cr_expect_eq(n_put_by(), 2);
	close(receiver);
	firewall_close(firewall);
}

// Datagrams of 4000 bytes, which the sender cuts.
static void send_large(pid_t peer, const char *from, const char *to)
{
	static const char large[4000];
	int sender = firewall_lab_socket(peer, from);
	firewall_lab_send(sender, to, large, sizeof(large));
	close(sender);
}

Test(firewall_fragments, large_datagrams_of_both_families_are_ours_or_are_not)
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
	pid_t peer = firewall_lab_enter();
	struct firewall_lab lab;
	firewall_lab_plan(&lab);
	// From here on the neighbours are known.
	cr_assert(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:55"));
	cr_assert(firewall_lab_does_reach(peer, "[fd09::2]:5000", "[fd09::1]:55"));
	struct firewall *firewall = firewall_lab_open(&lab.plan);
	for (size_t i = 0; i < sizeof(datagrams) / sizeof(datagrams[0]); i++) {
		int receiver = firewall_lab_socket(0, datagrams[i].to);
		long before = n_put_by();
		send_large(peer, datagrams[i].from, datagrams[i].to);
		cr_assert(firewall_lab_does_reach(peer, "10.9.0.2:5000", "10.9.0.1:55"));
		cr_expect_eq(n_put_by() - before, datagrams[i].n_put_by, "%s to %s",
			     datagrams[i].from, datagrams[i].to);
		cr_expect_eq(firewall_lab_has_input(receiver, 0), datagrams[i].n_put_by != 0);
		close(receiver);
	}
	firewall_close(firewall);
}
