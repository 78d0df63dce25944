// SPDX-License-Identifier: Apache-2.0
// How frames come in and go out: a table of functions per driver. Nothing above it knows which one
// is at work, so the tests run the whole packet path over capture files.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/net/addr.h"

struct io;
struct packet;

// A network interface, or a pair of capture files.
struct io_link {
	const char *name; // interface, or the capture file to read
	unsigned ifindex;
	const char *filter;   // pcap filter expression; NULL: every frame
	const char *write_to; // io_pcap: the capture file to write
	// io_afpacket: a BPF program that returns 1 for what is not to be captured, although the
	// filter says so; 0: none, which no program has (main.c). Borrowed for the call.
	int divert_fd;
};

// Whose packets are surely culvert's, but for fragments and ICMP errors. Borrowed for a call.
struct io_scope {
	const struct endpoint *vips; // clients send to one of these
	size_t n_vips;
	// Replies come from one of these to an address of ours and a port of the NAT range.
	const struct endpoint *backends;
	size_t n_backends;
	const struct ip_addr *own;
	size_t n_own;
	uint16_t nat_port_min; // host byte order, inclusive
	uint16_t nat_port_max;
};

struct io_driver {
	const char *name;

	// Called by: control. `links` is borrowed for the call.
	int (*open)(struct io **io, const struct io_link *links, uint32_t n_links, struct err *err);
	void (*close)(struct io *io); // no thread uses it any more; NULL is legal

	// Fill up to `n` empty packets (frame, len, vnet) with what has come in on `link`. Never
	// blocks. Returns how many, or -ENODATA when nothing will ever come again.
	// Called by: the capturing thread.
	int (*recv_burst)(struct io *io, uint32_t link, struct packet *const *packets, uint32_t n);

	// Sleep until something may have come in on some link, `wake_fd` becomes readable, or the
	// time is over; it may end for nothing. Called by: the capturing thread.
	void (*wait)(struct io *io, int wake_fd, int timeout_ms);

	// Send `n` packets on `link`, in order. A packet that cannot be sent gets its verdict
	// changed to DROP_TX_FULL or DROP_TX_ERROR. Called by: the transmitting thread.
	void (*send_burst)(struct io *io, uint32_t link, struct packet *const *packets, uint32_t n);

	// Let another pcap filter expression decide what comes in on all links from now on; nothing
	// is lost in between. NULL: the driver has none. 0 or -errno; on failure some links may
	// have it. Called by: control.
	int (*set_filter)(struct io *io, const char *filter, struct err *err);

	// A hint whose packets to bring by a shorter way, after set_filter() for the same; others
	// come as ever. NULL: there is one way only. 0 or -errno, likewise.
	int (*set_scope)(struct io *io, const struct io_scope *scope, struct err *err);

	// Take back what recv_burst() has lent to packets: their frames may lie in memory of the
	// driver. Packets that have nothing of it are passed over. NULL: it lends nothing.
	// Called by: the capturing thread.
	void (*release)(struct io *io, struct packet *const *packets, uint32_t n);

	// Frames that came in and could not be queued, since the start. A link may have come to a
	// stop by it that only recv_burst() can end, so capture is to be woken up when there are
	// more. Called by: control.
	uint64_t (*kernel_drops)(struct io *io);
};

// The longest packets that AF_XDP sockets carry; others come by packet sockets.
enum { IO_XDP_MTU_MAX = 3762 };

extern const struct io_driver io_afpacket; // packet sockets; needs CAP_NET_RAW
extern const struct io_driver io_afxdp;    // AF_XDP sockets beside them; needs CAP_BPF as well
extern const struct io_driver io_pcap;     // capture files, for tests, replay and benchmarks
