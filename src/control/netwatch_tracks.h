// SPDX-License-Identifier: Apache-2.0
// The tracked destinations and the answer last given for each. Called by: control.
#pragma once

#include <stdbool.h>

#include "culvert/control/netwatch.h"

struct net_state;
struct rtnl;
struct track;

struct tracks {
	struct rtnl *rtnl;       // borrowed
	struct net_state *state; // borrowed; neighbours are noted there
	struct track *first;     // owned list
	void *index;             // owned: tree of search.h over the same
	bool must_provoke;       // some neighbour is to be resolved, and nothing else tells when
};

// `rtnl` and `state` outlive the tracks.
void tracks_init(struct tracks *tracks, struct rtnl *rtnl, struct net_state *state);
void tracks_fini(struct tracks *tracks); // also when zero-initialised only

// Begin to track: look up the route, provoke the neighbour. 0 or -errno.
int tracks_add(struct tracks *tracks, const struct ip_addr *dst);

void tracks_remove(struct tracks *tracks, const struct ip_addr *dst); // if it is tracked

// Borrowed until the next refresh, or NULL when not tracked.
const struct next_hop *tracks_find(const struct tracks *tracks, const struct ip_addr *dst);

// Bring the answers up to date, looking the routes up again or not, and provoke the neighbours that
// need it and are due. *is_changed: whether any answer is another now, set in any case. 0, or the
// -errno of a lookup, when those after it have not been made.
int tracks_refresh(struct tracks *tracks, bool looks_up, bool *is_changed);
