// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The fast path: packets of flows that a worker has made and found established are rewritten here,
// in the kernel, and sent on at once. All that could change a flow, or needs more than a rewriting,
// goes to culvert as ever: SYN, FIN and RST, fragments, IP options, packets that are too long or at
// the end of their life, errors, and whatever no entry (packet/fast_entry.h) is for.
//
// Two programs meet each packet, one right after the other. `divert` decides, and keeps packet
// sockets from taking a copy; `forward` does what the entry says, and ends what is culvert's and
// has none. What the first has found out comes to the second with the packet, in words that the
// kernel keeps for such (skb->cb), under a token that nothing else has.
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
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

#include "packet/fast_entry.h"
#include "parties.bpf.h"

// Of Linux 6.16 and later, with which the sum over the whole packet, if a device has brought one,
// stays right where no header makes up for changed addresses.
#define L4_CSUM_OF_IPV6 (1ULL << 7)

enum {
	DONT_FRAGMENT = 0x4000, // and neither a fragment's offset nor that there are more
	PLAIN_V4 = 0x45,        // version 4, a header without options
	TO_CULVERT = 0,         // of the sockets of a fanout group
	TO_NOBODY = 1,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fast_control);
} fast_control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FAST_BUCKETS);
	__type(key, __u32);
	__type(value, struct fast_bucket);
} fast_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FAST_ENTRIES);
	__type(key, __u32);
	__type(value, struct fast_entry);
} fast_entries SEC(".maps");

// What a packet's headers say.
struct seen {
	struct fast_key key;
	__u8 src_mac[ETH_ALEN];
	bool is_tcp;
	__u32 ip_len;     // with the IP header
	__u32 header_len; // of IP and transport
	__u32 seq;        // TCP
	__u32 ack;
};

enum { FRAME_PAD = 2 }; // so that what follows a link header lies as the compiler expects it

// The most that is plain: one look at it all is cheaper than one for each header.
struct frame_v4 {
	__u8 pad[FRAME_PAD];
	struct ethhdr eth;
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
	};
};

struct frame_v6 {
	__u8 pad[FRAME_PAD];
	struct ethhdr eth;
	struct ipv6hdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
	};
};

enum { LESS_WITH_UDP = sizeof(struct tcphdr) - sizeof(struct udphdr) };

// ---- reading ------------------------------------------------------------------------------------

