// SPDX-License-Identifier: Apache-2.0
// Tables of links, addresses and neighbours, kept from rtnetlink messages.
// Thread: control. Fed by netwatch.c with dumps and events; read by it for every answer.
// Links and addresses are few and lie in arrays; neighbours can be many and are in a tree.
#include "control/netwatch_state.h"

// net/if.h, which comes first, makes linux/if.h leave out what both define.
#include <linux/if.h>

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rtnl.h"

enum { LOAD_TRIES = 8 };

static struct net_link *find_link(const struct net_state *state, unsigned ifindex)
{
	for (size_t i = 0; i < state->n_links; i++) {
		if (state->links[i].info.ifindex == ifindex)
			return &state->links[i];
	}
	return NULL;
}

static bool links_equal(const struct net_link *a, const struct net_link *b)
{
	return strcmp(a->info.name, b->info.name) == 0 && a->info.mtu == b->info.mtu &&
	       memcmp(&a->info.mac, &b->info.mac, sizeof(a->info.mac)) == 0 &&
	       a->info.is_up == b->info.is_up && a->info.is_loopback == b->info.is_loopback &&
	       a->has_mac == b->has_mac && a->is_noarp == b->is_noarp;
}

// Take the attributes over; those that a message leaves out keep their value.
static void read_link(struct net_link *link, const struct nlmsghdr *message)
{
	const struct ifinfomsg *body = mnl_nlmsg_get_payload(message);
	struct nlattr *attr;
	link->info.is_up = (body->ifi_flags & IFF_UP) && (body->ifi_flags & IFF_LOWER_UP);
	link->info.is_loopback = body->ifi_flags & IFF_LOOPBACK;
	link->info.is_ethernet = body->ifi_type == ARPHRD_ETHER;
	link->is_noarp = body->ifi_flags & IFF_NOARP;
	mnl_attr_for_each(attr, message, sizeof(*body))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			snprintf(link->info.name, sizeof(link->info.name), "%s",
				 mnl_attr_get_str(attr));
			break;
		case IFLA_MTU:
			link->info.mtu = mnl_attr_get_u32(attr);
			break;
		case IFLA_ADDRESS:
			link->has_mac = mnl_attr_get_payload_len(attr) == sizeof(link->info.mac);
			if (link->has_mac)
				memcpy(&link->info.mac, mnl_attr_get_payload(attr),
				       sizeof(link->info.mac));
			break;
		default:
			break;
		}
	}
}

static unsigned apply_link(struct net_state *state, const struct nlmsghdr *message)
{
	const struct ifinfomsg *body = mnl_nlmsg_get_payload(message);
	// A bridge speaks of its ports by the same messages: one that leaves it is "deleted".
	if (body->ifi_family != AF_UNSPEC)
		return 0;
	struct net_link *link = find_link(state, (unsigned)body->ifi_index);
	if (message->nlmsg_type == RTM_DELLINK) {
		if (!link)
			return 0;
		*link = state->links[--state->n_links];
		return NET_LINKS;
	}
	struct net_link told = {.info.ifindex = (unsigned)body->ifi_index};
	if (link)
		told = *link;
	read_link(&told, message);
	if (link && links_equal(link, &told))
		return 0;
	if (!link) {
		struct net_link *links =
			reallocarray(state->links, state->n_links + 1, sizeof(*links));
		if (!links)
			return NET_LOST;
		state->links = links;
		link = &links[state->n_links++];
	}
	*link = told;
	return NET_LINKS;
}

// The bit of IFA_F_TEMPORARY means that an IPv4 address is not the first of its network.
static bool is_lasting(const struct ip_addr *addr, uint32_t flags)
{
	static const uint32_t passing =
		IFA_F_TEMPORARY | IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
	return ip_addr_is_v4(addr) || !(flags & passing);
}

