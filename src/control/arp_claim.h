// SPDX-License-Identifier: Apache-2.0
// An IPv4 address of a connected network that this process has without any interface having it: it
// answers ARP for the address, and the kernel, to which it is nobody's, answers nothing that is
// sent there. Nothing is configured, so nothing is left behind.
//
// Nobody else may have it: that is asked first and watched ever after (RFC 5227). The waits are
// shorter than that document's, which are made for hosts that all boot at once.
//
// Called by: control.
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>

#include "control/packet_tap.h"
#include "culvert/control/netwatch.h"
#include "culvert/net/arp.h"

enum arp_claim_state {
	ARP_CLAIM_NONE,   // not started, or stopped
	ARP_CLAIM_ASKING, // whether anybody has the address
	ARP_CLAIM_HELD,
	ARP_CLAIM_LOST, // somebody else has it: `rival`
};

struct arp_claim;

// The state is HELD or LOST now, and was another before. Last thing in an event of the loop or in
// arp_claim_take().
typedef void (*arp_claim_fn)(void *arg);

// In the caller's memory. Outside: read only.
struct arp_claim {
	struct event timer;
	struct packet_tap *tap;          // borrowed, as netwatch
	const struct netwatch *netwatch; // for the link's MAC
	struct ip_addr addr;
	unsigned ifindex;
	arp_claim_fn on_change;
	void *arg;
	enum arp_claim_state state;
	unsigned n_asked;
	struct mac_addr rival;
};

// The caller fills tap, netwatch, addr, ifindex, on_change and arg first, all else zero.
void arp_claim_init(struct arp_claim *claim, struct event_base *base);
// Begin to ask. Legal in states NONE and LOST. 0 or -ENOMEM, which leaves the state NONE.
int arp_claim_start(struct arp_claim *claim);
void arp_claim_stop(struct arp_claim *claim);

// ARP that came in on a link.
void arp_claim_take(struct arp_claim *claim, unsigned ifindex, const struct arp_packet *arp);
