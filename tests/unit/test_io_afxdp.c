// SPDX-License-Identifier: Apache-2.0
// The driver for AF_XDP sockets: xdp_bench.h.
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "../support/lib/tap.h"
#include "../support/lib/xdp_bench.h"
#include "packet/xdp_program.h"

enum { UDP_HEADERS_LEN = 42 };

static void need_root(void)
{
	if (geteuid() != 0)
		cr_skip("needs root, for a private network namespace");
}

TestSuite(io_afxdp, .init = need_root);

// ---- receiving ---------------------------------------------------------------------------------

Test(io_afxdp, plain_packets_come_in_chunks_and_the_rest_by_packet_sockets)
{
	struct xdp_bench bench;
	xdp_bench_open(&bench);
	xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, 1000);
	xdp_bench_await(&bench, 1);
	cr_expect(xdp_bench_is_lent(&bench, bench.packets[0]));
	cr_expect_eq(bench.packets[0]->len, 1042);
	cr_expect_eq(xdp_bench_dst_port(bench.packets[0]), XDP_BENCH_PORT);
	xdp_bench_give_back(&bench);

	xdp_bench_peer_sends(&bench, XDP_BENCH_OTHER_PORT, 10);
	xdp_bench_await(&bench, 1);
	cr_expect_not(xdp_bench_is_lent(&bench, bench.packets[0]));
	cr_expect_eq(xdp_bench_dst_port(bench.packets[0]), XDP_BENCH_OTHER_PORT);
	xdp_bench_give_back(&bench);

	struct frame_spec fragment = xdp_bench_spec(XDP_BENCH_PORT, 1000);
	fragment.part_len = 400;
	fragment.fragment = 0x2000;
	xdp_bench_peer_sends_spec(&bench, &fragment);
	xdp_bench_await(&bench, 1);
	cr_expect_not(xdp_bench_is_lent(&bench, bench.packets[0]));
	xdp_bench_close(&bench);
}

Test(io_afxdp, who_leaves_the_scope_comes_by_packet_sockets_from_then_on)
{
	struct xdp_bench bench;
	xdp_bench_open(&bench);
	xdp_bench_set_scope(&bench, 0);
	xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, 10);
	xdp_bench_await(&bench, 1);
	cr_expect_not(xdp_bench_is_lent(&bench, bench.packets[0]));
	xdp_bench_give_back(&bench);
	xdp_bench_set_scope(&bench, 1);
	xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, 10);
	xdp_bench_await(&bench, 1);
	cr_expect(xdp_bench_is_lent(&bench, bench.packets[0]));
	xdp_bench_close(&bench);
}

// More frames than there are chunks, dropped by turns and sent by turns.
Test(io_afxdp, chunks_come_back_from_packets_that_are_dropped_and_from_those_that_are_sent)
{
	enum { ROUNDS = 1500, EACH = 32 };
	static uint8_t frame[FRAME_MAX];
	struct xdp_bench bench;
	xdp_bench_open(&bench);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < EACH; i++)
			xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, 10);
		xdp_bench_await(&bench, EACH);
		cr_assert(xdp_bench_is_lent(&bench, bench.packets[EACH - 1]));
		if (round % 2) {
			xdp_bench_send(&bench, EACH);
			for (int i = 0; i < EACH; i++) {
				cr_assert_eq(bench.packets[i]->verdict, VERDICT_FORWARDED);
				cr_assert_eq(xdp_bench_peer_receives(&bench, frame, sizeof(frame)),
					     52);
			}
		}
		xdp_bench_give_back(&bench);
	}
	cr_expect_eq(io_afxdp.kernel_drops(bench.io), 0);
	xdp_bench_close(&bench);
}

Test(io_afxdp, what_did_not_fit_is_counted)
{
	enum { N_SENT = 6000 };
	struct xdp_bench bench;
	uint64_t n_received = 0;
	xdp_bench_open(&bench);
	for (int i = 0; i < N_SENT; i++)
		xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, 10);
	for (int idle = 0; idle < 10;) {
		int n = io_afxdp.recv_burst(bench.io, 0, bench.packets, XDP_BENCH_PACKETS);
		n_received += (uint64_t)n;
		idle = n ? 0 : idle + 1;
		xdp_bench_give_back(&bench);
	}
	uint64_t drops = io_afxdp.kernel_drops(bench.io);
	cr_expect_gt(drops, 0);
	cr_expect_eq(n_received + drops, N_SENT);
	xdp_bench_close(&bench);
}

Test(io_afxdp, wakes_up_when_it_is_told_to)
{
	enum { N_WAITS = 10000 };
	struct xdp_bench bench;
	xdp_bench_open(&bench);
	int wake = eventfd(1, EFD_CLOEXEC);
	// Without the wake-ups, the test would not end in time.
	for (int i = 0; i < N_WAITS; i++)
		io_afxdp.wait(bench.io, wake, XDP_BENCH_AWAIT_MS);
	close(wake);
	xdp_bench_close(&bench);
}