static bool read_addr(struct net_addr *told, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *body = mnl_nlmsg_get_payload(message);
	struct nlattr *attr;
	bool has_local = false;
	bool has_addr = false;
	uint32_t flags = body->ifa_flags;
	told->ifindex = body->ifa_index;
	told->prefix_len = body->ifa_prefixlen;
	// On a point-to-point link IFA_ADDRESS is the other end and IFA_LOCAL is ours.
	mnl_attr_for_each(attr, message, sizeof(*body))
	{
		if (mnl_attr_get_type(attr) == IFA_LOCAL)
			has_local = rtnl_attr_addr(attr, &told->addr);
		else if (mnl_attr_get_type(attr) == IFA_ADDRESS && !has_local)
			has_addr = rtnl_attr_addr(attr, &told->addr);
		else if (mnl_attr_get_type(attr) == IFA_FLAGS &&
			 mnl_attr_get_payload_len(attr) == sizeof(flags))
			flags = mnl_attr_get_u32(attr); // the body has room for eight only
	}
	told->is_lasting = is_lasting(&told->addr, flags);
	return has_local || has_addr;
}

static unsigned apply_addr(struct net_state *state, const struct nlmsghdr *message)
{
	struct net_addr told = {0};
	if (!read_addr(&told, message))
		return 0;
	size_t i = 0;
	while (i < state->n_addrs && !(state->addrs[i].ifindex == told.ifindex &&
				       state->addrs[i].prefix_len == told.prefix_len &&
				       ip_addr_equal(&state->addrs[i].addr, &told.addr)))
		i++;
	bool is_known = i < state->n_addrs;
	bool is_gone = message->nlmsg_type == RTM_DELADDR;
	if (is_known && !is_gone && state->addrs[i].is_lasting != told.is_lasting) {
		state->addrs[i].is_lasting = told.is_lasting;
		return NET_ADDRS;
	}
	if (is_known != is_gone) // lifetimes and the like
		return 0;
	if (is_gone) {
		// The others keep their order: the first of a link is its primary one.
		state->n_addrs--;
		memmove(&state->addrs[i], &state->addrs[i + 1],
			(state->n_addrs - i) * sizeof(*state->addrs));
		return NET_ADDRS;
	}
	struct net_addr *addrs = reallocarray(state->addrs, state->n_addrs + 1, sizeof(*addrs));
	if (!addrs)
		return NET_LOST;
	state->addrs = addrs;
	addrs[state->n_addrs++] = told;
	return NET_ADDRS;
}

static int compare_neighbours(const void *a, const void *b)
{
	const struct neighbour *left = a;
	const struct neighbour *right = b;
	if (left->ifindex != right->ifindex)
		return left->ifindex < right->ifindex ? -1 : 1;
	return memcmp(&left->addr, &right->addr, sizeof(left->addr));
}

static bool read_neighbour(struct neighbour *told, const struct nlmsghdr *message)
{
	const struct ndmsg *body = mnl_nlmsg_get_payload(message);
	struct nlattr *attr;
	bool has_addr = false;
	// Neither a bridge's forwarding table nor addresses that this host answers for.
	if ((body->ndm_family != AF_INET && body->ndm_family != AF_INET6) ||
	    body->ndm_flags & NTF_PROXY)
		return false;
	told->ifindex = (unsigned)body->ndm_ifindex;
	told->state = body->ndm_state;
	mnl_attr_for_each(attr, message, sizeof(*body))
	{
		if (mnl_attr_get_type(attr) == NDA_DST) {
			has_addr = rtnl_attr_addr(attr, &told->addr);
		} else if (mnl_attr_get_type(attr) == NDA_LLADDR &&
			   mnl_attr_get_payload_len(attr) == sizeof(told->mac)) {
			memcpy(&told->mac, mnl_attr_get_payload(attr), sizeof(told->mac));
			told->has_mac = true;
		}
	}
	return has_addr;
}