static __always_inline bool read(const struct __sk_buff *skb, void *frame, __u32 len)
{
	return bpf_skb_load_bytes_relative(skb, 0, frame, len, BPF_HDR_START_MAC) == 0;
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

// RFC 1812 section 5.2.2.
static __always_inline bool is_sum_right(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;
	for (unsigned i = 0; i < sizeof(*ip) / sizeof(*words); i++)
		sum += words[i];
	return fold(sum) == 0xffff;
}

static __always_inline bool read_tcp(struct seen *seen, const struct tcphdr *tcp, __u32 l4)
{
	seen->key.src_port_be = tcp->source;
	seen->key.dst_port_be = tcp->dest;
	seen->is_tcp = true;
	seen->header_len = l4 + tcp->doff * 4;
	seen->seq = bpf_ntohl(tcp->seq);
	seen->ack = bpf_ntohl(tcp->ack_seq);
	return tcp->ack && !tcp->syn && !tcp->fin && !tcp->rst && tcp->doff >= sizeof(*tcp) / 4;
}

static __always_inline bool read_udp(struct seen *seen, const struct udphdr *udp, __u32 l4)
{
	seen->key.src_port_be = udp->source;
	seen->key.dst_port_be = udp->dest;
	seen->header_len = l4 + sizeof(*udp);
	return bpf_ntohs(udp->len) == seen->ip_len - l4;
}

static __always_inline bool read_v4(const struct __sk_buff *skb, struct seen *seen)
{
	struct frame_v4 frame;
	if (!read(skb, &frame.eth, sizeof(frame) - FRAME_PAD) &&
	    !read(skb, &frame.eth, sizeof(frame) - FRAME_PAD - LESS_WITH_UDP))
		return false;
	const struct iphdr *ip = &frame.ip;
	if (*(const __u8 *)ip != PLAIN_V4 || ip->frag_off != bpf_htons(DONT_FRAGMENT) ||
	    ip->ttl <= 1 || !is_sum_right(ip))
		return false;
	__builtin_memcpy(seen->src_mac, frame.eth.h_source, ETH_ALEN);
	seen->key.src_be[2] = seen->key.dst_be[2] = bpf_htonl(MAPPED_V4);
	seen->key.src_be[3] = ip->saddr;
	seen->key.dst_be[3] = ip->daddr;
	seen->key.proto = ip->protocol;
	seen->ip_len = bpf_ntohs(ip->tot_len);
	if (ip->protocol == IPPROTO_TCP)
		return read_tcp(seen, &frame.tcp, sizeof(*ip));
	return ip->protocol == IPPROTO_UDP && read_udp(seen, &frame.udp, sizeof(*ip));
}

static __always_inline bool read_v6(const struct __sk_buff *skb, struct seen *seen)
{
	struct frame_v6 frame;
	if (!read(skb, &frame.eth, sizeof(frame) - FRAME_PAD) &&
	    !read(skb, &frame.eth, sizeof(frame) - FRAME_PAD - LESS_WITH_UDP))
		return false;
	const struct ipv6hdr *ip = &frame.ip;
	if (ip->version != 6 || ip->hop_limit <= 1 || is_mapped(&ip->saddr))
		return false;
	__builtin_memcpy(seen->src_mac, frame.eth.h_source, ETH_ALEN);
	__builtin_memcpy(seen->key.src_be, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(seen->key.dst_be, &ip->daddr, sizeof(ip->daddr));
	seen->key.proto = ip->nexthdr;
	seen->ip_len = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (ip->nexthdr == IPPROTO_TCP)
		return read_tcp(seen, &frame.tcp, sizeof(*ip));
	return ip->nexthdr == IPPROTO_UDP && read_udp(seen, &frame.udp, sizeof(*ip));
}

// Packet sockets get packets behind their link headers: that is where skb->len counts from.
static __always_inline bool read_packet(const struct __sk_buff *skb, struct seen *seen)
{
	bool is_read;
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		is_read = read_v4(skb, seen);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		is_read = read_v6(skb, seen);
	else
		return false;
	return is_read && seen->header_len <= seen->ip_len && seen->ip_len <= skb->len &&
	       (!skb->gso_size || (seen->is_tcp && seen->ip_len == skb->len));
}

// ---- finding ------------------------------------------------------------------------------------

// Workers put no two entries of one tag into a bucket.
static __always_inline struct fast_entry *look_up(const struct fast_control *control,
						  const struct fast_key *key, __u32 *index)
{
	__u32 hash = fast_hash(key, control->factors);
	__u32 number = fast_bucket_of(hash);
	struct fast_bucket *bucket = bpf_map_lookup_elem(&fast_buckets, &number);
	*index = FAST_ENTRIES; // none
	if (!bucket)
		return NULL;
#pragma unroll
	for (int i = 0; i < FAST_CELLS; i++) {
		__u64 cell = *(volatile __u64 *)&bucket->cells[i];
		if (cell >> 32 == fast_tag_of(hash))
			*index = (__u32)cell;
	}
	struct fast_entry *entry = bpf_map_lookup_elem(&fast_entries, index);
	return entry && fast_key_equal(&entry->key, key) ? entry : NULL;
}

// Answers to the client go where it was last seen: whoever seems to be somewhere else now is looked
// at by culvert.
static __always_inline bool is_on_path(const struct __sk_buff *skb, const struct seen *seen,
				       const struct fast_entry *entry)
{
	if (!(entry->flags & FAST_HAS_PATH))
		return true;
	for (int i = 0; i < ETH_ALEN; i++) {
		if (seen->src_mac[i] != entry->rx_mac[i])
			return false;
	}
	return skb->ifindex == entry->rx_ifindex;
}

// What the largest packet on the wire will measure: a super-frame is cut into segments first.
static __always_inline __u32 wire_len(const struct __sk_buff *skb, const struct seen *seen)
{
	__u32 segment = seen->header_len + skb->gso_size;
	return skb->gso_size && segment < seen->ip_len ? segment : seen->ip_len;
}

// The entry for it, if that holds; *index is its number.
static __always_inline struct fast_entry *find(const struct __sk_buff *skb,
					       const struct fast_control *control,
					       struct seen *seen, __u32 *index)
{
	if (!control->n_flows || control->is_cut || !read_packet(skb, seen))
		return NULL;
	struct fast_entry *entry = look_up(control, &seen->key, index);
	if (!entry || entry->version != control->version || wire_len(skb, seen) > entry->mtu ||
	    !is_on_path(skb, seen, entry))
		return NULL;
	return entry;
}

// ---- from one program to the other --------------------------------------------------------------

enum { CB_ENTRY, CB_LENGTHS, CB_SEQ, CB_ACK, CB_TOKEN };

enum { INDEX_BITS = 16, INDEX_MASK = FAST_ENTRIES - 1 }; // the turn is above them

_Static_assert(FAST_ENTRIES == 1 << INDEX_BITS, "half a word names an entry");

static __always_inline void leave_note(struct __sk_buff *skb, const struct seen *seen, __u32 name,
				       __u32 token)
{
	skb->cb[CB_ENTRY] = name;
	skb->cb[CB_LENGTHS] = seen->header_len << 16 | seen->ip_len;
	skb->cb[CB_SEQ] = seen->seq;
	skb->cb[CB_ACK] = seen->ack;
	skb->cb[CB_TOKEN] = token;
}

struct note {
	__u32 ip_len;
	__u32 header_len;
	__u32 seq;
	__u32 ack;
	bool is_tcp;
	bool is_v6;
};

static __always_inline void take_note(struct __sk_buff *skb, const struct fast_entry *entry,
				      struct note *note)
{
	note->ip_len = skb->cb[CB_LENGTHS] & 0xffff;
	note->header_len = skb->cb[CB_LENGTHS] >> 16;
	note->seq = skb->cb[CB_SEQ];
	note->ack = skb->cb[CB_ACK];
	note->is_tcp = entry->key.proto == IPPROTO_TCP;
	note->is_v6 = skb->protocol == bpf_htons(ETH_P_IPV6);
	skb->cb[CB_TOKEN] = 0;
}

// ---- counting -----------------------------------------------------------------------------------

static __always_inline bool is_near(__u32 number, __u32 expected)
{
	return number - expected + FAST_SEQ_WINDOW <= 2U * FAST_SEQ_WINDOW;
}

static __always_inline void advance(__u32 *number, __u32 to)
{
	if ((__s32)(to - *number) > 0)
		*number = to;
}

// As the flow table does for a segment that is about nothing but how far a connection is.
static __always_inline void count(struct fast_entry *entry, const struct note *note)
{
	__sync_fetch_and_add(&entry->packets, 1);
	__sync_fetch_and_add(&entry->bytes, note->ip_len);
	if (note->is_tcp) {
		if (!is_near(note->seq, entry->next) && !is_near(note->ack, entry->acked))
			return;
		advance(&entry->next, note->seq + note->ip_len - note->header_len);
		advance(&entry->acked, note->ack);
	}
	entry->n_known++;
}

// ---- rewriting ----------------------------------------------------------------------------------

// With the addresses, of which IPv6 has no sum in its header that would make up for them. Older
// kernels do not know that.
static __always_inline long update_for_addrs(struct __sk_buff *skb, __u32 at, __u16 delta,
					     __u64 flags, bool is_v6)
{
	flags |= BPF_F_PSEUDO_HDR;
	if (!is_v6)
		return bpf_l4_csum_replace(skb, at, 0, delta, flags);
	long code = bpf_l4_csum_replace(skb, at, 0, delta, flags | L4_CSUM_OF_IPV6);
	if (code != -EINVAL)
		return code;
	code = bpf_l4_csum_replace(skb, at, 0, delta, flags);
	bpf_csum_update(skb, delta);
	return code;
}

// Checksums that are left to hardware, or stand for the whole packet, are the helpers' to know.
// False when there is no memory.
static __always_inline bool update_transport(struct __sk_buff *skb, const struct fast_entry *entry,
					     const struct note *note)
{
	__u32 l4 = sizeof(struct ethhdr) +
		   (note->is_v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	__u32 at = l4 +
		   (note->is_tcp ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check));
	__u64 flags = note->is_tcp ? 0 : BPF_F_MARK_MANGLED_0;
	if (note->is_v6) // the hop limit, which no sum in the header makes up for
		bpf_csum_update(skb, (__u16)~bpf_htons(1));
	if (!entry->addrs_delta && !entry->ports_delta)
		return true; // as in method l2: nothing is changed
	return update_for_addrs(skb, at, entry->addrs_delta, flags, note->is_v6) == 0 &&
	       bpf_l4_csum_replace(skb, at, 0, entry->ports_delta, flags) == 0;
}

// One from the time to live; RFC 1624 equation 3.
static __always_inline void rewrite_v4(struct iphdr *ip, const struct fast_entry *entry)
{
	__u16 *ttl = (__u16 *)&ip->ttl; // with the protocol
	__u32 sum = (__u16)~ip->check + (__u32)entry->addrs_delta + (__u16) ~*ttl;
	ip->ttl--;
	ip->check = ~fold(sum + *ttl);
	ip->saddr = entry->sent_as.src_be[3];
	ip->daddr = entry->sent_as.dst_be[3];
}

static __always_inline void rewrite_v6(struct ipv6hdr *ip, const struct fast_entry *entry)
{
	ip->hop_limit--;
	__builtin_memcpy(&ip->saddr, entry->sent_as.src_be, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, entry->sent_as.dst_be, sizeof(ip->daddr));
}

// Padding is a link's own (RFC 894), and nobody else's to read. False when there is no memory.
static __always_inline bool cut_padding(struct __sk_buff *skb, const struct note *note)
{
	__u32 len = sizeof(struct ethhdr) + note->ip_len;
	return skb->len <= len || bpf_skb_change_tail(skb, len, 0) == 0;
}

// False with nothing changed where the headers do not lie side by side.
static __always_inline bool rewrite_headers(struct __sk_buff *skb, const struct fast_entry *entry,
					    const struct note *note)
{
	// The kernel makes pointers of these numbers.
	void *data = (void *)(long)skb->data;    // NOLINT(performance-no-int-to-ptr)
	void *end = (void *)(long)skb->data_end; // NOLINT(performance-no-int-to-ptr)
	struct ethhdr *eth = data;
	struct ports *ports;
	if (note->is_v6) {
		struct ipv6hdr *ip = (void *)(eth + 1);
		ports = (void *)(ip + 1);
		if ((void *)(ports + 1) > end)
			return false;
		rewrite_v6(ip, entry);
	} else {
		struct iphdr *ip = (void *)(eth + 1);
		ports = (void *)(ip + 1);
		if ((void *)(ports + 1) > end)
			return false;
		rewrite_v4(ip, entry);
	}
	ports->src = entry->sent_as.src_port_be;
	ports->dst = entry->sent_as.dst_port_be;
	__builtin_memcpy(eth->h_dest, entry->dst_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, entry->src_mac, ETH_ALEN);
	return true;
}

static __always_inline bool rewrite(struct __sk_buff *skb, const struct fast_entry *entry,
				    const struct note *note)
{
	return rewrite_headers(skb, entry, note) ||
	       (bpf_skb_pull_data(skb, sizeof(struct ethhdr) + note->header_len) == 0 &&
		rewrite_headers(skb, entry, note));
}

// ---- the programs -------------------------------------------------------------------------------

static __always_inline const struct fast_control *find_control(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&fast_control, &zero);
}

// Of a fanout group whose second socket takes nothing.
SEC("socket")
int divert(struct __sk_buff *skb)
{
	struct seen seen = {};
	__u32 index;
	const struct fast_control *control = find_control();
	if (skb->pkt_type == PACKET_OUTGOING)
		return TO_NOBODY;
	if (!control)
		return TO_CULVERT;
	struct fast_entry *entry = find(skb, control, &seen, &index);
	if (!entry)
		return TO_CULVERT;
	entry->n_diverted++;
	leave_note(skb, &seen, entry->turn << INDEX_BITS | index, control->token);
	return TO_NOBODY;
}

// What is surely culvert's has come to its packet sockets, and nobody else is to see it. Firewall
// rules behind this program do the same, and more, but take longer.
static __always_inline int end_ours(struct __sk_buff *skb, const struct fast_control *control)
{
	// The kernel makes pointers of these numbers.
	void *data = (void *)(long)skb->data;    // NOLINT(performance-no-int-to-ptr)
	void *end = (void *)(long)skb->data_end; // NOLINT(performance-no-int-to-ptr)
	struct plain plain = {};
	if (!control->ends_ours || skb->vlan_present || !plain_read(&plain, data, end) ||
	    !is_surely_ours(&plain))
		return TC_ACT_UNSPEC;
	return TC_ACT_SHOT;
}

SEC("tc")
int forward(struct __sk_buff *skb)
{
	struct note note;
	const struct fast_control *control = find_control();
	if (!control)
		return TC_ACT_UNSPEC;
	if (skb->cb[CB_TOKEN] != control->token)
		return end_ours(skb, control);
	__u32 name = skb->cb[CB_ENTRY];
	__u32 index = name & INDEX_MASK;
	struct fast_entry *entry = bpf_map_lookup_elem(&fast_entries, &index);
	if (!entry || (entry->turn << INDEX_BITS | index) != name)
		return TC_ACT_UNSPEC;
	take_note(skb, entry, &note);
	if (!cut_padding(skb, &note) || !update_transport(skb, entry, &note) ||
	    !rewrite(skb, entry, &note)) {
		__sync_fetch_and_add(&entry->n_lost, 1);
		return TC_ACT_SHOT;
	}
	count(entry, &note);
	return (int)bpf_redirect(entry->tx_ifindex, 0);
}

const char _license[] SEC("license") = "GPL";