Test(io_afxdp, a_link_that_goes_down_is_no_error_and_comes_back)
{
	struct xdp_bench bench;
	xdp_bench_open(&bench);
	cr_assert(netns_run("ip link set va down && ip link set va up"));
	xdp_bench_await_link(bench.peer);
	xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, 10);
	xdp_bench_await(&bench, 1);
	cr_expect(xdp_bench_is_lent(&bench, bench.packets[0]));
	xdp_bench_close(&bench);
}

// ---- sending -----------------------------------------------------------------------------------

Test(io_afxdp, a_checksum_that_waits_is_complete_when_it_leaves)
{
	uint8_t frame[2000];
	struct xdp_bench bench;
	xdp_bench_open(&bench);
	struct frame_spec spec = xdp_bench_spec(XDP_BENCH_PORT, 100);
	spec.sum = SUM_PARTIAL;
	xdp_bench_peer_sends_spec(&bench, &spec);
	xdp_bench_await(&bench, 1);
	cr_expect(xdp_bench_is_lent(&bench, bench.packets[0]));
	cr_expect_eq(bench.packets[0]->vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	xdp_bench_send(&bench, 1);
	uint32_t len = xdp_bench_peer_receives(&bench, frame, sizeof(frame));
	cr_expect_eq(len, 142);
	cr_expect_eq(frame_transport_sum(frame, len, false), SUM_RIGHT);
	xdp_bench_close(&bench);
}

// Those in chunks and packets of culvert's own by turns.
Test(io_afxdp, order_is_kept_between_the_two_ways)
{
	const uint16_t n = 12;
	uint8_t frame[2000];
	struct xdp_bench bench;
	xdp_bench_open(&bench);
	for (uint16_t i = 0; i < n; i++)
		xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, i);
	xdp_bench_await(&bench, n);
	for (uint16_t i = 0; i < n; i++) {
		if (i % 4 < 2)
			continue;
		struct packet *packet = bench.packets[i];
		io_afxdp.release(bench.io, &packet, 1);
		struct frame_spec spec = xdp_bench_spec(XDP_BENCH_PORT, i);
		packet->frame = bench.pool.arena +
				(size_t)(packet - bench.pool.packets) * PACKET_SLOT_BYTES +
				PACKET_HEADROOM;
		packet->len = frame_build(&spec, packet->frame, &packet->vnet);
	}
	xdp_bench_send(&bench, n);
	for (uint16_t i = 0; i < n; i++)
		cr_expect_eq(xdp_bench_peer_receives(&bench, frame, sizeof(frame)), 42U + i);
	xdp_bench_close(&bench);
}

// Nothing leaves a link that is down. The burst that shows it stays in the ring, and nothing
// follows.
Test(io_afxdp, a_link_that_is_down_drops_by_name_and_goes_on_when_it_is_back)
{
	enum { EACH = 16, LAST_LEN = 200 };
	uint8_t frame[2000];
	uint32_t n_late = 0;
	struct xdp_bench bench;
	xdp_bench_open(&bench);
	for (uint32_t i = 0; i < XDP_BENCH_PACKETS; i++)
		xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, 10);
	xdp_bench_await(&bench, XDP_BENCH_PACKETS);
	cr_assert(netns_run("ip link set va down"));
	for (uint32_t i = 0; i < XDP_BENCH_PACKETS; i += EACH) {
		xdp_bench_send_all(&bench, bench.packets + i, EACH);
		cr_expect_eq(bench.packets[i]->verdict,
			     i ? VERDICT_DROP_TX_ERROR : VERDICT_FORWARDED);
	}
	xdp_bench_give_back(&bench);
	cr_assert(netns_run("ip link set va up"));
	xdp_bench_await_link(bench.peer);
	xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, LAST_LEN);
	xdp_bench_await(&bench, 1);
	xdp_bench_send(&bench, 1);
	cr_expect_eq(bench.packets[0]->verdict, VERDICT_FORWARDED);
	while (xdp_bench_peer_receives(&bench, frame, sizeof(frame)) != UDP_HEADERS_LEN + LAST_LEN)
		n_late++;
	cr_expect_eq(n_late, EACH);
	xdp_bench_close(&bench);
}

Test(io_afxdp, a_link_of_long_frames_has_long_chunks)
{
	uint8_t frame[4000];
	struct xdp_bench bench = {.peer = xdp_bench_enter(3000)};
	xdp_bench_open_on(&bench, "va");
	xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, 2900);
	xdp_bench_await(&bench, 1);
	cr_expect(xdp_bench_is_lent(&bench, bench.packets[0]));
	xdp_bench_send(&bench, 1);
	cr_expect_eq(xdp_bench_peer_receives(&bench, frame, sizeof(frame)), 2942);
	xdp_bench_close(&bench);
}

// Their driver runs no program any more, and the kernel's way has room for 64 KiB.
Test(io_afxdp, frames_that_fit_no_chunk_come_by_packet_sockets)
{
	static uint8_t frame[FRAME_MAX];
	struct xdp_bench bench = {.peer = xdp_bench_enter(9000)};
	xdp_bench_open_on(&bench, "va");
	xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, 8000);
	xdp_bench_await(&bench, 1);
	cr_expect_not(xdp_bench_is_lent(&bench, bench.packets[0]));
	cr_expect_eq(bench.packets[0]->len, 8042);
	xdp_bench_send(&bench, 1);
	cr_expect_eq(xdp_bench_peer_receives(&bench, frame, sizeof(frame)), 8042);
	xdp_bench_close(&bench);
}

