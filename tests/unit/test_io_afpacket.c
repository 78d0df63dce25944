// SPDX-License-Identifier: Apache-2.0
// The driver for packet sockets, over a veth pair: va is its link, vb that of a peer in another
// namespace, which sends and receives by a packet socket of its own.
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../support/lib/frame.h"
#include "../support/lib/netns.h"
#include "culvert/packet/io.h"
#include "packet/packet.h"
#include "packet/packet_pool.h"

enum {
	N_PACKETS = PACKET_BURST,
	AWAIT_MS = 100,
	TRIES = 300,
	VIP = 0x0a010064,
	CLIENT = 0x0a01000b,
	UDP_HEADERS_LEN = 42,
};

struct bench {
	struct io *io;
	struct packet_pool pool;
	struct packet *packets[N_PACKETS];
	int peer; // the peer's socket
	pid_t peer_pid;
};

static struct io_link link_va(const char *filter)
{
	return (struct io_link){.name = "va", .ifindex = if_nametoindex("va"), .filter = filter};
}

// IPv6 would speak by itself.
static pid_t enter_lab(void)
{
	if (!netns_enter())
		cr_skip("needs root, for a private network namespace");
	pid_t peer = netns_peer_start();
	cr_assert_gt(peer, 0);
	cr_assert(netns_run("ip link add va type veth peer name vb netns %d", peer));
	cr_assert(netns_run("sysctl -qw net.ipv6.conf.va.disable_ipv6=1 && ip link set va up"));
	cr_assert(netns_run("nsenter -t %d -n sh -c 'sysctl -qw net.ipv6.conf.vb.disable_ipv6=1 && "
			    "ip link set vb up'",
			    peer));
	return peer;
}

static void await_link(const struct bench *bench)
{
	int own = netns_link_socket(0, "va");
	cr_assert(netns_await_link(own, bench->peer));
	close(own);
}

static void bench_open(struct bench *bench, const char *filter)
{
	struct err err = {0};
	bench->peer_pid = enter_lab();
	bench->peer = netns_link_socket(bench->peer_pid, "vb");
	await_link(bench);
	struct io_link link = link_va(filter);
	cr_assert_eq(io_afpacket.open(&bench->io, &link, 1, &err), 0, "%s", err.message);
	cr_assert_eq(packet_pool_init(&bench->pool, N_PACKETS, &err), 0, "%s", err.message);
	cr_assert_eq(packet_pool_take(&bench->pool, bench->packets, N_PACKETS), N_PACKETS);
}

static void bench_close(struct bench *bench)
{
	io_afpacket.close(bench->io);
	packet_pool_give_back(&bench->pool, bench->packets, N_PACKETS);
	packet_pool_fini(&bench->pool);
	close(bench->peer);
}

static uint32_t build(uint8_t *frame, uint16_t dst_port, uint32_t payload_len)
{
	struct virtio_net_hdr vnet;
	struct frame_spec spec = {
		.src_mac = {{2, 0, 0, 0, 0, 9}},
		.dst_mac = {{2, 0, 0, 0, 0, 1}},
		.src = frame_v4(CLIENT),
		.dst = frame_v4(VIP),
		.proto = IPPROTO_UDP,
		.ttl = 64,
		.src_port = 1000,
		.dst_port = dst_port,
		.payload_len = payload_len,
	};
	return frame_build(&spec, frame, &vnet);
}

static void peer_sends(const struct bench *bench, uint16_t dst_port, uint32_t payload_len)
{
	static uint8_t frame[FRAME_MAX];
	uint32_t len = build(frame, dst_port, payload_len);
	cr_assert_eq(send(bench->peer, frame, len, 0), (ssize_t)len);
}

// As build() makes it.
static bool has_payload_of(const struct packet *packet, uint16_t dst_port, uint32_t payload_len)
{
	static uint8_t frame[FRAME_MAX];
	uint32_t len = build(frame, dst_port, payload_len);
	return packet->len == len && memcmp(packet->frame, frame, len) == 0;
}

// Sleeps until something may have come, or the time is over; returns how many packets.
static uint32_t receive_within(struct bench *bench, uint32_t n, int timeout_ms)
{
	int never = eventfd(0, EFD_CLOEXEC);
	io_afpacket.wait(bench->io, never, timeout_ms);
	close(never);
	int received = io_afpacket.recv_burst(bench->io, 0, bench->packets, n);
	cr_assert_geq(received, 0);
	return (uint32_t)received;
}

// Sleeps until something has come.
static uint32_t receive(struct bench *bench, uint32_t n)
{
	uint32_t received = 0;
	for (int tries = 0; received == 0 && tries < TRIES; tries++)
		received = receive_within(bench, n, AWAIT_MS);
	return received;
}

