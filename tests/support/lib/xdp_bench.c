// SPDX-License-Identifier: Apache-2.0
#include "xdp_bench.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netns.h"

// A test that misses something ends there.
static void demand(bool is_there, const char *what)
{
	if (is_there)
		return;
	fprintf(stderr, "xdp_bench: missing: %s\n", what);
	abort();
}

void xdp_bench_await_link(int there)
{
	int here = netns_link_socket(0, "va");
	demand(netns_await_link(here, there), "the link");
	close(here);
}

// IPv6 would speak by itself.
int xdp_bench_enter(unsigned mtu)
{
	demand(netns_enter(), "a network namespace");
	pid_t peer = netns_peer_start();
	demand(peer > 0, "another namespace");
	demand(netns_run("ip link add va mtu %u type veth peer name vb mtu %u netns %d", mtu, mtu,
			 peer),
	       "a veth pair");
	demand(netns_run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 "
			 "net.ipv6.conf.va.disable_ipv6=1 && ip link set va up"),
	       "a veth pair");
	demand(netns_run("nsenter -t %d -n sh -c 'sysctl -qw net.ipv6.conf.vb.disable_ipv6=1 && "
			 "ip link set vb up'",
			 peer),
	       "a veth pair");
	int there = netns_link_socket(peer, "vb");
	xdp_bench_await_link(there);
	return there;
}

void xdp_bench_set_scope(struct xdp_bench *bench, size_t n_vips)
{
	const struct endpoint vip = {.addr = frame_v4(XDP_BENCH_VIP),
				     .port_be = htons(XDP_BENCH_PORT),
				     .proto = IPPROTO_UDP};
	struct io_scope scope = {.vips = &vip, .n_vips = n_vips};
	struct err err = {0};
	demand(io_afxdp.set_scope(bench->io, &scope, &err) == 0, err.message);
}

int xdp_bench_open_driver(struct xdp_bench *bench, struct err *err)
{
	struct io_link link = {
		.name = bench->link,
		.ifindex = if_nametoindex(bench->link),
		.filter = "udp dst portrange 53-54 or (ip[6:2] & 0x3fff != 0)",
	};
	return io_afxdp.open(&bench->io, &link, 1, err);
}

void xdp_bench_open_on(struct xdp_bench *bench, const char *link)
{
	struct err err = {0};
	bench->link = link;
	demand(xdp_bench_open_driver(bench, &err) == 0, err.message);
	xdp_bench_set_scope(bench, 1);
	demand(packet_pool_init(&bench->pool, XDP_BENCH_PACKETS, &err) == 0, err.message);
	bench->pool.release = io_afxdp.release;
	bench->pool.io = bench->io;
	demand(packet_pool_take(&bench->pool, bench->packets, XDP_BENCH_PACKETS) ==
		       XDP_BENCH_PACKETS,
	       "packets");
}

void xdp_bench_open(struct xdp_bench *bench)
{
	*bench = (struct xdp_bench){.peer = xdp_bench_enter(XDP_BENCH_MTU)};
	xdp_bench_open_on(bench, "va");
}

void xdp_bench_close(struct xdp_bench *bench)
{
	packet_pool_give_back(&bench->pool, bench->packets, XDP_BENCH_PACKETS);
	packet_pool_fini(&bench->pool);
	io_afxdp.close(bench->io);
	close(bench->peer);
}

void xdp_bench_give_back(struct xdp_bench *bench)
{
	packet_pool_give_back(&bench->pool, bench->packets, XDP_BENCH_PACKETS);
	demand(packet_pool_take(&bench->pool, bench->packets, XDP_BENCH_PACKETS) ==
		       XDP_BENCH_PACKETS,
	       "packets");
}

// ---- frames ------------------------------------------------------------------------------------

struct frame_spec xdp_bench_spec(uint16_t port, uint32_t payload_len)
{
	return (struct frame_spec){
		.src_mac = {{2, 0, 0, 0, 0, 9}},
		.dst_mac = {{2, 0, 0, 0, 0, 1}},
		.src = frame_v4(XDP_BENCH_CLIENT),
		.dst = frame_v4(XDP_BENCH_VIP),
		.proto = IPPROTO_UDP,
		.ttl = 64,
		.src_port = 1000,
		.dst_port = port,
		.payload_len = payload_len,
	};
}

void xdp_bench_peer_sends_spec(const struct xdp_bench *bench, const struct frame_spec *spec)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	uint32_t len = frame_build(spec, frame, &vnet);
	demand(send(bench->peer, frame, len, 0) == (ssize_t)len, "to send");
}

void xdp_bench_peer_sends(const struct xdp_bench *bench, uint16_t port, uint32_t payload_len)
{
	struct frame_spec spec = xdp_bench_spec(port, payload_len);
	xdp_bench_peer_sends_spec(bench, &spec);
}

// Sleeps until something has come, and takes it; returns how many packets there are now.
uint32_t xdp_bench_receive(struct xdp_bench *bench, uint32_t n_before)
{
	int never = eventfd(0, EFD_CLOEXEC);
	io_afxdp.wait(bench->io, never, XDP_BENCH_AWAIT_MS);
	close(never);
	int received = io_afxdp.recv_burst(bench->io, 0, bench->packets + n_before,
					   XDP_BENCH_PACKETS - n_before);
	demand(received >= 0, "to receive");
	return n_before + (uint32_t)received;
}

void xdp_bench_await(struct xdp_bench *bench, uint32_t n)
{
	uint32_t n_received = 0;
	for (int tries = 0; n_received < n && tries < 100; tries++)
		n_received = xdp_bench_receive(bench, n_received);
	demand(n_received == n, "as many packets");
}

uint16_t xdp_bench_dst_port(const struct packet *packet)
{
	return (uint16_t)(packet->frame[36] << 8 | packet->frame[37]);
}

// Does it lie in memory of the driver, and not of the pool?
bool xdp_bench_is_lent(const struct xdp_bench *bench, const struct packet *packet)
{
	size_t bytes = (size_t)XDP_BENCH_PACKETS * PACKET_SLOT_BYTES;
	return (uintptr_t)packet->frame - (uintptr_t)bench->pool.arena >= bytes;
}

uint32_t xdp_bench_peer_receives(const struct xdp_bench *bench, uint8_t *frame, uint32_t size)
{
	struct pollfd poll_fd = {.fd = bench->peer, .events = POLLIN};
	struct sockaddr_ll from = {0};
	socklen_t len = sizeof(from);
	for (;;) {
		demand(poll(&poll_fd, 1, XDP_BENCH_AWAIT_MS) == 1, "a frame");
		ssize_t n = recvfrom(bench->peer, frame, size, 0, (struct sockaddr *)&from, &len);
		demand(n > 0, "a frame");
		if (from.sll_pkttype != PACKET_OUTGOING)
			return (uint32_t)n;
	}
}

void xdp_bench_send_all(struct xdp_bench *bench, struct packet **packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		packets[i]->verdict = VERDICT_FORWARDED;
		packets[i]->is_to_send = true;
	}
	io_afxdp.send_burst(bench->io, 0, packets, n);
}

void xdp_bench_send(struct xdp_bench *bench, uint32_t n)
{
	xdp_bench_send_all(bench, bench->packets, n);
}
