// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The XDP program of `io = "xdp"`, on each link that culvert captures on: plain packets of TCP and
// UDP that are surely culvert's go to the AF_XDP socket of their queue. All others take the
// kernel's way, where packet sockets see what else is culvert's: fragments, ICMP errors, headers
// with options, frames with tags, frames too long for a chunk, and super-frames.
//
// Compiled twice: with SEES_TAGS it knows tags of VLANs that are not in the frame any more, which
// not every kernel and driver can tell.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "packet/xdp_frame.h"
#include "parties.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, XDP_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

#ifdef SEES_TAGS
// Of Linux 6.8 and later, for a program that is loaded for one device.
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *proto, __u16 *tci) __ksym;
#endif

// Does hardware, or the veth pair's other end, say that it has taken the tag of a VLAN off? Tags of
// priority alone count as well, and their frames go by packet sockets, where they are known.
static __always_inline bool has_lost_tag(struct xdp_md *ctx)
{
#ifdef SEES_TAGS
	__be16 proto;
	__u16 tci;
	return bpf_xdp_metadata_rx_vlan_tag(ctx, &proto, &tci) == 0;
#else
	(void)ctx;
	return false;
#endif
}

// The sum of the pseudo-header, as the place of a checksum has it that is left to hardware.
static __always_inline __u16 sum_pseudo_header(const struct plain *plain)
{
	__u64 sum = (__u64)bpf_htons(plain->src.proto) + bpf_htons(plain->l4_len);
	for (int i = 0; i < 4; i++)
		sum += (__u64)plain->src.addr_be[i] + plain->dst.addr_be[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

// Segments that were joined, or not cut yet, always have such a sum; so do others, which may take
// the same way.
static __always_inline bool may_be_super_frame(const struct plain *plain, void *end)
{
	if (plain->src.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = plain->l4;
		return (void *)(tcp + 1) <= end && tcp->check == sum_pseudo_header(plain);
	}
	struct udphdr *udp = plain->l4;
	return (void *)(udp + 1) <= end && udp->check == sum_pseudo_header(plain);
}

static __always_inline int redirect_to_socket(struct xdp_md *ctx, __u32 frame_max,
					      bool are_super_frames)
{
	// The kernel makes pointers of these numbers.
	void *data = (void *)(long)ctx->data;    // NOLINT(performance-no-int-to-ptr)
	void *end = (void *)(long)ctx->data_end; // NOLINT(performance-no-int-to-ptr)
	struct plain plain = {};
	if (data + frame_max < end || !plain_read(&plain, data, end))
		return XDP_PASS;
	if (!is_surely_ours(&plain))
		return XDP_PASS;
	if (has_lost_tag(ctx) || (are_super_frames && may_be_super_frame(&plain, end)))
		return XDP_PASS;
	// Passed when the queue has no socket.
	return (int)bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

// Of these programs one is loaded: to add a number that is not in the instruction to a pointer of a
// packet wants CAP_PERFMON.
SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	return redirect_to_socket(ctx, XDP_FRAME_MAX, false);
}

SEC("xdp")
int redirect_long(struct xdp_md *ctx)
{
	return redirect_to_socket(ctx, XDP_LONG_FRAME_MAX, false);
}

// Where super-frames come as well, and a short one would pass for an ordinary frame.
SEC("xdp")
int redirect_cut(struct xdp_md *ctx)
{
	return redirect_to_socket(ctx, XDP_FRAME_MAX, true);
}

SEC("xdp")
int redirect_cut_long(struct xdp_md *ctx)
{
	return redirect_to_socket(ctx, XDP_LONG_FRAME_MAX, true);
}

// The kernel lets programs under this licence alone ask drivers about tags.
const char _license[] SEC("license") = "GPL";
