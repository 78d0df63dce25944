// SPDX-License-Identifier: Apache-2.0
// The driver for AF_XDP sockets, over a veth pair: va is its link, vb that of a peer in another
// namespace, which sends and receives by a packet socket of its own.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/frame.h"
#include "../support/lib/netns.h"
#include "packet/packet_pool.h"
#include "packet/xdp_program.h"

enum {
	N_PACKETS = PACKET_BURST,
	AWAIT_MS = 5000,
	VIP = 0x0a010064,
	CLIENT = 0x0a01000b,
	PORT = 53,
	OTHER_PORT = 54, // what the filter has and the scope has not
};

struct bench {
	struct io *io;
	struct packet_pool pool;
	struct packet *packets[N_PACKETS];
	const char *link;
	int peer; // the peer's socket
};

// ---- the pair ----------------------------------------------------------------------------------

// IPv6 would speak by itself.
static int enter_lab(void)
{
	if (!netns_enter())
		cr_skip("needs root, for a private network namespace");
	pid_t peer = netns_peer_start();
	cr_assert_gt(peer, 0);
	cr_assert(netns_run("ip link add va type veth peer name vb netns %d", peer));
	cr_assert(netns_run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 "
			    "net.ipv6.conf.va.disable_ipv6=1 && ip link set va up"));
	cr_assert(netns_run("nsenter -t %d -n sh -c 'sysctl -qw net.ipv6.conf.vb.disable_ipv6=1 && "
			    "ip link set vb up'",
			    peer));
	int there = netns_link_socket(peer, "vb");
	int here = netns_link_socket(0, "va");
	cr_assert(netns_await_link(here, there));
	close(here);
	return there;
}

static void set_scope(struct bench *bench, size_t n_vips)
{
	const struct endpoint vip = {.addr = frame_v4(VIP),
				     .port_be = htons(PORT),
				     .proto = IPPROTO_UDP};
	struct io_scope scope = {.vips = &vip, .n_vips = n_vips};
	struct err err = {0};
	cr_assert_eq(io_afxdp.set_scope(bench->io, &scope, &err), 0, "%s", err.message);
}

static int open_driver(struct bench *bench, struct err *err)
{
	struct io_link link = {bench->link, if_nametoindex(bench->link),
			       "udp dst portrange 53-54 or (ip[6:2] & 0x3fff != 0)", NULL};
	return io_afxdp.open(&bench->io, &link, 1, err);
}

static void open_on(struct bench *bench, const char *link)
{
	struct err err = {0};
	bench->link = link;
	cr_assert_eq(open_driver(bench, &err), 0, "%s", err.message);
	set_scope(bench, 1);
	cr_assert_eq(packet_pool_init(&bench->pool, N_PACKETS, &err), 0, "%s", err.message);
	bench->pool.release = io_afxdp.release;
	bench->pool.io = bench->io;
	cr_assert_eq(packet_pool_take(&bench->pool, bench->packets, N_PACKETS), N_PACKETS);
}

static void bench_open(struct bench *bench)
{
	*bench = (struct bench){.peer = enter_lab()};
	open_on(bench, "va");
}

static void bench_close(struct bench *bench)
{
	packet_pool_give_back(&bench->pool, bench->packets, N_PACKETS);
	packet_pool_fini(&bench->pool);
	io_afxdp.close(bench->io);
	close(bench->peer);
}

static void give_back(struct bench *bench)
{
	packet_pool_give_back(&bench->pool, bench->packets, N_PACKETS);
	cr_assert_eq(packet_pool_take(&bench->pool, bench->packets, N_PACKETS), N_PACKETS);
}

// ---- frames ------------------------------------------------------------------------------------

static struct frame_spec spec_of(uint16_t port, uint32_t payload_len)
{
	return (struct frame_spec){
		.src_mac = {{2, 0, 0, 0, 0, 9}},
		.dst_mac = {{2, 0, 0, 0, 0, 1}},
		.src = frame_v4(CLIENT),
		.dst = frame_v4(VIP),
		.proto = IPPROTO_UDP,
		.ttl = 64,
		.src_port = 1000,
		.dst_port = port,
		.payload_len = payload_len,
	};
}

