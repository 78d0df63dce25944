// SPDX-License-Identifier: Apache-2.0
// The driver for AF_XDP sockets over a veth pair: va is its link, vb that of a peer in another
// namespace, which sends and receives by a packet socket of its own.
#pragma once

#include "culvert/packet/io.h"
#include "frame.h"
#include "packet/packet_pool.h"

enum {
	XDP_BENCH_PACKETS = PACKET_BURST,
	XDP_BENCH_AWAIT_MS = 5000,
	XDP_BENCH_MTU = 1500,
	XDP_BENCH_VIP = 0x0a010064,
	XDP_BENCH_CLIENT = 0x0a01000b,
	XDP_BENCH_PORT = 53,
	XDP_BENCH_OTHER_PORT = 54, // what the filter has and the scope has not
};

struct xdp_bench {
	struct io *io;
	struct packet_pool pool;
	struct packet *packets[XDP_BENCH_PACKETS];
	const char *link;
	int peer; // the peer's socket
};

// The pair, with the calling process in a namespace of its own. Returns the peer's socket.
int xdp_bench_enter(unsigned mtu);
// Wait until both ends carry frames.
void xdp_bench_await_link(int peer);

// The driver on `link`; xdp_bench_open() does it all.
int xdp_bench_open_driver(struct xdp_bench *bench, struct err *err);
void xdp_bench_open_on(struct xdp_bench *bench, const char *link);
void xdp_bench_open(struct xdp_bench *bench);
void xdp_bench_close(struct xdp_bench *bench);
void xdp_bench_set_scope(struct xdp_bench *bench, size_t n_vips);

// Datagrams to XDP_BENCH_VIP.
struct frame_spec xdp_bench_spec(uint16_t port, uint32_t payload_len);
void xdp_bench_peer_sends_spec(const struct xdp_bench *bench, const struct frame_spec *spec);
void xdp_bench_peer_sends(const struct xdp_bench *bench, uint16_t port, uint32_t payload_len);
// The next frame that the link has sent; returns its length.
uint32_t xdp_bench_peer_receives(const struct xdp_bench *bench, uint8_t *frame, uint32_t size);

// Sleep until something has come, and take it; returns how many packets there are now.
uint32_t xdp_bench_receive(struct xdp_bench *bench, uint32_t n_before);
void xdp_bench_await(struct xdp_bench *bench, uint32_t n);
uint16_t xdp_bench_dst_port(const struct packet *packet);
// Does it lie in memory of the driver, and not of the pool?
bool xdp_bench_is_lent(const struct xdp_bench *bench, const struct packet *packet);
void xdp_bench_send_all(struct xdp_bench *bench, struct packet **packets, uint32_t n);
void xdp_bench_send(struct xdp_bench *bench, uint32_t n);
// All packets go home, and as many are taken again.
void xdp_bench_give_back(struct xdp_bench *bench);
