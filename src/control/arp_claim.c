// SPDX-License-Identifier: Apache-2.0
#include "control/arp_claim.h"

#include <errno.h>
#include <event2/event.h>

#include "control/dsr_check_packet.h"
#include "culvert/base/log.h"

enum { N_QUESTIONS = 3 };

static const struct timeval question_interval = {.tv_usec = 200000};
static const struct mac_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

// A frame that cannot be sent is as one that the network loses: another one follows.
static void send_arp(struct arp_claim *claim, struct check_arp *arp)
{
	struct link_info link;
	struct check_frame frame;
	struct err err = {0};
	if (!netwatch_link(claim->netwatch, claim->ifindex, &link))
		return;
	arp->src_mac = link.mac;
	int code = check_arp_build(arp, &frame, &err);
	if (code)
		log_warn("dsr", "cannot make an ARP packet: %s", err.message);
	else
		(void)packet_tap_send(claim->tap, claim->ifindex, frame.bytes, frame.len);
}

// With no address of its own, lest anybody takes note of it (RFC 5227 section 2.1.1).
static void ask(struct arp_claim *claim)
{
	struct check_arp arp = {
		.is_request = true,
		.dst_mac = broadcast,
		.sender = ip_addr_from_v4(0),
		.target = claim->addr,
	};
	send_arp(claim, &arp);
	claim->n_asked++;
}

// Whoever remembers a former holder learns of the new one (RFC 5227 section 2.3).
static void announce(struct arp_claim *claim)
{
	struct check_arp arp = {
		.is_request = true,
		.dst_mac = broadcast,
		.sender = claim->addr,
		.target = claim->addr,
	};
	send_arp(claim, &arp);
}

static void answer(struct arp_claim *claim, const struct arp_packet *question)
{
	struct check_arp arp = {
		.dst_mac = question->sender_mac,
		.sender = claim->addr,
		.target = question->sender,
	};
	send_arp(claim, &arp);
}

static void enter(struct arp_claim *claim, enum arp_claim_state state)
{
	event_del(&claim->timer);
	claim->state = state;
	claim->on_change(claim->arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct arp_claim *claim = arg;
	if (claim->n_asked < N_QUESTIONS) {
		ask(claim);
		return;
	}
	announce(claim);
	enter(claim, ARP_CLAIM_HELD);
}

void arp_claim_init(struct arp_claim *claim, struct event_base *base)
{
	event_assign(&claim->timer, base, -1, EV_PERSIST, on_timer, claim);
}

int arp_claim_start(struct arp_claim *claim)
{
	claim->state = ARP_CLAIM_NONE;
	if (event_add(&claim->timer, &question_interval))
		return -ENOMEM;
	claim->state = ARP_CLAIM_ASKING;
	claim->n_asked = 0;
	ask(claim);
	return 0;
}

void arp_claim_stop(struct arp_claim *claim)
{
	event_del(&claim->timer);
	claim->state = ARP_CLAIM_NONE;
}

void arp_claim_take(struct arp_claim *claim, unsigned ifindex, const struct arp_packet *arp)
{
	struct link_info link;
	bool is_ours = claim->state == ARP_CLAIM_ASKING || claim->state == ARP_CLAIM_HELD;
	if (!is_ours || ifindex != claim->ifindex ||
	    !netwatch_link(claim->netwatch, ifindex, &link))
		return;
	bool is_held = claim->state == ARP_CLAIM_HELD;
	bool is_probe = ip_addr_is_unspecified(&arp->sender);
	// One who only asks before taking the address is answered once it is held, and stays away.
	if (arp_claims(arp, &claim->addr, &link.mac) && !(is_held && is_probe)) {
		claim->rival = arp->sender_mac;
		enter(claim, ARP_CLAIM_LOST);
		return;
	}
	if (is_held && arp->is_request && ip_addr_equal(&arp->target, &claim->addr))
		answer(claim, arp);
}
