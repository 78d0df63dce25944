// SPDX-License-Identifier: Apache-2.0
// Next hops of tracked destinations: the kernel's route, and the neighbour's state from the tables.
// Thread: control. Used by netwatch.c.
// Each destination holds the answer last given, so that only a different one counts as a change.
#include "control/netwatch_tracks.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "control/netwatch_hop.h"
#include "control/netwatch_state.h"
#include "culvert/base/clock.h"
#include "culvert/base/log.h"

enum {
	USABLE_STATES =
		NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP,
	// States in which the kernel itself cares for the entry, or must not be asked to.
	SETTLED_STATES = NUD_REACHABLE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP,
};

static const uint64_t unresolved_interval_ns = 1 * NS_PER_SEC;
static const uint64_t stale_interval_ns = 5 * NS_PER_SEC;

struct track {
	struct ip_addr dst;  // first: the key of the index
	struct next_hop hop; // the answer last given
	struct track *next;  // owned
};

static bool hops_equal(const struct next_hop *a, const struct next_hop *b)
{
	return a->has_route == b->has_route && a->is_local == b->is_local &&
	       a->is_resolved == b->is_resolved && a->ifindex == b->ifindex &&
	       ip_addr_equal(&a->source, &b->source) && ip_addr_equal(&a->gateway, &b->gateway) &&
	       memcmp(&a->mac, &b->mac, sizeof(a->mac)) == 0;
}

// Fill in is_resolved and mac from the tables.
static void resolve_hop(const struct tracks *tracks, struct next_hop *hop)
{
	hop->is_resolved = false;
	hop->mac = (struct mac_addr){0};
	if (!hop->has_route || hop->is_local)
		return;
	const struct neighbour *entry =
		net_state_neighbour(tracks->state, hop->ifindex, &hop->gateway);
	const struct net_link *link = net_state_link(tracks->state, hop->ifindex);
	if (entry && entry->state & USABLE_STATES && entry->has_mac) {
		hop->is_resolved = true;
		hop->mac = entry->mac;
	} else if (link && link->is_noarp && link->has_mac) {
		// Such a link looks at no address; the kernel puts the link's own.
		hop->is_resolved = true;
		hop->mac = link->info.mac;
	}
}

// Out of memory it is as if the kernel had not answered.
static void take_neighbour(void *arg, const struct nlmsghdr *message)
{
	struct net_state *state = arg;
	(void)net_state_apply(state, message);
}

static bool is_settled(const struct neighbour *entry)
{
	return entry && entry->state & SETTLED_STATES;
}

static void provoke_neighbour(struct tracks *tracks, const struct next_hop *hop,
			      struct neighbour *entry)
{
	uint64_t now_ns = clock_now_ns();
	if (now_ns < entry->provoke_at_ns)
		return;
	entry->provoke_at_ns =
		now_ns + (entry->state & NUD_STALE ? stale_interval_ns : unresolved_interval_ns);
	// Ask first: an entry made permanent a moment ago, of which the event is still on its way,
	// must stay that.
	(void)hop_query_neighbour(tracks->rtnl, hop, take_neighbour, tracks->state);
	if (is_settled(entry))
		return;
	int code = hop_provoke_neighbour(tracks->rtnl, hop);
	if (code) {
		char text[IP_ADDR_TEXT_MAX];
		log_debug("netwatch", "cannot have neighbour %s resolved: %s",
			  ip_addr_format(&hop->gateway, text), strerrordesc_np(-code));
	}
}

// Cause a neighbour that is unresolved or stale to be resolved, when it is time for that.
static void provoke_hop(struct tracks *tracks, const struct next_hop *hop)
{
	const struct net_link *link = net_state_link(tracks->state, hop->ifindex);
	if (!hop->has_route || hop->is_local || (link && link->is_noarp))
		return;
	struct neighbour *entry =
		net_state_neighbour_add(tracks->state, hop->ifindex, &hop->gateway);
	if (entry && !is_settled(entry))
		provoke_neighbour(tracks, hop, entry);
	tracks->must_provoke |= !is_settled(entry);
}

// Bring one answer up to date. True when it is another one now.
static bool refresh(struct tracks *tracks, struct track *track, bool looks_up, int *code)
{
	struct next_hop hop = track->hop;
	if (looks_up)
		*code = hop_lookup(tracks->rtnl, &track->dst, &hop);
	provoke_hop(tracks, &hop);
	resolve_hop(tracks, &hop);
	if (hops_equal(&hop, &track->hop))
		return false;
	track->hop = hop;
	return true;
}

int tracks_refresh(struct tracks *tracks, bool looks_up, bool *is_changed)
{
	int code = 0;
	*is_changed = false;
	tracks->must_provoke = false;
	// After a failure the others would only wait as long again.
	for (struct track *track = tracks->first; track; track = track->next)
		*is_changed |= refresh(tracks, track, looks_up && code == 0, &code);
	return code;
}

static int compare_tracks(const void *a, const void *b)
{
	const struct track *left = a;
	const struct track *right = b;
	return memcmp(&left->dst, &right->dst, sizeof(left->dst));
}

static struct track *find_track(const struct tracks *tracks, const struct ip_addr *dst)
{
	struct track key = {.dst = *dst};
	struct track *const *found = tfind(&key, &tracks->index, compare_tracks);
	return found ? *found : NULL;
}

const struct next_hop *tracks_find(const struct tracks *tracks, const struct ip_addr *dst)
{
	const struct track *track = find_track(tracks, dst);
	return track ? &track->hop : NULL;
}

int tracks_add(struct tracks *tracks, const struct ip_addr *dst)
{
	struct track *track = calloc(1, sizeof(*track));
	if (!track)
		return -ENOMEM;
	track->dst = *dst;
	int code = hop_lookup(tracks->rtnl, dst, &track->hop);
	if (code == 0 && !tsearch(track, &tracks->index, compare_tracks))
		code = -ENOMEM;
	if (code) {
		free(track);
		return code;
	}
	track->next = tracks->first;
	tracks->first = track;
	provoke_hop(tracks, &track->hop);
	resolve_hop(tracks, &track->hop);
	return 0;
}

void tracks_remove(struct tracks *tracks, const struct ip_addr *dst)
{
	struct track *track = find_track(tracks, dst);
	if (!track)
		return;
	struct track **place = &tracks->first;
	while (*place != track)
		place = &(*place)->next;
	*place = track->next;
	tdelete(track, &tracks->index, compare_tracks);
	free(track);
}

void tracks_init(struct tracks *tracks, struct rtnl *rtnl, struct net_state *state)
{
	*tracks = (struct tracks){.rtnl = rtnl, .state = state};
}

void tracks_fini(struct tracks *tracks)
{
	tdestroy(tracks->index, free);
	*tracks = (struct tracks){0};
}