static void peer_sends_spec(const struct bench *bench, const struct frame_spec *spec)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	uint32_t len = frame_build(spec, frame, &vnet);
	cr_assert_eq(send(bench->peer, frame, len, 0), (ssize_t)len);
}

static void peer_sends(const struct bench *bench, uint16_t port, uint32_t payload_len)
{
	struct frame_spec spec = spec_of(port, payload_len);
	peer_sends_spec(bench, &spec);
}

// Sleeps until something has come, and takes it; returns how many packets there are now.
static uint32_t receive(struct bench *bench, uint32_t n_before)
{
	int never = eventfd(0, EFD_CLOEXEC);
	io_afxdp.wait(bench->io, never, AWAIT_MS);
	close(never);
	int received =
		io_afxdp.recv_burst(bench->io, 0, bench->packets + n_before, N_PACKETS - n_before);
	cr_assert_geq(received, 0);
	return n_before + (uint32_t)received;
}

static void await(struct bench *bench, uint32_t n)
{
	uint32_t n_received = 0;
	for (int tries = 0; n_received < n && tries < 100; tries++)
		n_received = receive(bench, n_received);
	cr_assert_eq(n_received, n);
}

static uint16_t dst_port_of(const struct packet *packet)
{
	return (uint16_t)(packet->frame[36] << 8 | packet->frame[37]);
}

// Does it lie in memory of the driver, and not of the pool?
static bool is_lent(const struct bench *bench, const struct packet *packet)
{
	size_t bytes = (size_t)N_PACKETS * PACKET_SLOT_BYTES;
	return (uintptr_t)packet->frame - (uintptr_t)bench->pool.arena >= bytes;
}

static uint32_t peer_receives(const struct bench *bench, uint8_t *frame, uint32_t size)
{
	struct pollfd poll_fd = {.fd = bench->peer, .events = POLLIN};
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	for (;;) {
		cr_assert_eq(poll(&poll_fd, 1, AWAIT_MS), 1);
		ssize_t n = recvfrom(bench->peer, frame, size, 0, (struct sockaddr *)&from, &len);
		cr_assert_gt(n, 0);
		if (from.sll_pkttype != PACKET_OUTGOING)
			return (uint32_t)n;
	}
}

static void send_packets(struct bench *bench, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		bench->packets[i]->verdict = VERDICT_FORWARDED;
		bench->packets[i]->is_to_send = true;
	}
	io_afxdp.send_burst(bench->io, 0, bench->packets, n);
}

// ---- receiving ---------------------------------------------------------------------------------

Test(io_afxdp, plain_packets_come_in_chunks_and_the_rest_by_packet_sockets)
{
	struct bench bench;
	bench_open(&bench);
	peer_sends(&bench, PORT, 1000);
	await(&bench, 1);
	cr_expect(is_lent(&bench, bench.packets[0]));
	cr_expect_eq(bench.packets[0]->len, 1042);
	cr_expect_eq(dst_port_of(bench.packets[0]), PORT);
	give_back(&bench);

	peer_sends(&bench, OTHER_PORT, 10);
	await(&bench, 1);
	cr_expect_not(is_lent(&bench, bench.packets[0]));
	cr_expect_eq(dst_port_of(bench.packets[0]), OTHER_PORT);
	give_back(&bench);

	struct frame_spec fragment = spec_of(PORT, 1000);
	fragment.part_len = 400;
	fragment.fragment = 0x2000;
	peer_sends_spec(&bench, &fragment);
	await(&bench, 1);
	cr_expect_not(is_lent(&bench, bench.packets[0]));
	bench_close(&bench);
}

Test(io_afxdp, who_leaves_the_scope_comes_by_packet_sockets_from_then_on)
{
	struct bench bench;
	bench_open(&bench);
	set_scope(&bench, 0);
	peer_sends(&bench, PORT, 10);
	await(&bench, 1);
	cr_expect_not(is_lent(&bench, bench.packets[0]));
	give_back(&bench);
	set_scope(&bench, 1);
	peer_sends(&bench, PORT, 10);
	await(&bench, 1);
	cr_expect(is_lent(&bench, bench.packets[0]));
	bench_close(&bench);
}

