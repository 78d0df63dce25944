// SPDX-License-Identifier: Apache-2.0
// The backend's half of direct server return with translated addresses, at the egress of one
// interface (clsact, direct action): what a binding's backend ADDR:PORT sends leaves with the
// source VIP:PORT. dsr-egress.sh loads it and fills the maps; the layouts here are written out
// again in lib/bpf.sh. Addresses are IPv6; those of IPv4 are mapped (::ffff:a.b.c.d).
//
// Checksums are adjusted by the kernel's helpers, which know a partial one (offload) from a
// complete one; sizes do not change, so super-frames of segmentation offload pass whole. A packet
// that cannot be rewritten is dropped: with the wrong source, its receiver would reset the
// connection.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum {
	MAX_BINDINGS = 1024,
	MAX_PEERS = 65536,
	MAX_FRAGMENTED = 4096, // datagrams under way in fragments
	MAX_EXTENSIONS = 8,    // IPv6 extension headers; a packet with more is left alone
	FRAGMENT_OFFSET_V4 = 0x1fff,
	FRAGMENT_MORE_V4 = 0x2000,
	FRAGMENT_OFFSET_V6 = 0xfff8,
	FRAGMENT_MORE_V6 = 0x0001,
};

struct addr {
	__u32 word_be[4];
};

struct endpoint {
	struct addr addr;
	__be16 port_be;
	__u8 proto;
	__u8 zero;
};

// What becomes of a destination.
enum peer_rule { PEER_LEAVE = 0, PEER_TRANSLATE = 1 };

struct binding {
	struct addr vip;
	__be16 port_be;
	__u8 rule; // for destinations that the map of peers does not have
	__u8 zero[5];
	__u64 translated; // packets; a super-frame counts as what it will be cut into
	__u64 bytes;
	__u64 left;    // to destinations that stay untouched
	__u64 dropped; // could not be rewritten
};

// The length counts the bits of the endpoint as well: all of them, then those of the network.
struct peer_key {
	__u32 prefix_bits;
	struct endpoint backend;
	struct addr addr;
};

struct datagram {
	struct addr src;
	struct addr dst;
	__u32 id;
	__u32 proto; // IPv4 only: IPv6 numbers datagrams of all protocols together
};

struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 offset_be;
	__be32 id_be;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BINDINGS);
	__type(key, struct endpoint);
	__type(value, struct binding);
} bindings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_PEERS);
	__type(key, struct peer_key);
	__type(value, __u32);
} peers SEC(".maps");

// Only the first fragment of a datagram has ports. What it was translated to is kept for the
// others, which leave after it.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FRAGMENTED);
	__type(key, struct datagram);
	__type(value, struct addr);
} fragmented SEC(".maps");

struct packet {
	struct datagram datagram;
	__u32 l3;
	__u32 l4;
	__u8 proto;
	bool is_v4;
	bool is_fragment;
	bool is_later_fragment;
};

static __always_inline struct addr map_v4(__be32 addr_be)
{
	return (struct addr){{0, 0, bpf_htonl(0xffff), addr_be}};
}

static __always_inline bool parse_v4(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr header;
	if (bpf_skb_load_bytes(skb, packet->l3, &header, sizeof(header)) != 0 ||
	    header.version != 4 || header.ihl < 5)
		return false;
	__u16 fragment = bpf_ntohs(header.frag_off);
	packet->datagram.src = map_v4(header.saddr);
	packet->datagram.dst = map_v4(header.daddr);
	packet->datagram.id = header.id;
	packet->datagram.proto = header.protocol;
	packet->l4 = packet->l3 + header.ihl * 4U;
	packet->proto = header.protocol;
	packet->is_v4 = true;
	packet->is_fragment = (fragment & (FRAGMENT_MORE_V4 | FRAGMENT_OFFSET_V4)) != 0;
	packet->is_later_fragment = (fragment & FRAGMENT_OFFSET_V4) != 0;
	return true;
}

// One extension header: steps over it. False when the packet is damaged.
static __always_inline bool step_over(struct __sk_buff *skb, struct packet *packet)
{
	struct fragment_header header;
	if (bpf_skb_load_bytes(skb, packet->l4, &header, sizeof(header)) != 0)
		return false;
	if (packet->proto == IPPROTO_FRAGMENT) {
		__u16 offset = bpf_ntohs(header.offset_be);
		packet->datagram.id = header.id_be;
		packet->is_fragment = (offset & (FRAGMENT_MORE_V6 | FRAGMENT_OFFSET_V6)) != 0;
		packet->is_later_fragment = (offset & FRAGMENT_OFFSET_V6) != 0;
		packet->l4 += sizeof(header);
	} else { // the others have their length where that one has a reserved byte
		packet->l4 += (header.reserved + 1U) * 8;
	}
	packet->proto = header.next;
	return true;
}

static __always_inline bool is_extension(__u8 proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS ||
	       proto == IPPROTO_FRAGMENT;
}

static __always_inline bool parse_v6(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6hdr header;
	if (bpf_skb_load_bytes(skb, packet->l3, &header, sizeof(header)) != 0 ||
	    header.version != 6)
		return false;
	__builtin_memcpy(&packet->datagram.src, &header.saddr, sizeof(struct addr));
	__builtin_memcpy(&packet->datagram.dst, &header.daddr, sizeof(struct addr));
	packet->proto = header.nexthdr;
	packet->l4 = packet->l3 + sizeof(header);
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		// What follows in a later fragment is not a header.
		if (packet->is_later_fragment || !is_extension(packet->proto))
			return true;
		if (!step_over(skb, packet))
			return false;
	}
	return packet->is_later_fragment || !is_extension(packet->proto);
}

