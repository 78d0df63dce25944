// SPDX-License-Identifier: Apache-2.0
// Keeping the kernel out of what culvert forwards: firewall rules for its packets, and its NAT
// ports, where the mode has any, reserved. Nothing of it with `[firewall] manage = false`.
//
// Connections in DSR mode do not depend on this process, but the kernel would reset each that sends
// a packet to the VIP while there is none. So a second set of rules stays for a while when it ends.
// Called by: control.
#pragma once

#include "cover.h"
#include "culvert/control/firewall.h"
#include "topology.h"

enum {
	GUARD_RESTART_S = 30, // how long the next start may take
	GUARD_CRASH_S = 20,   // and how long at least when this process has not closed anything
	GUARD_REFRESH_S = 60, // how often guard_refresh() is due; it is dear
	GUARD_RETRY_S = 5,    // and when it has failed
};

struct guard {
	struct reserved_ports *ports;                // owned
	struct firewall *firewall;                   // owned
	struct ip_addr snats[CONFIG_MAX_SNAT_ADDRS]; // that the rules know
	uint32_t n_snats;
	struct firewall *restart;                 // owned; NULL in other modes than DSR
	struct firewall_plan restart_plan;        // borrows from the last cover
	const char *names[CONFIG_MAX_INTERFACES]; // borrowed from the topology
};

// A failure leaves what guard_close() undoes.
int guard_open(struct guard *guard, const struct topology *topology, const struct cover *cover,
	       const struct snapshot *snapshot, struct err *err);
// Put rules for `cover` and the snapshot's source addresses in the place of those that there are,
// at once. 0, and `cover` is borrowed until the next update; or -errno, and the rules stay.
int guard_update(struct guard *guard, const struct topology *topology, const struct cover *cover,
		 const struct snapshot *snapshot, struct err *err);
// Has a route brought a source address that the rules do not know yet, or has one gone?
bool guard_lacks(const struct guard *guard, const struct snapshot *snapshot);
// Put off when the rules for the time after this process end. 0 or -errno.
int guard_refresh(struct guard *guard, struct err *err);
void guard_close(struct guard *guard);
