// SPDX-License-Identifier: Apache-2.0
// Watches links, addresses, neighbours and routes, and keeps the next hops of tracked destinations.
// Thread: control. Fed by rtnetlink; asked by whoever builds snapshots.
// Two sockets: `events` hears the broadcasts and never asks, `rtnl` asks and never hears them. The
// tables follow each event at once. What must be asked for again (routes), and the call of
// on_change, wait for a short timer that gathers a burst. Each tracked destination holds the answer
// last given, so that only a different one counts as a change.
#include "culvert/control/netwatch.h"

#include <errno.h>
#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <search.h>
#include <stdlib.h>

#include "control/netwatch_hop.h"
#include "control/netwatch_state.h"
#include "control/rtnl.h"
#include "culvert/base/clock.h"
#include "culvert/base/log.h"

enum {
	EVENT_BYTES_MAX = 32 * 1024,        // of one datagram
	RECEIVES_MAX = 256,                 // per wake-up, then others of the loop have their turn
	RECEIVE_BUFFER_BYTES = 1024 * 1024, // holds a burst of some thousand events
	USABLE_STATES =
		NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP,
	// States in which the kernel itself cares for the entry, or must not be asked to.
	SETTLED_STATES = NUD_REACHABLE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP,
};

static const uint64_t gather_ns = 20 * NS_PER_MS;
static const uint64_t unresolved_interval_ns = 1 * NS_PER_SEC;
static const uint64_t stale_interval_ns = 5 * NS_PER_SEC;
static const struct timeval tick_interval = {.tv_sec = 1};

static const int groups[] = {
	RTNLGRP_LINK,        RTNLGRP_NEIGH,      RTNLGRP_IPV4_IFADDR,
	RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
	RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,  RTNLGRP_NEXTHOP,
};

struct track {
	struct ip_addr dst;  // first: the key of the index
	struct next_hop hop; // the answer last given
	struct track *next;  // owned
};

struct netwatch {
	netwatch_change_fn on_change;
	void *arg;                 // borrowed
	struct rtnl *rtnl;         // owned, as the rest
	struct mnl_socket *events; // non-blocking
	struct event *on_readable;
	struct event *on_gathered;
	struct event *on_tick;
	struct net_state state;
	struct track *tracks;
	void *track_index;        // tree of search.h over the same
	unsigned changes;         // NET_* since the last update
	bool must_look_again;     // routes are to be looked up once more at the next tick
	uint64_t last_lookups_ns; // how long the last round of lookups took
	_Alignas(struct nlmsghdr) char received[EVENT_BYTES_MAX];
};

static bool hops_equal(const struct next_hop *a, const struct next_hop *b)
{
	return a->has_route == b->has_route && a->is_local == b->is_local &&
	       a->is_resolved == b->is_resolved && a->ifindex == b->ifindex &&
	       ip_addr_equal(&a->source, &b->source) && ip_addr_equal(&a->gateway, &b->gateway) &&
	       memcmp(&a->mac, &b->mac, sizeof(a->mac)) == 0;
}

// Fill in is_resolved and mac from the tables.
static void resolve_hop(const struct netwatch *watch, struct next_hop *hop)
{
	hop->is_resolved = false;
	hop->mac = (struct mac_addr){0};
	if (!hop->has_route || hop->is_local)
		return;
	const struct neighbour *entry =
		net_state_neighbour(&watch->state, hop->ifindex, &hop->gateway);
	const struct net_link *link = net_state_link(&watch->state, hop->ifindex);
	if (entry && entry->state & USABLE_STATES && entry->has_mac) {
		hop->is_resolved = true;
		hop->mac = entry->mac;
	} else if (link && link->is_noarp && link->has_mac) {
		// Such a link looks at no address; the kernel puts the link's own.
		hop->is_resolved = true;
		hop->mac = link->info.mac;
	}
}

static void take_neighbour(void *arg, const struct nlmsghdr *message)
{
	struct netwatch *watch = arg;
	watch->changes |= net_state_apply(&watch->state, message);
}