static unsigned apply_neighbour(struct net_state *state, const struct nlmsghdr *message)
{
	struct neighbour told = {0};
	if (!read_neighbour(&told, message))
		return 0;
	if (message->nlmsg_type == RTM_DELNEIGH) {
		struct neighbour *gone = net_state_neighbour(state, told.ifindex, &told.addr);
		if (!gone)
			return 0;
		tdelete(gone, &state->neighbours, compare_neighbours);
		free(gone);
		return NET_NEIGHBOURS;
	}
	struct neighbour *known = net_state_neighbour_add(state, told.ifindex, &told.addr);
	if (!known)
		return NET_LOST;
	told.provoke_at_ns = known->provoke_at_ns;
	*known = told;
	return NET_NEIGHBOURS;
}

unsigned net_state_apply(struct net_state *state, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return apply_link(state, message);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return apply_addr(state, message);
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		return apply_neighbour(state, message);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
	case RTM_NEWRULE:
	case RTM_DELRULE:
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		return NET_ROUTES;
	default:
		return 0;
	}
}

struct load {
	struct net_state state;
	unsigned changes;
};

static void load_message(void *arg, const struct nlmsghdr *message)
{
	struct load *load = arg;
	load->changes |= net_state_apply(&load->state, message);
}

static int load_once(struct load *load, struct rtnl *rtnl)
{
	static const struct {
		uint16_t type;
		uint32_t body_size;
	} dumps[] = {
		{RTM_GETLINK, sizeof(struct ifinfomsg)},
		{RTM_GETADDR, sizeof(struct ifaddrmsg)},
		{RTM_GETNEIGH, sizeof(struct ndmsg)},
	};
	for (size_t i = 0; i < sizeof(dumps) / sizeof(dumps[0]); i++) {
		int code = rtnl_dump(rtnl, dumps[i].type, dumps[i].body_size, load_message, load);
		if (code)
			return code;
	}
	return load->changes & NET_LOST ? -ENOMEM : 0;
}

int net_state_load(struct net_state *state, struct rtnl *rtnl)
{
	int code = -EINTR;
	for (int i = 0; code == -EINTR && i < LOAD_TRIES; i++) {
		struct load load = {0};
		code = load_once(&load, rtnl);
		if (code) {
			net_state_fini(&load.state);
			continue;
		}
		net_state_fini(state);
		*state = load.state;
	}
	return code;
}

void net_state_fini(struct net_state *state)
{
	free(state->links);
	free(state->addrs);
	tdestroy(state->neighbours, free);
	*state = (struct net_state){0};
}

const struct net_link *net_state_link(const struct net_state *state, unsigned ifindex)
{
	return find_link(state, ifindex);
}

const struct net_link *net_state_link_by_name(const struct net_state *state, const char *name)
{
	for (size_t i = 0; i < state->n_links; i++) {
		if (strcmp(state->links[i].info.name, name) == 0)
			return &state->links[i];
	}
	return NULL;
}

const struct net_addr *net_state_addr(const struct net_state *state, const struct ip_addr *addr)
{
	for (size_t i = 0; i < state->n_addrs; i++) {
		if (ip_addr_equal(&state->addrs[i].addr, addr))
			return &state->addrs[i];
	}
	return NULL;
}

struct neighbour *net_state_neighbour(const struct net_state *state, unsigned ifindex,
				      const struct ip_addr *addr)
{
	struct neighbour key = {.ifindex = ifindex, .addr = *addr};
	struct neighbour *const *found = tfind(&key, &state->neighbours, compare_neighbours);
	return found ? *found : NULL;
}

struct neighbour *net_state_neighbour_add(struct net_state *state, unsigned ifindex,
					  const struct ip_addr *addr)
{
	struct neighbour *entry = net_state_neighbour(state, ifindex, addr);
	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->ifindex = ifindex;
	entry->addr = *addr;
	if (tsearch(entry, &state->neighbours, compare_neighbours))
		return entry;
	free(entry);
	return NULL;
}
