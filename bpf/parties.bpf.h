// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Which packets are surely culvert's: what its firewall rules drop, that is from a client to a VIP,
// and from a backend to an address of ours and a NAT port. Only plain packets of TCP and UDP are
// told; headers with options and fragments never are.
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "packet/parties.h"

enum { FRAGMENT_V4 = 0x3fff, MAPPED_V4 = 0xffff };

// The value tells which of culvert's updates has named it last.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PARTIES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct party);
	__type(value, __u32);
} parties SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct port_range);
} nat_ports SEC(".maps");

// ---- reading ------------------------------------------------------------------------------------

struct ports {
	__be16 src;
	__be16 dst;
};

// Of a packet without options, extension headers and fragments; the roles are still to be named.
struct plain {
	struct party src;
	struct party dst;
	void *l4;     // the transport header
	__u16 l4_len; // with its payload, as the IP header says
};

static __always_inline bool plain_read_ports(struct plain *plain, void *at, void *end, __u8 proto)
{
	struct ports *ports = at;
	if ((void *)(ports + 1) > end || (proto != IPPROTO_TCP && proto != IPPROTO_UDP))
		return false;
	plain->src.port_be = ports->src;
	plain->dst.port_be = ports->dst;
	plain->src.proto = plain->dst.proto = proto;
	plain->l4 = at;
	return true;
}

static __always_inline bool plain_read_v4(struct plain *plain, struct iphdr *ip, void *end)
{
	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl != sizeof(*ip) / 4 ||
	    (ip->frag_off & bpf_htons(FRAGMENT_V4)))
		return false;
	plain->src.addr_be[2] = plain->dst.addr_be[2] = bpf_htonl(MAPPED_V4);
	plain->src.addr_be[3] = ip->saddr;
	plain->dst.addr_be[3] = ip->daddr;
	plain->l4_len = bpf_ntohs(ip->tot_len) - sizeof(*ip);
	return plain_read_ports(plain, ip + 1, end, ip->protocol);
}

// On no wire (RFC 4942 section 2.2), and no different from IPv4 in a key.
static __always_inline bool is_mapped(const struct in6_addr *addr)
{
	return addr->s6_addr32[2] == bpf_htonl(MAPPED_V4) && !addr->s6_addr32[1] &&
	       !addr->s6_addr32[0];
}

static __always_inline bool plain_read_v6(struct plain *plain, struct ipv6hdr *ip, void *end)
{
	if ((void *)(ip + 1) > end || ip->version != 6 || is_mapped(&ip->saddr) ||
	    is_mapped(&ip->daddr))
		return false;
	__builtin_memcpy(plain->src.addr_be, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(plain->dst.addr_be, &ip->daddr, sizeof(ip->daddr));
	plain->l4_len = bpf_ntohs(ip->payload_len);
	return plain_read_ports(plain, ip + 1, end, ip->nexthdr);
}

static __always_inline bool plain_read(struct plain *plain, struct ethhdr *eth, void *end)
{
	if ((void *)(eth + 1) > end)
		return false;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return plain_read_v4(plain, (struct iphdr *)(eth + 1), end);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return plain_read_v6(plain, (struct ipv6hdr *)(eth + 1), end);
	return false;
}

// ---- judging ------------------------------------------------------------------------------------

static __always_inline bool is_known(struct party *party, enum party_role role)
{
	party->role = role;
	return bpf_map_lookup_elem(&parties, party);
}

static __always_inline bool is_reply(struct plain *plain)
{
	__u32 zero = 0;
	struct port_range *range = bpf_map_lookup_elem(&nat_ports, &zero);
	__u16 port = bpf_ntohs(plain->dst.port_be);
	if (!range || port < range->min || port > range->max ||
	    !is_known(&plain->src, PARTY_BACKEND))
		return false;
	struct party own = plain->dst;
	own.port_be = 0;
	own.proto = 0;
	return is_known(&own, PARTY_OWN);
}

static __always_inline bool is_surely_ours(struct plain *plain)
{
	return is_reply(plain) || is_known(&plain->dst, PARTY_VIP);
}