// More frames than there are chunks, dropped by turns and sent by turns.
Test(io_afxdp, chunks_come_back_from_packets_that_are_dropped_and_from_those_that_are_sent)
{
	enum { ROUNDS = 1500, EACH = 32 };
	static uint8_t frame[FRAME_MAX];
	struct bench bench;
	bench_open(&bench);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < EACH; i++)
			peer_sends(&bench, PORT, 10);
		await(&bench, EACH);
		cr_assert(is_lent(&bench, bench.packets[EACH - 1]));
		if (round % 2) {
			send_packets(&bench, EACH);
			for (int i = 0; i < EACH; i++) {
				cr_assert_eq(bench.packets[i]->verdict, VERDICT_FORWARDED);
				cr_assert_eq(peer_receives(&bench, frame, sizeof(frame)), 52);
			}
		}
		give_back(&bench);
	}
	cr_expect_eq(io_afxdp.kernel_drops(bench.io), 0);
	bench_close(&bench);
}

Test(io_afxdp, what_did_not_fit_is_counted)
{
	enum { N_SENT = 6000 };
	struct bench bench;
	uint64_t n_received = 0;
	bench_open(&bench);
	for (int i = 0; i < N_SENT; i++)
		peer_sends(&bench, PORT, 10);
	for (int idle = 0; idle < 10;) {
		int n = io_afxdp.recv_burst(bench.io, 0, bench.packets, N_PACKETS);
		n_received += (uint64_t)n;
		idle = n ? 0 : idle + 1;
		give_back(&bench);
	}
	uint64_t drops = io_afxdp.kernel_drops(bench.io);
	cr_expect_gt(drops, 0);
	cr_expect_eq(n_received + drops, N_SENT);
	bench_close(&bench);
}

Test(io_afxdp, wakes_up_when_it_is_told_to)
{
	struct bench bench;
	bench_open(&bench);
	int wake = eventfd(1, EFD_CLOEXEC);
	// Without the wake-up, the test would not end in time.
	io_afxdp.wait(bench.io, wake, 1000 * AWAIT_MS);
	close(wake);
	bench_close(&bench);
}

Test(io_afxdp, a_link_that_goes_down_is_no_error_and_comes_back)
{
	struct bench bench;
	bench_open(&bench);
	cr_assert(netns_run("ip link set va down && ip link set va up"));
	int own = netns_link_socket(0, "va");
	cr_assert(netns_await_link(own, bench.peer));
	close(own);
	peer_sends(&bench, PORT, 10);
	await(&bench, 1);
	cr_expect(is_lent(&bench, bench.packets[0]));
	bench_close(&bench);
}

// ---- sending -----------------------------------------------------------------------------------

