// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What culvert and its program of the fast path (bpf/fast_path.bpf.c) have in common: memory that
// workers write and the kernel reads on each packet, and the other way round.
//
//	key ──hash──► bucket of cells ──tag──► entry: is it the one? what becomes of the packet?
//
// Workers put entries in and take them out, each its own; the cells of a bucket are everybody's and
// change by compare-and-exchange. What an entry says stays as it is for as long as a cell names it,
// and for a rest after that, when a processor may still be at it; only `version` and what is
// counted change.
#pragma once

#include <linux/types.h>

enum {
	FAST_ENTRIES = 65536, // a flow of passthrough takes two, one for each way
	FAST_CELLS = 8,       // of a bucket: one cache line
	FAST_BUCKETS = FAST_ENTRIES / FAST_CELLS * 2,
	FAST_KEY_WORDS = 10,
	FAST_SEQ_WINDOW = 1 << 20, // how far a segment's numbers may be from those expected
};

// The addresses, ports and protocol of a packet as it comes in. IPv4 is mapped (::ffff:a.b.c.d).
struct fast_key {
	__u32 src_be[4];
	__u32 dst_be[4];
	__u16 src_port_be;
	__u16 dst_port_be;
	__u32 proto;
};

// Upper half: the tag; lower half: the entry's number. 0: nothing.
struct fast_bucket {
	__u64 cells[FAST_CELLS];
};

enum { FAST_HAS_PATH = 1 }; // the packet must come by `rx_ifindex` from `rx_mac`

struct fast_entry {
	// Whose packets; as they must be to take the fast path.
	struct fast_key key;
	__u32 version; // of the snapshot that it was decided by: holds for as long as that does
	__u32 rx_ifindex;
	__u8 rx_mac[6];
	__u8 flags;
	__u8 pad;
	__u32 mtu; // what fits through the way out, bytes of IP packet

	// What becomes of them.
	struct fast_key sent_as;
	__u8 dst_mac[6];
	__u8 src_mac[6];
	__u16 addrs_delta; // as in culvert/net/checksum.h
	__u16 ports_delta;
	__u32 tx_ifindex;
	__u32 pad2;

	// What has been counted; written by the kernel's processors.
	__u64 packets;
	__u64 bytes;   // of IP packets
	__u32 next;    // TCP, host byte order: the number after the last that the sender has sent
	__u32 acked;   // and the last that it has acknowledged
	__u32 n_known; // packets that could be the sender's own; wraps, and may miss some
	__u32 n_lost;  // packets for which there was no memory
	__u32 n_diverted; // packets that the first program has named it for; likewise
	__u32 turn;       // another one for each flow that has had the entry; written by workers
	__u32 pad3[6];
};

_Static_assert(sizeof(struct fast_key) == sizeof(__u32) * FAST_KEY_WORDS, "no holes to be hashed");
_Static_assert(sizeof(struct fast_entry) == 192, "whole cache lines");

// Random words make it impossible to choose packets that meet in one bucket: multilinear hashing,
// whose upper half is strongly universal (Lemire and Kaser 2014, section 3).
struct fast_control {
	__u32 version; // of the snapshot in force; entries of any other are not taken
	__u32 n_flows; // that have entries: without any there is nothing to look for
	__u32 is_cut;  // the second program does not get what the first has named: no more of it
	__u32 token;   // random, not 0: what one program tells the other is this culvert's
	// Other packets of culvert's go no further than the second program. Not where that would
	// stay when culvert is gone.
	__u32 ends_ours;
	__u32 pad;
	__u64 factors[FAST_KEY_WORDS + 1];
};

// The upper half names bucket and tag.
static inline __attribute__((always_inline)) __u32 fast_hash(const struct fast_key *key,
							     const __u64 *factors)
{
	__u64 sum = factors[FAST_KEY_WORDS];
	for (int i = 0; i < 4; i++) {
		sum += factors[i] * key->src_be[i];
		sum += factors[4 + i] * key->dst_be[i];
	}
	sum += factors[8] * ((__u32)key->src_port_be << 16 | key->dst_port_be);
	sum += factors[9] * key->proto;
	return (__u32)(sum >> 32);
}

static inline __attribute__((always_inline)) __u32 fast_bucket_of(__u32 hash)
{
	return hash % FAST_BUCKETS;
}

// Never 0.
static inline __attribute__((always_inline)) __u32 fast_tag_of(__u32 hash)
{
	return hash | 1;
}

static inline __attribute__((always_inline)) __u8 fast_key_equal(const struct fast_key *a,
								 const struct fast_key *b)
{
	__u32 other = (__u32)(a->src_port_be ^ b->src_port_be) |
		      (__u32)(a->dst_port_be ^ b->dst_port_be) | (a->proto ^ b->proto);
	for (int i = 0; i < 4; i++)
		other |= (a->src_be[i] ^ b->src_be[i]) | (a->dst_be[i] ^ b->dst_be[i]);
	return other == 0;
}
