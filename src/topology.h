// SPDX-License-Identifier: Apache-2.0
// From what the kernel says about the network (netwatch) to what the packet path needs to know
// (registry): which links to capture on, from which addresses to speak, where each backend is.
// Called by: control.
#pragma once

#include "culvert/balance/registry.h"
#include "culvert/control/netwatch.h"

struct topology {
	const struct config *config;               // borrowed
	struct netwatch *netwatch;                 // borrowed
	struct registry *registry;                 // borrowed
	uint32_t n_links;                          // captured on; fixed after topology_find()
	unsigned ifindexes[CONFIG_MAX_INTERFACES]; // by the registry's link index
	char names[CONFIG_MAX_INTERFACES][IFNAMSIZ];
	// One that was captured on and is gone: its sockets and rules do not come back with it.
	// NULL: all are there.
	const char *lost_link;
	// Some backend cannot be reached for want of a source address, until another one gives back
	// its own.
	bool lacks_source;
};

// Find the links and addresses, and fill the registry. Says what the operator has to mend when a
// VIP or a source address is nowhere, a backend is this host, or no link is found.
int topology_find(struct topology *topology, struct err *err);

// Could the packet path serve `config` with the links that it captures on? Nothing changes. 0, or
// -errno with what is in the way, and where in the file.
int topology_check(const struct topology *topology, const struct config *config, struct err *err);
// The registry has taken over another configuration: find the way to those that are new. 0 or
// -errno.
int topology_follow(struct topology *topology, struct err *err);
// A backend's slot is about to be given back.
void topology_forget(struct topology *topology, uint32_t backend);

// Look at every backend's next hop and every link again. True when the registry has changed.
bool topology_refresh(struct topology *topology);