static __always_inline bool parse(struct __sk_buff *skb, struct packet *packet)
{
	switch (bpf_ntohs((__u16)skb->protocol)) {
	case ETH_P_IP:
		return parse_v4(skb, packet);
	case ETH_P_IPV6:
		return parse_v6(skb, packet);
	default:
		return false;
	}
}

static __always_inline bool is_translated(const struct packet *packet, const struct endpoint *from,
					  const struct binding *binding)
{
	struct peer_key key = {.prefix_bits = 8 * (sizeof(key.backend) + sizeof(key.addr)),
			       .backend = *from,
			       .addr = packet->datagram.dst};
	__u32 *rule = bpf_map_lookup_elem(&peers, &key);
	return (rule ? *rule : binding->rule) == PEER_TRANSLATE;
}

// The source address in the IP header, and the header's checksum.
static __always_inline long set_source(struct __sk_buff *skb, const struct packet *packet,
				       const struct addr *vip, __s64 difference)
{
	if (!packet->is_v4)
		return bpf_skb_store_bytes(skb, packet->l3 + offsetof(struct ipv6hdr, saddr), vip,
					   sizeof(*vip), 0);
	return bpf_l3_csum_replace(skb, packet->l3 + offsetof(struct iphdr, check), 0,
				   (__u64)difference, 0) ||
	       bpf_skb_store_bytes(skb, packet->l3 + offsetof(struct iphdr, saddr),
				   &vip->word_be[3], sizeof(vip->word_be[3]), 0);
}

static __always_inline __s64 checksum_difference(const struct packet *packet, struct addr *vip)
{
	struct addr src = packet->datagram.src;
	return bpf_csum_diff(src.word_be, sizeof(src), vip->word_be, sizeof(*vip), 0);
}

static __always_inline long rewrite(struct __sk_buff *skb, const struct packet *packet,
				    __be16 port_be, struct binding *binding)
{
	// A UDP checksum of zero is none and stays none.
	bool is_udp = packet->proto == IPPROTO_UDP;
	__u32 check = packet->l4 +
		      (is_udp ? offsetof(struct udphdr, check) : offsetof(struct tcphdr, check));
	__u64 flags = is_udp ? BPF_F_MARK_MANGLED_0 : 0;
	__s64 difference = checksum_difference(packet, &binding->vip);
	__be16 new_port_be = binding->port_be;
	return bpf_l4_csum_replace(skb, check, 0, (__u64)difference, flags | BPF_F_PSEUDO_HDR) ||
	       bpf_l4_csum_replace(skb, check, port_be, new_port_be, flags | sizeof(port_be)) ||
	       set_source(skb, packet, &binding->vip, difference) ||
	       bpf_skb_store_bytes(skb, packet->l4, &new_port_be, sizeof(new_port_be), 0);
}

static __always_inline int translate_later_fragment(struct __sk_buff *skb,
						    const struct packet *packet)
{
	struct addr *vip = bpf_map_lookup_elem(&fragmented, &packet->datagram);
	if (!vip)
		return TC_ACT_UNSPEC;
	__s64 difference = checksum_difference(packet, vip);
	return set_source(skb, packet, vip, difference) == 0 ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

// The number of a datagram comes again: what an earlier one was translated to must not stay.
static __always_inline int leave(const struct packet *packet)
{
	if (packet->is_fragment)
		bpf_map_delete_elem(&fragmented, &packet->datagram);
	return TC_ACT_UNSPEC;
}

static __always_inline int translate(struct __sk_buff *skb, const struct packet *packet,
				     __be16 port_be, struct binding *binding)
{
	if (packet->is_fragment &&
	    bpf_map_update_elem(&fragmented, &packet->datagram, &binding->vip, BPF_ANY) != 0)
		goto drop;
	if (rewrite(skb, packet, port_be, binding) != 0)
		goto drop;
	__sync_fetch_and_add(&binding->translated, skb->gso_segs ? skb->gso_segs : 1);
	__sync_fetch_and_add(&binding->bytes, skb->len);
	return TC_ACT_UNSPEC;
drop:
	__sync_fetch_and_add(&binding->dropped, 1);
	return TC_ACT_SHOT;
}

// Others' filters behind this one still have their say: TC_ACT_UNSPEC.
static __always_inline int handle(struct __sk_buff *skb, __u32 l3)
{
	struct packet packet = {.l3 = l3};
	struct endpoint from = {0};
	if (!parse(skb, &packet))
		return TC_ACT_UNSPEC;
	if (packet.is_later_fragment)
		return translate_later_fragment(skb, &packet);
	if ((packet.proto != IPPROTO_TCP && packet.proto != IPPROTO_UDP) ||
	    bpf_skb_load_bytes(skb, packet.l4, &from.port_be, sizeof(from.port_be)) != 0)
		return leave(&packet);
	from.addr = packet.datagram.src;
	from.proto = packet.proto;
	struct binding *binding = bpf_map_lookup_elem(&bindings, &from);
	if (!binding)
		return leave(&packet);
	if (!is_translated(&packet, &from, binding)) {
		__sync_fetch_and_add(&binding->left, 1);
		return leave(&packet);
	}
	return translate(skb, &packet, from.port_be, binding);
}

// For Ethernet.
SEC("tc/ether")
int culvert_dsr(struct __sk_buff *skb)
{
	return handle(skb, ETH_HLEN);
}

// For links whose packets begin with the IP header.
SEC("tc/ip")
int culvert_dsr_ip(struct __sk_buff *skb)
{
	return handle(skb, 0);
}

const char _license[] SEC("license") = "Apache-2.0";
