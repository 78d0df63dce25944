// SPDX-License-Identifier: Apache-2.0
// Keeping the kernel out of what culvert forwards: firewall rules for its packets, and its NAT
// ports reserved. Nothing of it with `[firewall] manage = false`.
// Called by: control.
#pragma once

#include "culvert/control/firewall.h"
#include "topology.h"

struct guard {
	struct reserved_ports *ports; // owned
	struct firewall *firewall;    // owned
	uint32_t n_snats;             // source addresses that the rules know
};

// A failure leaves what guard_close() undoes.
int guard_open(struct guard *guard, const struct topology *topology,
	       const struct snapshot *snapshot, struct err *err);
// A route may have brought a source address that the rules do not know yet. 0 or -errno.
int guard_update(struct guard *guard, const struct topology *topology,
		 const struct snapshot *snapshot, struct err *err);
void guard_close(struct guard *guard);