// Their driver runs the program on super-frames as well.
Test(io_afxdp, short_super_frames_of_tap_devices_come_by_packet_sockets)
{
	enum { SEGMENT = 400 };
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct frame_spec spec = xdp_bench_spec(XDP_BENCH_PORT, 2 * SEGMENT);
	cr_assert(netns_enter());
	struct xdp_bench bench = {.peer = tap_open("tap0")};
	if (bench.peer < 0)
		cr_skip("needs tap devices");
	xdp_bench_open_on(&bench, "tap0");
	tap_send(bench.peer, frame, frame_build(&spec, frame, &vnet));
	xdp_bench_await(&bench, 1);
	cr_expect(xdp_bench_is_lent(&bench, bench.packets[0]));
	xdp_bench_give_back(&bench);

	spec.sum = SUM_PARTIAL;
	tap_send_super_frame(bench.peer, frame, frame_build(&spec, frame, &vnet), PACKET_GSO_UDP_L4,
			     SEGMENT);
	xdp_bench_await(&bench, 1);
	cr_expect_not(xdp_bench_is_lent(&bench, bench.packets[0]));
	cr_expect_eq(bench.packets[0]->vnet.gso_type, PACKET_GSO_UDP_L4);
	cr_expect_eq(bench.packets[0]->vnet.gso_size, SEGMENT);
	xdp_bench_close(&bench);
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
	struct xdp_bench bench;
	xdp_bench_open(&bench);
	cr_expect(has_program("va"));
	cr_expect(keeps_tags());
	xdp_bench_close(&bench);
	cr_expect_not(has_program("va"));
	cr_expect_not(keeps_tags());
}

Test(io_afxdp, what_was_off_before_stays_off)
{
	struct xdp_bench bench = {.peer = xdp_bench_enter(XDP_BENCH_MTU)};
	cr_assert(netns_run("ethtool -K va rxvlan off"));
	xdp_bench_open_on(&bench, "va");
	xdp_bench_close(&bench);
	cr_expect(keeps_tags());
}

Test(io_afxdp, can_be_opened_again_at_once)
{
	struct err err = {0};
	struct xdp_bench bench;
	xdp_bench_open(&bench);
	for (int i = 0; i < 5; i++) {
		io_afxdp.close(bench.io);
		cr_assert_eq(xdp_bench_open_driver(&bench, &err), 0, "%s", err.message);
		bench.pool.io = bench.io;
	}
	xdp_bench_close(&bench);
}

Test(io_afxdp, a_driver_without_xdp_is_served_by_the_kernel)
{
	struct xdp_bench bench = {.peer = xdp_bench_enter(XDP_BENCH_MTU)};
	uint8_t frame[2000];
	cr_assert(netns_run("ip link add br0 type bridge && ip link set va master br0 && "
			    "ip link set br0 address 02:00:00:00:00:01 up"));
	xdp_bench_open_on(&bench, "br0");
	cr_assert(netns_run("ip -d link show dev br0 | grep -q xdpgeneric"));
	uint32_t n = 0;
	for (int tries = 0; n == 0 && tries < 10; tries++) {
		xdp_bench_peer_sends(&bench, XDP_BENCH_PORT, 500);
		n = xdp_bench_receive(&bench, 0);
	}
	cr_assert_gt(n, 0);
	cr_expect(xdp_bench_is_lent(&bench, bench.packets[0]));
	bench.packets[0]->frame[5] = 9; // away from the bridge
	xdp_bench_send(&bench, 1);
	do {
		n = xdp_bench_peer_receives(&bench, frame, sizeof(frame));
	} while (frame[0] & 1); // what the bridge says by itself
	cr_expect_eq(n, 542);
	xdp_bench_close(&bench);
	cr_expect_not(has_program("br0"));
}

Test(io_afxdp, what_cannot_be_opened_is_said_and_leaves_nothing)
{
	struct xdp_bench bench = {.peer = xdp_bench_enter(XDP_BENCH_MTU), .link = "va"};
	struct xdp_program other;
	struct xdp_program_params params = {0};
	struct io_link link = {.name = "va", .ifindex = if_nametoindex("va")};
	struct err err = {0};
	cr_assert_eq(xdp_program_open(&other, &link, &params, &err), 0, "%s", err.message);
	cr_expect_lt(xdp_bench_open_driver(&bench, &err), 0);
	cr_expect_not_null(strstr(err.message, "ip link set dev va xdp off"), "%s", err.message);
	xdp_program_close(&other);

	cr_assert_eq(seteuid(65534), 0);
	cr_expect_eq(xdp_bench_open_driver(&bench, &err), -EPERM);
	cr_expect_not_null(strstr(err.message, "CAP_"), "%s", err.message);
	cr_assert_eq(seteuid(0), 0);
	cr_expect_not(has_program("va"));
	cr_expect_null(bench.io);
	io_afxdp.close(NULL);
}
