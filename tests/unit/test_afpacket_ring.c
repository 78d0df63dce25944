// SPDX-License-Identifier: Apache-2.0
// What becomes of the ring of a packet socket when the kernel cannot describe a frame.
#include "packet/afpacket_ring.h"

#include <criterion/criterion.h>
#include <net/if.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../support/lib/frame.h"
#include "../support/lib/netns.h"
#include "../support/lib/tap.h"
#include "culvert/packet/io.h"
#include "packet/packet_pool.h"

enum { N_PACKETS = PACKET_BURST, AWAIT_MS = 10, TRIES = 3000, UDP_HEADERS_LEN = 42 };

struct bench {
	struct io *io;
	struct packet_pool pool;
	struct packet *packets[N_PACKETS];
	int tap;
};

static void open_bench(struct bench *bench)
{
	struct err err = {0};
	if (!netns_enter())
		cr_skip("needs root, for a private network namespace");
	bench->tap = tap_open("tap0");
	if (bench->tap < 0)
		cr_skip("needs tap devices");
	struct io_link link = {.name = "tap0", .ifindex = if_nametoindex("tap0"), .filter = "udp"};
	cr_assert_eq(io_afpacket.open(&bench->io, &link, 1, &err), 0, "%s", err.message);
	cr_assert_eq(packet_pool_init(&bench->pool, N_PACKETS, &err), 0, "%s", err.message);
	cr_assert_eq(packet_pool_take(&bench->pool, bench->packets, N_PACKETS), N_PACKETS);
}

static void close_bench(struct bench *bench)
{
	io_afpacket.close(bench->io);
	packet_pool_give_back(&bench->pool, bench->packets, N_PACKETS);
	packet_pool_fini(&bench->pool);
	close(bench->tap);
}

static uint32_t build(uint8_t *frame, uint32_t payload_len)
{
	struct virtio_net_hdr vnet;
	struct frame_spec spec = {
		.src_mac = {{2, 0, 0, 0, 0, 9}},
		.dst_mac = {{2, 0, 0, 0, 0, 1}},
		.src = frame_v4(0x0a01000b),
		.dst = frame_v4(0x0a010064),
		.proto = IPPROTO_UDP,
		.ttl = 64,
		.src_port = 1000,
		.dst_port = 53,
		.payload_len = payload_len,
	};
	return frame_build(&spec, frame, &vnet);
}

static void send_frame(const struct bench *bench, uint32_t payload_len)
{
	static uint8_t frame[FRAME_MAX];
	tap_send(bench->tap, frame, build(frame, payload_len));
}

// One datagram, to be cut into fragments: what packet sockets have no word for.
static void send_what_has_no_description(const struct bench *bench)
{
	static uint8_t frame[FRAME_MAX];
	tap_send_super_frame(bench->tap, frame, build(frame, 3000), VIRTIO_NET_HDR_GSO_UDP, 1400);
}

// Sleeps until something may have come; returns how many packets.
static uint32_t receive(struct bench *bench)
{
	int never = eventfd(0, EFD_CLOEXEC);
	io_afpacket.wait(bench->io, never, AWAIT_MS);
	close(never);
	int received = io_afpacket.recv_burst(bench->io, 0, bench->packets, N_PACKETS);
	cr_assert_geq(received, 0);
	return (uint32_t)received;
}

// Control reads how many frames were dropped, and capture looks when it comes awake.
static uint32_t receive_after_control(struct bench *bench)
{
	io_afpacket.kernel_drops(bench->io);
	return receive(bench);
}