static uint16_t dst_port_of(const struct packet *packet)
{
	return (uint16_t)(packet->frame[36] << 8 | packet->frame[37]);
}

static uint32_t peer_receives(const struct bench *bench, uint8_t *frame, uint32_t size)
{
	struct pollfd poll_fd = {.fd = bench->peer, .events = POLLIN};
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	for (;;) {
		cr_assert_eq(poll(&poll_fd, 1, TRIES * AWAIT_MS), 1);
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
	io_afpacket.send_burst(bench->io, 0, bench->packets, n);
}

// ---- receiving ---------------------------------------------------------------------------------

Test(io_afpacket, hands_over_what_the_filter_names_in_order_and_no_more_than_wanted)
{
	struct bench bench;
	bench_open(&bench, "udp dst portrange 50-59");
	cr_expect_eq(io_afpacket.recv_burst(bench.io, 0, bench.packets, N_PACKETS), 0);
	peer_sends(&bench, 49, 10);
	peer_sends(&bench, 50, 10);
	peer_sends(&bench, 60, 10);
	peer_sends(&bench, 51, 1000);
	peer_sends(&bench, 52, 0);
	cr_expect_eq(receive(&bench, 2), 2);
	cr_expect_eq(dst_port_of(bench.packets[0]), 50);
	cr_expect_eq(bench.packets[0]->len, 52);
	cr_expect_eq(dst_port_of(bench.packets[1]), 51);
	cr_expect_eq(bench.packets[1]->len, 1042);
	cr_expect_eq(receive(&bench, 2), 1);
	cr_expect_eq(dst_port_of(bench.packets[0]), 52);
	cr_expect_eq(io_afpacket.recv_burst(bench.io, 0, bench.packets, N_PACKETS), 0);
	cr_expect_eq(io_afpacket.kernel_drops(bench.io), 0);
	bench_close(&bench);
}

Test(io_afpacket, another_filter_takes_the_place_of_the_first_or_leaves_it)
{
	struct bench bench;
	struct err err = {0};
	bench_open(&bench, "udp dst port 50");
	cr_assert_eq(io_afpacket.set_filter(bench.io, "udp dst port 51", &err), 0, "%s",
		     err.message);
	peer_sends(&bench, 50, 10);
	peer_sends(&bench, 51, 10);
	cr_expect_eq(receive(&bench, N_PACKETS), 1);
	cr_expect_eq(dst_port_of(bench.packets[0]), 51);
	cr_expect_lt(io_afpacket.set_filter(bench.io, "no filter at all", &err), 0);
	cr_expect_neq(err.message[0], '\0');
	peer_sends(&bench, 50, 10);
	peer_sends(&bench, 51, 10);
	cr_expect_eq(receive(&bench, N_PACKETS), 1);
	cr_expect_eq(dst_port_of(bench.packets[0]), 51);
	bench_close(&bench);
}

// Those of some kilobytes come another way than the small ones between them.
Test(io_afpacket, large_frames_and_small_ones_keep_their_order)
{
	enum { N_SENT = 3 * PACKET_BURST };
	struct bench bench;
	uint32_t n = 0;
	bench_open(&bench, "udp");
	cr_assert(netns_run("ip link set va mtu 65535"));
	cr_assert(netns_run("nsenter -t %d -n ip link set vb mtu 65535", bench.peer_pid));
	static const uint32_t sizes[] = {10, 1900, 2000, 9000, 65000, 0, 1800};
	for (uint32_t i = 0; i < N_SENT; i++)
		peer_sends(&bench, (uint16_t)i, sizes[i % 7]);
	while (n < N_SENT) {
		uint32_t received = receive(&bench, N_PACKETS - n % 5);
		cr_assert_gt(received, 0);
		for (uint32_t i = 0; i < received; i++, n++) {
			const struct packet *packet = bench.packets[i];
			cr_assert_eq(dst_port_of(packet), n);
			cr_assert_eq(packet->len, UDP_HEADERS_LEN + sizes[n % 7]);
			cr_assert_eq(packet->vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
			cr_assert(has_payload_of(packet, (uint16_t)n, sizes[n % 7]));
		}
	}
	cr_expect_eq(io_afpacket.recv_burst(bench.io, 0, bench.packets, N_PACKETS), 0);
	bench_close(&bench);
}

// More than the kernel has slots for, but never at once.
Test(io_afpacket, goes_on_for_ever)
{
	enum { N_SENT = 10000, AT_A_TIME = 50 };
	struct bench bench;
	bench_open(&bench, "udp");
	for (uint32_t n = 0; n < N_SENT;) {
		for (uint32_t i = 0; i < AT_A_TIME; i++)
			peer_sends(&bench, (uint16_t)(n + i), 100);
		uint32_t end = n + AT_A_TIME;
		while (n < end) {
			uint32_t received = receive(&bench, N_PACKETS);
			for (uint32_t i = 0; i < received; i++, n++)
				cr_assert_eq(dst_port_of(bench.packets[i]), n);
		}
	}
	cr_expect_eq(io_afpacket.kernel_drops(bench.io), 0);
	bench_close(&bench);
}

Test(io_afpacket, sees_no_frame_of_its_own)
{
	struct bench bench;
	bench_open(&bench, NULL);
	bench.packets[0]->len = build(bench.packets[0]->frame, 53, 10);
	send_packets(&bench, 1);
	peer_sends(&bench, 54, 10);
	cr_expect_eq(receive(&bench, N_PACKETS), 1);
	cr_expect_eq(dst_port_of(bench.packets[0]), 54);
	bench_close(&bench);
}

Test(io_afpacket, wakes_up_when_it_is_told_to)
{
	enum { N_WAITS = 10000 };
	struct bench bench;
	bench_open(&bench, NULL);
	int wake = eventfd(1, EFD_CLOEXEC);
	// Without the wake-ups, the test would not end in time.
	for (int i = 0; i < N_WAITS; i++)
		io_afpacket.wait(bench.io, wake, TRIES * AWAIT_MS);
	close(wake);
	bench_close(&bench);
}

Test(io_afpacket, what_did_not_fit_into_the_queue_is_counted)
{
	enum { N_SENT = 80000 };
	static uint8_t frame[FRAME_MAX];
	struct bench bench;
	uint64_t n_received = 0;
	bench_open(&bench, "udp");
	uint32_t len = build(frame, 53, 1400);
	for (int i = 0; i < N_SENT; i++)
		cr_assert_eq(send(bench.peer, frame, len, 0), (ssize_t)len);
	for (uint32_t n = 1; n;) {
		n = (uint32_t)io_afpacket.recv_burst(bench.io, 0, bench.packets, N_PACKETS);
		n_received += n;
	}
	uint64_t drops = io_afpacket.kernel_drops(bench.io);
	cr_expect_gt(drops, 0);
	cr_expect_eq(n_received + drops, N_SENT);
	cr_expect_eq(io_afpacket.kernel_drops(bench.io), drops, "asked again");
	bench_close(&bench);
}

Test(io_afpacket, a_link_that_goes_down_is_no_error_and_comes_back)
{
	struct bench bench;
	bench_open(&bench, NULL);
	cr_assert(netns_run("ip link set va down"));
	cr_expect_eq(receive_within(&bench, N_PACKETS, AWAIT_MS), 0);
	cr_expect_eq(io_afpacket.recv_burst(bench.io, 0, bench.packets, N_PACKETS), 0);
	bench.packets[0]->len = build(bench.packets[0]->frame, 53, 10);
	send_packets(&bench, 1);
	cr_expect_eq(bench.packets[0]->verdict, VERDICT_DROP_TX_ERROR);
	cr_expect_not(bench.packets[0]->is_to_send);
	cr_assert(netns_run("ip link set va up"));
	await_link(&bench);
	while (io_afpacket.recv_burst(bench.io, 0, bench.packets, N_PACKETS) > 0)
		;
	peer_sends(&bench, 55, 10);
	cr_expect_eq(receive(&bench, N_PACKETS), 1);
	bench_close(&bench);
}

// The socket says so once; it must not say so for ever.
Test(io_afpacket, waits_in_peace_for_a_link_that_is_down)
{
	enum { WAIT_MS = 300 };
	struct bench bench;
	struct timespec before, after;
	bench_open(&bench, NULL);
	cr_assert(netns_run("ip link set va down"));
	receive_within(&bench, N_PACKETS, AWAIT_MS);
	int never = eventfd(0, EFD_CLOEXEC);
	clock_gettime(CLOCK_MONOTONIC, &before);
	io_afpacket.wait(bench.io, never, WAIT_MS);
	clock_gettime(CLOCK_MONOTONIC, &after);
	close(never);
	int64_t ms =
		(after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	cr_expect_geq(ms, WAIT_MS - 1);
	bench_close(&bench);
}

// ---- sending -----------------------------------------------------------------------------------

Test(io_afpacket, sends_in_order_and_drops_alone_what_is_too_long_for_the_link)
{
	uint8_t frame[2000];
	struct bench bench;
	bench_open(&bench, NULL);
	for (uint16_t i = 0; i < 5; i++)
		bench.packets[i]->len =
			build(bench.packets[i]->frame, (uint16_t)(60 + i), i == 2 ? 3000 : 10);
	send_packets(&bench, 5);
	for (uint16_t i = 0; i < 5; i++) {
		bool is_long = i == 2;
		cr_expect_eq(bench.packets[i]->verdict,
			     is_long ? VERDICT_DROP_TX_ERROR : VERDICT_FORWARDED);
		cr_expect_eq(bench.packets[i]->is_to_send, !is_long);
		if (is_long)
			continue;
		cr_expect_eq(peer_receives(&bench, frame, sizeof(frame)), bench.packets[i]->len);
		cr_expect_arr_eq(frame, bench.packets[i]->frame, bench.packets[i]->len);
	}
	bench_close(&bench);
}

// More frames than a burst has messages: headers of their own, pieces of one packet.
Test(io_afpacket, sends_a_packet_as_many_frames)
{
	enum { N_FRAMES = PACKET_BURST + 9, HEADER_LEN = 42, PIECE_LEN = 16, LAST_LEN = 5 };
	struct bench bench;
	bench_open(&bench, NULL);
	struct packet *packet = bench.packets[0];
	struct packet *headers = bench.packets[1];
	packet->view.frame_len = HEADER_LEN + (N_FRAMES - 1) * PIECE_LEN + LAST_LEN;
	for (uint32_t i = 0; i < packet->view.frame_len; i++)
		packet->frame[i] = (uint8_t)(i * 7);
	for (uint32_t i = 0; i < N_FRAMES; i++)
		build(headers->frame + (size_t)i * HEADER_LEN, (uint16_t)(100 + i), 0);
	packet->train = (struct packet_train){
		.headers = headers,
		.wrap_len = ETH_HEADER_LEN,
		.cut = {.header_len = HEADER_LEN - ETH_HEADER_LEN,
			.piece_at = HEADER_LEN,
			.piece_len = PIECE_LEN,
			.n = N_FRAMES,
			.group_len = (N_FRAMES - 1) * PIECE_LEN + LAST_LEN,
			.group_n = N_FRAMES},
	};
	send_packets(&bench, 1);
	for (uint32_t i = 0; i < N_FRAMES; i++) {
		uint8_t frame[200];
		uint32_t piece_len = i + 1 < N_FRAMES ? PIECE_LEN : LAST_LEN;
		cr_expect_eq(peer_receives(&bench, frame, sizeof(frame)), HEADER_LEN + piece_len);
		cr_expect_eq(frame[36] << 8 | frame[37], (int)(100 + i));
		const uint8_t *piece = packet->frame + HEADER_LEN + (size_t)i * PIECE_LEN;
		cr_expect_arr_eq(frame + HEADER_LEN, piece, piece_len);
	}
	packet->train.headers = NULL;
	bench_close(&bench);
}

// The queue of the link takes a few frames and lets none go.
Test(io_afpacket, a_link_that_stays_full_drops_by_name)
{
	enum { FRAMES_MAX = 40000 };
	struct bench bench;
	bench_open(&bench, NULL);
	if (!netns_run("(tc qdisc add dev va root handle 1: htb default 1 && "
		       "tc class add dev va parent 1: classid 1:1 htb rate 8kbit && "
		       "tc qdisc add dev va parent 1:1 pfifo limit 1000000) 2>/dev/null"))
		cr_skip("needs the queueing discipline htb");
	bool is_full = false;
	for (int i = 0; i < FRAMES_MAX && !is_full; i++) {
		bench.packets[0]->len = build(bench.packets[0]->frame, 53, 1400);
		send_packets(&bench, 1);
		is_full = bench.packets[0]->verdict != VERDICT_FORWARDED;
	}
	cr_expect_eq(bench.packets[0]->verdict, VERDICT_DROP_TX_FULL);
	cr_expect_not(bench.packets[0]->is_to_send);
	bench_close(&bench);
}

// ---- opening -----------------------------------------------------------------------------------

Test(io_afpacket, what_cannot_be_opened_is_said_and_leaves_nothing)
{
	struct io_link links[17];
	struct io *io = NULL;
	struct err err = {0};
	enter_lab();
	for (int i = 0; i < 17; i++)
		links[i] = link_va(NULL);
	cr_expect_eq(io_afpacket.open(&io, links, 17, &err), -E2BIG);
	cr_expect_neq(err.message[0], '\0');

	links[1].ifindex = 77;
	links[1].name = "eth77";
	cr_expect_eq(io_afpacket.open(&io, links, 2, &err), -ENODEV);
	cr_expect_not_null(strstr(err.message, "eth77"), "%s", err.message);

	links[0].filter = "no such filter";
	cr_expect_lt(io_afpacket.open(&io, links, 1, &err), 0);

	cr_assert_eq(seteuid(65534), 0);
	cr_expect_eq(io_afpacket.open(&io, links, 1, &err), -EPERM);
	cr_expect_not_null(strstr(err.message, "CAP_NET_RAW"), "%s", err.message);
	cr_assert_eq(seteuid(0), 0);
	cr_expect_null(io);
	io_afpacket.close(NULL);
}
