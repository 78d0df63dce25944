// SPDX-License-Identifier: Apache-2.0
#include "firewall_lab.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../support/lib/netns.h"
#include "culvert/net/sockaddr.h"

pid_t firewall_lab_enter(void)
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

// ---- the plan ----------------------------------------------------------------------------------

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint endpoint;
	cr_assert(endpoint_parse(text, &endpoint), "%s", text);
	endpoint.proto = IPPROTO_UDP;
	return endpoint;
}

void firewall_lab_plan(struct firewall_lab *lab)
{
	static const char *const links[] = {"va"};
	lab->frontends[0] = endpoint_of("10.9.0.1:53");
	lab->frontends[1] = endpoint_of("[fd09::1]:53");
	lab->backends[0] = endpoint_of("10.9.0.2:8080");
	lab->backends[1] = endpoint_of("[fd09::2]:8080");
	lab->snat_addrs[0] = lab->frontends[0].addr;
	lab->snat_addrs[1] = lab->frontends[1].addr;
	lab->plan = (struct firewall_plan){
		.links = links,
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

struct firewall *firewall_lab_open(const struct firewall_plan *plan)
{
	struct firewall *firewall = NULL;
	struct err err = {0};
	cr_assert_eq(firewall_open(&firewall, plan, &err), 0, "%s", err.message);
	return firewall;
}

// ---- datagrams ---------------------------------------------------------------------------------

int firewall_lab_socket(pid_t peer, const char *text)
{
	struct endpoint endpoint = endpoint_of(text);
	struct sockaddr_storage addr;
	socklen_t size = sockaddr_from_endpoint(&endpoint, &addr);
	int type = SOCK_DGRAM | SOCK_CLOEXEC;
	int fd = peer ? netns_peer_socket(peer, addr.ss_family, type, 0)
		      : socket(addr.ss_family, type, 0);
	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, size), 0, "%s", text);
	return fd;
}

void firewall_lab_send(int fd, const char *to, const void *bytes, size_t n)
{
	struct endpoint endpoint = endpoint_of(to);
	struct sockaddr_storage addr;
	socklen_t size = sockaddr_from_endpoint(&endpoint, &addr);
	cr_assert_eq(sendto(fd, bytes, n, 0, (struct sockaddr *)&addr, size), (ssize_t)n);
}

bool firewall_lab_has_input(int fd, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	return poll(&poll_fd, 1, timeout_ms) == 1;
}

bool firewall_lab_does_reach(pid_t peer, const char *from, const char *to)
{
	bool is_v4 = from[0] != '[';
	const char *free_from = is_v4 ? "10.9.0.2:9" : "[fd09::2]:9";
	const char *free_to = is_v4 ? "10.9.0.1:9" : "[fd09::1]:9";
	int sender = firewall_lab_socket(peer, from);
	int receiver = firewall_lab_socket(0, to);
	int sender_behind = firewall_lab_socket(peer, free_from);
	int receiver_behind = firewall_lab_socket(0, free_to);
	firewall_lab_send(sender, to, "x", 1);
	firewall_lab_send(sender_behind, free_to, "x", 1);
	cr_assert(firewall_lab_has_input(receiver_behind, FIREWALL_LAB_AWAIT_MS));
	bool is_there = firewall_lab_has_input(receiver, 0);
	close(sender);
	close(receiver);
	close(sender_behind);
	close(receiver_behind);
	return is_there;
}
