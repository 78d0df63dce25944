// SPDX-License-Identifier: Apache-2.0
// An address of a connected network that this process has without any interface having it: it
// answers ARP or neighbour solicitations for the address, and the kernel, to which it is nobody's,
// answers nothing that is sent there. Nothing is configured, so nothing is left behind.
//
// Nobody else may have it: that is asked first and watched ever after (RFC 5227, RFC 4862). The
// waits are shorter than those of RFC 5227, which are made for hosts that all boot at once.
//
// Called by: control.
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>

#include "control/packet_tap.h"
#include "culvert/control/netwatch.h"
#include "culvert/net/neighbour.h"

enum addr_claim_state {
	ADDR_CLAIM_NONE,   // not started, or stopped
	ADDR_CLAIM_ASKING, // whether anybody has the address
	ADDR_CLAIM_HELD,
	ADDR_CLAIM_LOST, // somebody else has it: `rival`
};

struct addr_claim;

// The state is HELD or LOST now, and was another before. Last thing in an event of the loop or in
// addr_claim_take().
typedef void (*addr_claim_fn)(struct addr_claim *claim);

// In the caller's memory. Outside: read only.
struct addr_claim {
	struct event timer;
	struct packet_tap *tap;          // borrowed, as the next two
	const struct netwatch *netwatch; // for the link's MAC
	void *owner;                     // for on_change
	struct ip_addr addr;
	unsigned ifindex;
	addr_claim_fn on_change;
	enum addr_claim_state state;
	unsigned n_asked;
	int group_fd; // IPv6: keeps the link listening to the address's group; -1: none
	struct mac_addr rival;
};

// The caller fills tap, netwatch, owner, addr, ifindex and on_change first, all else zero.
void addr_claim_init(struct addr_claim *claim, struct event_base *base);
// Begin to ask. Legal in states NONE and LOST. 0 or -ENOMEM, which leaves the state NONE.
int addr_claim_start(struct addr_claim *claim);
void addr_claim_stop(struct addr_claim *claim);

// What came in on a link.
void addr_claim_take(struct addr_claim *claim, unsigned ifindex,
		     const struct neighbour_packet *packet);