// Cause a neighbour that is unresolved or stale to be resolved, when it is time for that.
static void provoke_hop(struct netwatch *watch, const struct next_hop *hop)
{
	const struct net_link *link = net_state_link(&watch->state, hop->ifindex);
	if (!hop->has_route || hop->is_local || (link && link->is_noarp))
		return;
	struct neighbour *entry =
		net_state_neighbour_add(&watch->state, hop->ifindex, &hop->gateway);
	uint64_t now_ns = clock_now_ns();
	if (!entry || entry->state & SETTLED_STATES || now_ns < entry->provoke_at_ns)
		return;
	entry->provoke_at_ns =
		now_ns + (entry->state & NUD_STALE ? stale_interval_ns : unresolved_interval_ns);
	// Ask first: an entry made permanent a moment ago, of which the event is still on its way,
	// must stay that.
	(void)hop_query_neighbour(watch->rtnl, hop, take_neighbour, watch);
	if (entry->state & SETTLED_STATES)
		return;
	int code = hop_provoke_neighbour(watch->rtnl, hop);
	if (code) {
		char text[IP_ADDR_TEXT_MAX];
		log_debug("netwatch", "cannot have neighbour %s resolved: %s",
			  ip_addr_format(&hop->gateway, text), strerrordesc_np(-code));
	}
}

// Bring one answer up to date. True when it is another one now.
static bool refresh_track(struct netwatch *watch, struct track *track, bool *looks_up)
{
	struct next_hop hop = track->hop;
	int code = *looks_up ? hop_lookup(watch->rtnl, &track->dst, &hop) : 0;
	if (code) {
		// The others would only wait as long again.
		log_warn("netwatch", "route lookup failed: %s", strerrordesc_np(-code));
		*looks_up = false;
		watch->must_look_again = true;
	}
	provoke_hop(watch, &hop);
	resolve_hop(watch, &hop);
	if (hops_equal(&hop, &track->hop))
		return false;
	track->hop = hop;
	return true;
}

static bool refresh_tracks(struct netwatch *watch, bool looks_up)
{
	bool is_changed = false;
	uint64_t start_ns = clock_now_ns();
	for (struct track *track = watch->tracks; track; track = track->next)
		is_changed |= refresh_track(watch, track, &looks_up);
	if (looks_up)
		watch->last_lookups_ns = clock_now_ns() - start_ns;
	return is_changed;
}

// Act on a gathered set of changes.
static void update(struct netwatch *watch, unsigned changes)
{
	watch->changes = 0;
	if (changes & NET_LOST) {
		int code = net_state_load(&watch->state, watch->rtnl);
		if (code) {
			log_warn("netwatch", "dump failed: %s", strerrordesc_np(-code));
			watch->changes |= NET_LOST; // the tick tries again
		}
		changes |= NET_LINKS | NET_ADDRS;
	}
	bool looks_up = changes & (NET_LINKS | NET_ADDRS | NET_ROUTES);
	bool is_changed = refresh_tracks(watch, looks_up);
	// Last, so that the callee finds everything in place.
	if (is_changed || changes & (NET_LINKS | NET_ADDRS))
		watch->on_change(watch->arg);
}

static void on_gathered(evutil_socket_t fd, short what, void *arg)
{
	struct netwatch *watch = arg;
	(void)fd;
	(void)what;
	// A link that goes down is announced before the kernel has removed its routes, and nothing
	// is announced after.
	if (watch->changes & NET_LINKS)
		watch->must_look_again = true;
	update(watch, watch->changes);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct netwatch *watch = arg;
	unsigned changes = watch->changes;
	(void)fd;
	(void)what;
	if (watch->must_look_again)
		changes |= NET_ROUTES;
	watch->must_look_again = false;
	update(watch, changes);
}

// With many destinations on a host with busy routes, lookups must not take all of the time.
static void gather(struct netwatch *watch)
{
	uint64_t delay_ns = 4 * watch->last_lookups_ns;
	if (delay_ns < gather_ns)
		delay_ns = gather_ns;
	struct timeval delay = {.tv_sec = (time_t)(delay_ns / NS_PER_SEC),
				.tv_usec = (suseconds_t)(delay_ns % NS_PER_SEC / 1000)};
	if (!evtimer_pending(watch->on_gathered, NULL))
		evtimer_add(watch->on_gathered, &delay);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct netwatch *watch = arg;
	(void)fd;
	(void)what;
	for (int i = 0; i < RECEIVES_MAX; i++) {
		ssize_t n = mnl_socket_recvfrom(watch->events, watch->received,
						sizeof(watch->received));
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) { // ENOBUFS: the kernel had to drop some
			watch->changes |= errno == EINTR ? 0 : NET_LOST;
			continue;
		}
		int left = (int)n;
		const struct nlmsghdr *message = (const struct nlmsghdr *)watch->received;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			watch->changes |= net_state_apply(&watch->state, message);
	}
	if (watch->changes)
		gather(watch);
}

static int open_events(struct netwatch *watch, struct err *err)
{
	watch->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!watch->events || mnl_socket_bind(watch->events, 0, MNL_SOCKET_AUTOPID) < 0)
		return err_sys(err, -errno, "cannot open a rtnetlink socket");
	// A larger buffer only makes losses rarer; without the right to it the default must do.
	int fd = mnl_socket_get_fd(watch->events);
	int bytes = RECEIVE_BUFFER_BYTES;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])) != 0)
			return err_sys(err, -errno, "cannot watch rtnetlink group %d", groups[i]);
	}
	return 0;
}