// Frames of one length are sent again and again until one arrives; then the rest is taken.
static void send_until_one_arrives(struct bench *bench, uint32_t payload_len)
{
	uint32_t n = 0;
	for (int tries = 0; n == 0 && tries < TRIES; tries++) {
		send_frame(bench, payload_len);
		n = receive_after_control(bench);
	}
	cr_assert_gt(n, 0);
	cr_expect_eq(bench->packets[0]->len, UDP_HEADERS_LEN + payload_len);
	cr_expect_eq(bench->packets[0]->vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	while (receive(bench))
		;
}

// It takes the ring with it. What comes meanwhile may be lost, but not for ever.
Test(afpacket_ring, a_super_frame_that_the_kernel_cannot_describe_is_lost_and_the_rest_goes_on)
{
	struct bench bench;
	open_bench(&bench);
	send_until_one_arrives(&bench, 100);
	send_what_has_no_description(&bench);
	send_until_one_arrives(&bench, 200);
	cr_expect_gt(io_afpacket.kernel_drops(bench.io), 0);
	send_until_one_arrives(&bench, 20000);
	close_bench(&bench);
}

// The first frame of all stops it, or one after others: then what was dropped may have been for
// want of room the first time, and the second time not.
static void expect_looks(bool has_come_before, int n_looks)
{
	struct bench bench;
	open_bench(&bench);
	if (has_come_before)
		send_until_one_arrives(&bench, 100);
	send_what_has_no_description(&bench);
	for (int i = 0; i < n_looks; i++) {
		send_frame(&bench, 200);
		cr_expect_eq(receive_after_control(&bench), 0);
	}
	send_frame(&bench, 300);
	cr_assert_eq(receive(&bench), 1);
	cr_expect_eq(bench.packets[0]->len, UDP_HEADERS_LEN + 300);
	close_bench(&bench);
}

Test(afpacket_ring, control_reads_twice_at_most_until_it_is_given_up)
{
	expect_looks(false, 1);
	expect_looks(true, 2);
}

// A ring that was full has dropped frames as well.
Test(afpacket_ring, is_kept_when_frames_were_dropped_for_want_of_room)
{
	enum { N_SENT = 6000, ROUNDS = 3 };
	struct bench bench;
	open_bench(&bench);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t before = io_afpacket.kernel_drops(bench.io);
		for (int k = 0; k < N_SENT; k++)
			send_frame(&bench, 100);
		while (receive(&bench))
			;
		cr_expect_gt(io_afpacket.kernel_drops(bench.io), before);
		cr_expect_eq(receive(&bench), 0);
	}
	send_what_has_no_description(&bench);
	send_frame(&bench, 200);
	cr_expect_eq(receive(&bench), 0, "it is there still, and this has stopped it");
	close_bench(&bench);
}

// Nobody but control asks for a look.
Test(afpacket_ring, capture_sleeps_until_it_is_woken_up)
{
	enum { WAIT_MS = 2500 };
	struct bench bench;
	struct timespec before, after;
	open_bench(&bench);
	send_until_one_arrives(&bench, 100);
	int never = eventfd(0, EFD_CLOEXEC);
	clock_gettime(CLOCK_MONOTONIC, &before);
	io_afpacket.wait(bench.io, never, WAIT_MS);
	clock_gettime(CLOCK_MONOTONIC, &after);
	int64_t ms =
		(after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	cr_expect_geq(ms, WAIT_MS - 1);
	close(never);
	close_bench(&bench);
}

Test(afpacket_ring, the_next_such_frame_takes_nothing_with_it)
{
	enum { N_LOST = 3 };
	struct bench bench;
	uint32_t n = 0;
	open_bench(&bench);
	send_what_has_no_description(&bench);
	send_until_one_arrives(&bench, 200);
	uint64_t drops = io_afpacket.kernel_drops(bench.io);
	for (int i = 0; i < N_LOST; i++)
		send_what_has_no_description(&bench);
	send_frame(&bench, 300);
	for (int tries = 0; n == 0 && tries < TRIES; tries++)
		n = receive(&bench);
	cr_assert_eq(n, 1);
	cr_expect_eq(bench.packets[0]->len, UDP_HEADERS_LEN + 300);
	cr_expect_eq(io_afpacket.kernel_drops(bench.io), drops + N_LOST);
	close_bench(&bench);
}
