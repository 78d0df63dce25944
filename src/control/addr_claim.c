// SPDX-License-Identifier: Apache-2.0
#include "control/addr_claim.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/dsr_check_packet.h"
#include "culvert/base/log.h"

enum { N_QUESTIONS = 3 };

static const struct timeval question_interval = {.tv_usec = 200000};
static const struct mac_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
static const struct ip_addr all_nodes = {{0xff, 0x02, [15] = 1}}; // RFC 4291 section 2.7.1

static bool is_v4(const struct addr_claim *claim)
{
	return ip_addr_is_v4(&claim->addr);
}

// A frame that cannot be sent is as one that the network loses: another one follows.
static void send_packet(struct addr_claim *claim, struct check_neighbour *packet)
{
	struct link_info link;
	struct check_frame frame;
	struct err err = {0};
	if (!netwatch_link(claim->netwatch, claim->ifindex, &link))
		return;
	packet->src_mac = link.mac;
	int code = check_neighbour_build(packet, &frame, &err);
	if (code)
		log_warn("dsr", "cannot make a neighbour packet: %s", err.message);
	else
		(void)packet_tap_send(claim->tap, claim->ifindex, frame.bytes, frame.len);
}

// With no address of its own, lest anybody takes note of it (RFC 5227 section 2.1.1, RFC 4862
// section 5.4.2).
static void ask(struct addr_claim *claim)
{
	struct ip_addr group = neighbour_solicited_node(&claim->addr);
	struct check_neighbour question = {
		.is_request = true,
		.dst_mac = is_v4(claim) ? broadcast : neighbour_group_mac(&group),
		.sender = is_v4(claim) ? ip_addr_from_v4(0) : (struct ip_addr){{0}},
		.target = claim->addr,
	};
	send_packet(claim, &question);
	claim->n_asked++;
}

// Whoever remembers a former holder learns of the new one (RFC 5227 section 2.3, RFC 4861 section
// 7.2.6).
static void announce(struct addr_claim *claim)
{
	struct check_neighbour news = {
		.is_request = is_v4(claim),
		.dst_mac = is_v4(claim) ? broadcast : neighbour_group_mac(&all_nodes),
		.sender = claim->addr,
		.target = is_v4(claim) ? claim->addr : all_nodes,
	};
	send_packet(claim, &news);
}

// One who asks for IPv6 without an address of its own can be told by telling everybody.
static void answer(struct addr_claim *claim, const struct neighbour_packet *question)
{
	if (!is_v4(claim) && ip_addr_is_unspecified(&question->sender)) {
		announce(claim);
		return;
	}
	struct check_neighbour reply = {
		.dst_mac = question->sender_mac,
		.sender = claim->addr,
		.target = question->sender,
	};
	send_packet(claim, &reply);
}

// Questions for an IPv6 address go to a group, which network cards and switches pass on to its
// members only. The kernel is one as long as this socket is. Networks that pass everything on need
// no member, so a failure is not the end.
static void join_group(struct addr_claim *claim)
{
	struct ip_addr group = neighbour_solicited_node(&claim->addr);
	struct ipv6_mreq member = {.ipv6mr_interface = claim->ifindex};
	memcpy(&member.ipv6mr_multiaddr, group.bytes, sizeof(member.ipv6mr_multiaddr));
	claim->group_fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (claim->group_fd < 0 ||
	    setsockopt(claim->group_fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &member, sizeof(member)))
		log_warn("dsr",
			 "cannot listen for neighbour solicitations: %s; where switches pass them "
			 "on to listeners only, backends will seem not to answer",
			 strerrordesc_np(errno));
}

static void leave_group(struct addr_claim *claim)
{
	if (claim->group_fd >= 0)
		close(claim->group_fd);
	claim->group_fd = -1;
}

static void enter(struct addr_claim *claim, enum addr_claim_state state)
{
	event_del(&claim->timer);
	claim->state = state;
	if (state == ADDR_CLAIM_LOST)
		leave_group(claim);
	claim->on_change(claim);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct addr_claim *claim = arg;
	if (claim->n_asked < N_QUESTIONS) {
		ask(claim);
		return;
	}
	announce(claim);
	enter(claim, ADDR_CLAIM_HELD);
}

void addr_claim_init(struct addr_claim *claim, struct event_base *base)
{
	claim->group_fd = -1;
	event_assign(&claim->timer, base, -1, EV_PERSIST, on_timer, claim);
}

int addr_claim_start(struct addr_claim *claim)
{
	claim->state = ADDR_CLAIM_NONE;
	if (event_add(&claim->timer, &question_interval))
		return -ENOMEM;
	if (!is_v4(claim))
		join_group(claim);
	claim->state = ADDR_CLAIM_ASKING;
	claim->n_asked = 0;
	ask(claim);
	return 0;
}

void addr_claim_stop(struct addr_claim *claim)
{
	event_del(&claim->timer);
	leave_group(claim);
	claim->state = ADDR_CLAIM_NONE;
}

void addr_claim_take(struct addr_claim *claim, unsigned ifindex,
		     const struct neighbour_packet *packet)
{
	struct link_info link;
	bool is_ours = claim->state == ADDR_CLAIM_ASKING || claim->state == ADDR_CLAIM_HELD;
	if (!is_ours || ifindex != claim->ifindex ||
	    !netwatch_link(claim->netwatch, ifindex, &link))
		return;
	bool is_held = claim->state == ADDR_CLAIM_HELD;
	bool is_probe = ip_addr_is_unspecified(&packet->sender);
	// One who only asks before taking the address is answered once it is held, and stays away.
	if (neighbour_claims(packet, &claim->addr, &link.mac) && !(is_held && is_probe)) {
		claim->rival = packet->sender_mac;
		enter(claim, ADDR_CLAIM_LOST);
		return;
	}
	if (is_held && packet->is_request && ip_addr_equal(&packet->target, &claim->addr))
		answer(claim, packet);
}