Test(io_afxdp, a_checksum_that_waits_is_complete_when_it_leaves)
{
	uint8_t frame[2000];
	struct bench bench;
	bench_open(&bench);
	struct frame_spec spec = spec_of(PORT, 100);
	spec.sum = SUM_PARTIAL;
	peer_sends_spec(&bench, &spec);
	await(&bench, 1);
	cr_expect(is_lent(&bench, bench.packets[0]));
	cr_expect_eq(bench.packets[0]->vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	send_packets(&bench, 1);
	uint32_t len = peer_receives(&bench, frame, sizeof(frame));
	cr_expect_eq(len, 142);
	cr_expect_eq(frame_transport_sum(frame, len, false), SUM_RIGHT);
	bench_close(&bench);
}

// Those in chunks and packets of culvert's own by turns.
Test(io_afxdp, order_is_kept_between_the_two_ways)
{
	enum { N = 12 };
	uint8_t frame[2000];
	struct bench bench;
	bench_open(&bench);
	for (uint16_t i = 0; i < N; i++)
		peer_sends(&bench, PORT, i);
	await(&bench, N);
	for (uint16_t i = 0; i < N; i++) {
		if (i % 4 < 2)
			continue;
		struct packet *packet = bench.packets[i];
		io_afxdp.release(bench.io, &packet, 1);
		struct frame_spec spec = spec_of(PORT, i);
		packet->frame = bench.pool.arena +
				(size_t)(packet - bench.pool.packets) * PACKET_SLOT_BYTES +
				PACKET_HEADROOM;
		packet->len = frame_build(&spec, packet->frame, &packet->vnet);
	}
	send_packets(&bench, N);
	for (uint16_t i = 0; i < N; i++)
		cr_expect_eq(peer_receives(&bench, frame, sizeof(frame)), 42U + i);
	bench_close(&bench);
}

// ---- opening and closing -----------------------------------------------------------------------

static bool has_program(const char *link)
{
	return netns_run("ip -d link show dev %s | grep -q xdp", link);
}

static bool keeps_tags(void)
{
	return netns_run("ethtool -k va | grep -q 'rx-vlan-offload: off'");
}

Test(io_afxdp, a_close_takes_everything_back)
{
	struct bench bench;
	bench_open(&bench);
	cr_expect(has_program("va"));
	cr_expect(keeps_tags());
	bench_close(&bench);
	cr_expect_not(has_program("va"));
	cr_expect_not(keeps_tags());
}

Test(io_afxdp, what_was_off_before_stays_off)
{
	struct bench bench = {.peer = enter_lab()};
	cr_assert(netns_run("ethtool -K va rxvlan off"));
	open_on(&bench, "va");
	bench_close(&bench);
	cr_expect(keeps_tags());
}

Test(io_afxdp, can_be_opened_again_at_once)
{
	struct err err = {0};
	struct bench bench;
	bench_open(&bench);
	for (int i = 0; i < 5; i++) {
		io_afxdp.close(bench.io);
		cr_assert_eq(open_driver(&bench, &err), 0, "%s", err.message);
		bench.pool.io = bench.io;
	}
	bench_close(&bench);
}

Test(io_afxdp, a_driver_without_xdp_is_served_by_the_kernel)
{
	struct bench bench = {.peer = enter_lab()};
	uint8_t frame[2000];
	cr_assert(netns_run("ip link add br0 type bridge && ip link set va master br0 && "
			    "ip link set br0 address 02:00:00:00:00:01 up"));
	open_on(&bench, "br0");
	cr_assert(netns_run("ip -d link show dev br0 | grep -q xdpgeneric"));
	uint32_t n = 0;
	for (int tries = 0; n == 0 && tries < 10; tries++) {
		peer_sends(&bench, PORT, 500);
		n = receive(&bench, 0);
	}
	cr_assert_gt(n, 0);
	cr_expect(is_lent(&bench, bench.packets[0]));
	bench.packets[0]->frame[5] = 9; // away from the bridge
	send_packets(&bench, 1);
	do {
		n = peer_receives(&bench, frame, sizeof(frame));
	} while (frame[0] & 1); // what the bridge says by itself
	cr_expect_eq(n, 542);
	bench_close(&bench);
	cr_expect_not(has_program("br0"));
}

Test(io_afxdp, what_cannot_be_opened_is_said_and_leaves_nothing)
{
	struct bench bench = {.peer = enter_lab(), .link = "va"};
	struct xdp_program other;
	struct io_link link = {.name = "va", .ifindex = if_nametoindex("va")};
	struct err err = {0};
	cr_assert_eq(xdp_program_open(&other, &link, false, NULL, &err), 0, "%s", err.message);
	cr_expect_lt(open_driver(&bench, &err), 0);
	cr_expect_not_null(strstr(err.message, "ip link set dev va xdp off"), "%s", err.message);
	xdp_program_close(&other);

	cr_assert_eq(seteuid(65534), 0);
	cr_expect_eq(open_driver(&bench, &err), -EPERM);
	cr_expect_not_null(strstr(err.message, "CAP_"), "%s", err.message);
	cr_assert_eq(seteuid(0), 0);
	cr_expect_not(has_program("va"));
	cr_expect_null(bench.io);
	io_afxdp.close(NULL);
}