static int add_to_loop(struct netwatch *watch, struct event_base *base, struct err *err)
{
	watch->on_readable = event_new(base, mnl_socket_get_fd(watch->events), EV_READ | EV_PERSIST,
				       on_readable, watch);
	watch->on_gathered = evtimer_new(base, on_gathered, watch);
	watch->on_tick = event_new(base, -1, EV_PERSIST, on_tick, watch);
	if (!watch->on_readable || !watch->on_gathered || !watch->on_tick ||
	    event_add(watch->on_readable, NULL) != 0 ||
	    event_add(watch->on_tick, &tick_interval) != 0)
		return err_sys(err, -ENOMEM, "netwatch");
	return 0;
}

// Listen before the dump: what happens during it is then in one of them, or in both.
static int start(struct netwatch *watch, struct event_base *base, struct err *err)
{
	int code = rtnl_open(&watch->rtnl, err);
	if (code)
		return code;
	code = open_events(watch, err);
	if (code)
		return code;
	code = net_state_load(&watch->state, watch->rtnl);
	if (code)
		return err_sys(err, code, "cannot list links, addresses and neighbours");
	return add_to_loop(watch, base, err);
}

int netwatch_create(struct netwatch **watch, struct event_base *base, netwatch_change_fn on_change,
		    void *arg, struct err *err)
{
	struct netwatch *created = calloc(1, sizeof(*created));
	if (!created)
		return err_sys(err, -ENOMEM, "netwatch");
	created->on_change = on_change;
	created->arg = arg;
	int code = start(created, base, err);
	if (code) {
		netwatch_destroy(created);
		return code;
	}
	*watch = created;
	return 0;
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void netwatch_destroy(struct netwatch *watch)
{
	if (!watch)
		return;
	free_event(watch->on_readable);
	free_event(watch->on_gathered);
	free_event(watch->on_tick);
	if (watch->events)
		mnl_socket_close(watch->events);
	rtnl_close(watch->rtnl);
	net_state_fini(&watch->state);
	tdestroy(watch->track_index, free);
	free(watch);
}

static int compare_tracks(const void *a, const void *b)
{
	const struct track *left = a;
	const struct track *right = b;
	return memcmp(&left->dst, &right->dst, sizeof(left->dst));
}

static struct track *find_track(const struct netwatch *watch, const struct ip_addr *dst)
{
	struct track key = {.dst = *dst};
	struct track *const *found = tfind(&key, &watch->track_index, compare_tracks);
	return found ? *found : NULL;
}

int netwatch_track(struct netwatch *watch, const struct ip_addr *dst, struct err *err)
{
	if (find_track(watch, dst))
		return 0;
	char text[IP_ADDR_TEXT_MAX];
	struct track *track = calloc(1, sizeof(*track));
	if (!track)
		return err_sys(err, -ENOMEM, "netwatch");
	track->dst = *dst;
	int code = hop_lookup(watch->rtnl, dst, &track->hop);
	if (code == 0 && !tsearch(track, &watch->track_index, compare_tracks))
		code = -ENOMEM;
	if (code) {
		free(track);
		return err_sys(err, code, "cannot look up the route to %s",
			       ip_addr_format(dst, text));
	}
	track->next = watch->tracks;
	watch->tracks = track;
	provoke_hop(watch, &track->hop);
	resolve_hop(watch, &track->hop);
	return 0;
}

bool netwatch_next_hop(const struct netwatch *watch, const struct ip_addr *dst,
		       struct next_hop *hop)
{
	const struct track *track = find_track(watch, dst);
	if (!track)
		return false;
	*hop = track->hop;
	return true;
}

static bool copy_link(const struct net_link *found, struct link_info *link)
{
	if (found)
		*link = found->info;
	return found;
}

bool netwatch_link(const struct netwatch *watch, unsigned ifindex, struct link_info *link)
{
	return copy_link(net_state_link(&watch->state, ifindex), link);
}

bool netwatch_link_by_name(const struct netwatch *watch, const char *name, struct link_info *link)
{
	return copy_link(net_state_link_by_name(&watch->state, name), link);
}

bool netwatch_addr_link(const struct netwatch *watch, const struct ip_addr *addr, unsigned *ifindex)
{
	const struct net_addr *found = net_state_addr(&watch->state, addr);
	if (found)
		*ifindex = found->ifindex;
	return found;
}
