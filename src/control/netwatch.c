// SPDX-License-Identifier: Apache-2.0
// Watches links, addresses, neighbours and routes, and keeps the next hops of tracked destinations.
// Thread: control. Fed by rtnetlink; asked by whoever builds snapshots.
// Two sockets: `events` hears the broadcasts and never asks, `rtnl` asks and never hears them. The
// tables follow each event at once. What must be asked for again (routes), and the call of
// on_change, wait for a short timer that gathers a burst.
#include "culvert/control/netwatch.h"

#include <errno.h>
#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "control/netwatch_hop.h"
#include "control/netwatch_state.h"
#include "control/netwatch_tracks.h"
#include "control/rtnl.h"
#include "culvert/base/clock.h"
#include "culvert/base/log.h"

enum {
	EVENT_BYTES_MAX = 32 * 1024,        // of one datagram
	RECEIVES_MAX = 256,                 // per wake-up, then others of the loop have their turn
	RECEIVE_BUFFER_BYTES = 1024 * 1024, // holds a burst of some thousand events
};

static const uint64_t gather_ns = 20 * NS_PER_MS;
static const struct timeval tick_delay = {.tv_sec = 1};

static const int groups[] = {
	RTNLGRP_LINK,        RTNLGRP_NEIGH,      RTNLGRP_IPV4_IFADDR,
	RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
	RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,  RTNLGRP_NEXTHOP,
};

struct netwatch {
	netwatch_change_fn on_change;
	void *arg;                 // borrowed
	struct rtnl *rtnl;         // owned, as the rest
	struct mnl_socket *events; // non-blocking
	struct event *on_readable;
	struct event *on_gathered;
	struct event *on_tick; // pending: something is to be tried again
	struct net_state state;
	struct tracks tracks;
	unsigned changes;         // NET_* since the last update
	bool must_look_again;     // routes are to be looked up once more at the next tick
	uint64_t last_lookups_ns; // how long the last round of lookups took
	_Alignas(struct nlmsghdr) char received[EVENT_BYTES_MAX];
};

// True when an answer is another one now.
static bool refresh_tracks(struct netwatch *watch, bool looks_up)
{
	bool is_changed = false;
	uint64_t start_ns = clock_now_ns();
	int code = tracks_refresh(&watch->tracks, looks_up, &is_changed);
	if (code) {
		static struct log_limit limit = LOG_LIMIT(1);
		log_limited(&limit, LOG_WARN, "netwatch", NULL, "route lookup failed: %s",
			    strerrordesc_np(-code));
		watch->must_look_again = true;
	}
	if (looks_up)
		watch->last_lookups_ns = clock_now_ns() - start_ns;
	return is_changed;
}

// Returns what may be different after it.
static unsigned reload(struct netwatch *watch)
{
	int code = net_state_load(&watch->state, watch->rtnl);
	if (code == 0)
		return NET_LINKS | NET_ADDRS | NET_NEIGHBOURS | NET_ROUTES;
	static struct log_limit limit = LOG_LIMIT(1);
	log_limited(&limit, LOG_WARN, "netwatch", NULL, "dump failed: %s", strerrordesc_np(-code));
	watch->changes |= NET_LOST; // the tick tries again
	return 0;
}

static void tick_later(struct netwatch *watch)
{
	if (!evtimer_pending(watch->on_tick, NULL) && evtimer_add(watch->on_tick, &tick_delay))
		log_error("netwatch", "no memory for a timer: neighbours are no longer asked for");
}

// Act on a gathered set of changes.
static void update(struct netwatch *watch, unsigned changes)
{
	watch->changes = 0;
	if (changes & NET_LOST)
		changes |= reload(watch);
	// A link that goes down is announced before the kernel has removed its routes, and nothing
	// is announced after.
	if (changes & NET_LINKS)
		watch->must_look_again = true;
	bool is_changed = refresh_tracks(watch, changes & (NET_LINKS | NET_ADDRS | NET_ROUTES));
	if (watch->must_look_again || watch->tracks.must_provoke || watch->changes)
		tick_later(watch);
	// Last, so that the callee finds everything in place.
	if (is_changed || changes & (NET_LINKS | NET_ADDRS))
		watch->on_change(watch->arg);
}

static void on_gathered(evutil_socket_t fd, short what, void *arg)
{
	struct netwatch *watch = arg;
	(void)fd;
	(void)what;
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
	watch->on_tick = evtimer_new(base, on_tick, watch);
	if (!watch->on_readable || !watch->on_gathered || !watch->on_tick ||
	    event_add(watch->on_readable, NULL) != 0)
		return err_sys(err, -ENOMEM, "netwatch");
	return 0;
}

// Listen before the dump: what happens during it is then in one of them, or in both.
static int start(struct netwatch *watch, struct event_base *base, struct err *err)
{
	int code = rtnl_open(&watch->rtnl, err);
	if (code)
		return code;
	tracks_init(&watch->tracks, watch->rtnl, &watch->state);
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
	tracks_fini(&watch->tracks);
	free(watch);
}

int netwatch_track(struct netwatch *watch, const struct ip_addr *dst, struct err *err)
{
	if (tracks_find(&watch->tracks, dst))
		return 0;
	char text[IP_ADDR_TEXT_MAX];
	int code = tracks_add(&watch->tracks, dst);
	if (code)
		return err_sys(err, code, "cannot look up the route to %s",
			       ip_addr_format(dst, text));
	// What has been found out about its neighbour may be news for others with the same.
	tick_later(watch);
	return 0;
}

void netwatch_untrack(struct netwatch *watch, const struct ip_addr *dst)
{
	tracks_remove(&watch->tracks, dst);
}

int netwatch_look_up(struct netwatch *watch, const struct ip_addr *dst, struct next_hop *hop,
		     struct err *err)
{
	char text[IP_ADDR_TEXT_MAX];
	int code = hop_lookup(watch->rtnl, dst, hop);
	if (code)
		return err_sys(err, code, "cannot look up the route to %s",
			       ip_addr_format(dst, text));
	return 0;
}

bool netwatch_next_hop(const struct netwatch *watch, const struct ip_addr *dst,
		       struct next_hop *hop)
{
	const struct next_hop *found = tracks_find(&watch->tracks, dst);
	if (found)
		*hop = *found;
	return found;
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

bool netwatch_link_addr(const struct netwatch *watch, unsigned ifindex, size_t i,
			struct link_addr *addr)
{
	const struct net_state *state = &watch->state;
	for (size_t at = 0; at < state->n_addrs; at++) {
		if (state->addrs[at].ifindex != ifindex || i--)
			continue;
		*addr = (struct link_addr){state->addrs[at].addr, state->addrs[at].is_lasting};
		return true;
	}
	return false;
}
