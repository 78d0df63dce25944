// SPDX-License-Identifier: Apache-2.0
// Route lookups and the provoking of neighbours, over rtnetlink.
// Thread: control. Used by netwatch.c for each tracked destination.
#include "control/netwatch_hop.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stddef.h>

static void read_route_attr(struct next_hop *hop, const struct nlattr *attr)
{
	switch (mnl_attr_get_type(attr)) {
	case RTA_OIF:
		hop->ifindex = mnl_attr_get_u32(attr);
		break;
	case RTA_PREFSRC:
		rtnl_attr_addr(attr, &hop->source);
		break;
	case RTA_GATEWAY:
		rtnl_attr_addr(attr, &hop->gateway);
		break;
	case RTA_VIA: { // a gateway of the other family (RFC 5549)
		const struct rtvia *via = mnl_attr_get_payload(attr);
		uint32_t size = mnl_attr_get_payload_len(attr);
		if (size > offsetof(struct rtvia, rtvia_addr))
			rtnl_read_addr(via->rtvia_addr,
				       size - (uint32_t)offsetof(struct rtvia, rtvia_addr),
				       &hop->gateway);
		break;
	}
	default:
		break;
	}
}

static void read_route(void *arg, const struct nlmsghdr *message)
{
	struct next_hop *hop = arg;
	const struct rtmsg *body = mnl_nlmsg_get_payload(message);
	struct nlattr *attr;
	mnl_attr_for_each(attr, message, sizeof(*body)) read_route_attr(hop, attr);
	// Not broadcast, multicast, blackhole and their like.
	hop->is_local = body->rtm_type == RTN_LOCAL;
	hop->has_route = hop->ifindex && (body->rtm_type == RTN_UNICAST || hop->is_local);
}

int hop_lookup(struct rtnl *rtnl, const struct ip_addr *dst, struct next_hop *hop)
{
	struct next_hop found = {.gateway = *dst};
	struct nlmsghdr *request = rtnl_begin(rtnl, RTM_GETROUTE, 0, sizeof(struct rtmsg));
	struct rtmsg *body = mnl_nlmsg_get_payload(request);
	body->rtm_family = rtnl_addr_family(dst);
	body->rtm_dst_len = ip_addr_is_v4(dst) ? 32 : 128;
	rtnl_put_addr(request, RTA_DST, dst);
	int code = rtnl_transact(rtnl, request, read_route, &found);
	// Any other error is the kernel's way to say unreachable, blackhole, prohibited.
	if (code == -ETIMEDOUT || code == -ENOBUFS || code == -ENOMEM)
		return code;
	*hop = code || !found.has_route ? (struct next_hop){0} : found;
	return 0;
}

static struct nlmsghdr *begin_neighbour(struct rtnl *rtnl, const struct next_hop *hop,
					uint16_t type, uint16_t flags, uint8_t neighbour_flags)
{
	struct nlmsghdr *request = rtnl_begin(rtnl, type, flags, sizeof(struct ndmsg));
	struct ndmsg *body = mnl_nlmsg_get_payload(request);
	body->ndm_family = rtnl_addr_family(&hop->gateway);
	body->ndm_ifindex = (int)hop->ifindex;
	body->ndm_flags = neighbour_flags;
	rtnl_put_addr(request, NDA_DST, &hop->gateway);
	return request;
}

int hop_query_neighbour(struct rtnl *rtnl, const struct next_hop *hop, rtnl_reply_fn on_reply,
			void *arg)
{
	struct nlmsghdr *request = begin_neighbour(rtnl, hop, RTM_GETNEIGH, 0, 0);
	return rtnl_transact(rtnl, request, on_reply, arg);
}

int hop_provoke_neighbour(struct rtnl *rtnl, const struct next_hop *hop)
{
	// Without NLM_F_REPLACE and without an address, so nothing of an entry is overwritten.
	struct nlmsghdr *request =
		begin_neighbour(rtnl, hop, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, NTF_USE);
	return rtnl_transact(rtnl, request, NULL, NULL);
}
