// SPDX-License-Identifier: Apache-2.0
// What a program takes out of a packet socket's hands, on links of a private network namespace. The
// program here takes datagrams to ports with odd numbers.
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../support/lib/frame.h"
#include "../support/lib/netns.h"
#include "culvert/packet/io.h"
#include "packet/packet_pool.h"

enum {
	N_PACKETS = PACKET_BURST,
	AWAIT_MS = 100,
	TRIES = 300,
	PORT_IN_IP_PACKET = IP_HEADER_MIN + 2,
	PORT_IN_FRAME = ETH_HEADER_LEN + PORT_IN_IP_PACKET,
	LAST = 100, // the port of a datagram that nobody takes
};

struct bench {
	struct io *io;
	struct packet_pool pool;
	struct packet *packets[N_PACKETS];
	int program;
	int own;  // a socket that sends by the captured link
	int peer; // and one at the other end
};

// Kernels before 6.13 let no socket join a fanout group while its link is down.
static bool is_kernel_older; // each test is a process

static bool is_link_down(int fd)
{
	struct sockaddr_ll addr = {0};
	socklen_t len = sizeof(addr);
	struct ifreq request = {0};
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	cr_assert(if_indextoname((unsigned)addr.sll_ifindex, request.ifr_name));
	cr_assert_eq(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	return !(request.ifr_flags & IFF_UP);
}

// In the place of that of the C library.
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (is_kernel_older && level == SOL_PACKET && name == PACKET_FANOUT && is_link_down(fd)) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

// A word of the packet behind its link header, wherever that begins, to be returned modulo two; but
// 1 for what leaves.
static int load_program(void)
{
	static const struct bpf_insn program[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1},
		{.code = BPF_LDX | BPF_MEM | BPF_W,
		 .dst_reg = BPF_REG_0,
		 .src_reg = BPF_REG_6,
		 .off = offsetof(struct __sk_buff, pkt_type)},
		{.code = BPF_JMP | BPF_JEQ | BPF_K,
		 .dst_reg = BPF_REG_0,
		 .off = 2,
		 .imm = PACKET_OUTGOING},
		{.code = BPF_LD | BPF_ABS | BPF_H, .imm = SKF_NET_OFF + PORT_IN_IP_PACKET},
		{.code = BPF_JMP | BPF_JA, .off = 1},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "odd", "GPL", program,
			       sizeof(program) / sizeof(program[0]), NULL);
	cr_assert_geq(fd, 0);
	return fd;
}

static struct io *open_io(const char *filter, int program)
{
	struct err err = {0};
	struct io *io = NULL;
	struct io_link link = {
		.name = "va",
		.ifindex = if_nametoindex("va"),
		.filter = filter,
		.divert_fd = program,
	};
	cr_assert_eq(io_afpacket.open(&io, &link, 1, &err), 0, "%s", err.message);
	return io;
}

static void bench_open(struct bench *bench, const char *filter)
{
	struct err err = {0};
	if (!netns_enter())
		cr_skip("needs root, for a private network namespace");
	cr_assert(netns_run("ip link add va type veth peer name vb"));
	// IPv6 would speak by itself.
	cr_assert(netns_run("sysctl -qw net.ipv6.conf.va.disable_ipv6=1 "
			    "net.ipv6.conf.vb.disable_ipv6=1"));
	cr_assert(netns_run("ip link set va up && ip link set vb up"));
	bench->own = netns_link_socket(0, "va");
	bench->peer = netns_link_socket(0, "vb");
	cr_assert(netns_await_link(bench->own, bench->peer));
	bench->program = load_program();
	bench->io = open_io(filter, bench->program);
	cr_assert_eq(packet_pool_init(&bench->pool, N_PACKETS, &err), 0, "%s", err.message);
	cr_assert_eq(packet_pool_take(&bench->pool, bench->packets, N_PACKETS), N_PACKETS);
}

static void bench_close(struct bench *bench)
{
	cr_expect_eq(io_afpacket.kernel_drops(bench->io), 0, "what is diverted is not lost");
	io_afpacket.close(bench->io);
	packet_pool_give_back(&bench->pool, bench->packets, N_PACKETS);
	packet_pool_fini(&bench->pool);
	close(bench->program);
	close(bench->own);
	close(bench->peer);
}

static void send_by(int fd, uint16_t port, uint32_t payload_len)
{
	uint8_t frame[4096];
	struct virtio_net_hdr vnet;
	struct frame_spec spec = {
		.src_mac = {{2, 0, 0, 0, 0, 9}},
		.dst_mac = {{2, 0, 0, 0, 0, 1}},
		.src = frame_v4(0x0a01000b),
		.dst = frame_v4(0x0a010064),
		.proto = IPPROTO_UDP,
		.ttl = 64,
		.dst_port = port,
		.payload_len = payload_len,
	};
	uint32_t len = frame_build(&spec, frame, &vnet);
	cr_assert_eq(send(fd, frame, len, 0), (ssize_t)len);
}

// The next that is received by one of the links: its port.
static unsigned receive_by(struct bench *bench, struct io *io, uint32_t link)
{
	int never = eventfd(0, EFD_CLOEXEC);
	int n = 0;
	for (int tries = 0; n == 0 && tries < TRIES; tries++) {
		io_afpacket.wait(io, never, AWAIT_MS);
		n = io_afpacket.recv_burst(io, link, bench->packets, 1);
	}
	close(never);
	cr_assert_eq(n, 1);
	const uint8_t *frame = bench->packets[0]->frame;
	return (unsigned)(frame[PORT_IN_FRAME] << 8 | frame[PORT_IN_FRAME + 1]);
}

static unsigned receive(struct bench *bench, struct io *io)
{
	return receive_by(bench, io, 0);
}

// Datagrams to the ports from 50 to 59, and what comes of them.
static void expect_even_ones(struct bench *bench)
{
	for (uint16_t port = 50; port < 60; port++)
		send_by(bench->peer, port, port % 3 ? 10 : 1400);
	send_by(bench->peer, LAST, 10);
	for (unsigned port = 50; port < 60; port += 2)
		cr_assert_eq(receive(bench, bench->io), port);
	cr_assert_eq(receive(bench, bench->io), LAST);
}

Test(afpacket_divert, what_the_program_takes_is_not_received_and_the_rest_is)
{
	struct bench bench;
	bench_open(&bench, NULL);
	for (int i = 0; i < 20; i++)
		expect_even_ones(&bench);
	bench_close(&bench);
}

Test(afpacket_divert, the_filter_decides_about_the_rest)
{
	struct bench bench;
	struct err err = {0};
	bench_open(&bench, "udp dst portrange 50-100");
	send_by(bench.peer, 48, 10);
	expect_even_ones(&bench);
	cr_assert_eq(io_afpacket.set_filter(bench.io, "udp dst portrange 52-53", &err), 0, "%s",
		     err.message);
	for (uint16_t port = 50; port < 56; port++)
		send_by(bench.peer, port, 10);
	send_by(bench.peer, 52, 10);
	cr_expect_eq(receive(&bench, bench.io), 52);
	cr_expect_eq(receive(&bench, bench.io), 52);
	bench_close(&bench);
}

Test(afpacket_divert, it_is_still_so_when_the_link_has_been_down)
{
	struct bench bench;
	bench_open(&bench, NULL);
	for (int i = 0; i < 3; i++) {
		cr_assert(netns_run("ip link set va down"));
		cr_expect_eq(io_afpacket.recv_burst(bench.io, 0, bench.packets, N_PACKETS), 0);
		cr_assert(netns_run("ip link set va up"));
		cr_assert(netns_await_link(bench.own, bench.peer));
		while (io_afpacket.recv_burst(bench.io, 0, bench.packets, N_PACKETS) > 0)
			;
		expect_even_ones(&bench);
	}
	bench_close(&bench);
}

// A second pair, which is down while the driver opens both.
static void open_with_one_down(struct bench *bench)
{
	struct err err = {0};
	cr_assert(netns_run("ip link add vc type veth peer name vd"));
	cr_assert(netns_run("sysctl -qw net.ipv6.conf.vc.disable_ipv6=1 "
			    "net.ipv6.conf.vd.disable_ipv6=1"));
	struct io_link links[] = {
		{.name = "vc", .ifindex = if_nametoindex("vc"), .divert_fd = bench->program},
		{.name = "va", .ifindex = if_nametoindex("va"), .divert_fd = bench->program},
	};
	io_afpacket.close(bench->io);
	bench->io = NULL;
	cr_assert_eq(io_afpacket.open(&bench->io, links, 2, &err), 0, "%s", err.message);
}

// What it says then, for free().
static char *log_of_open_with_one_down(struct bench *bench)
{
	FILE *log = tmpfile();
	int own = dup(STDERR_FILENO);
	cr_assert(log && own >= 0);
	dup2(fileno(log), STDERR_FILENO);
	open_with_one_down(bench);
	dup2(own, STDERR_FILENO);
	close(own);
	char *text = calloc(1, 4096);
	cr_assert_not_null(text);
	rewind(log);
	(void)fread(text, 1, 4095, log);
	fclose(log);
	return text;
}

// The link that was down comes up: both have got datagrams to the ports from 50 to 59.
static void send_to_both(struct bench *bench)
{
	int own = netns_link_socket(0, "vc");
	int peer = netns_link_socket(0, "vd");
	cr_assert(netns_run("ip link set vc up && ip link set vd up"));
	cr_assert(netns_await_link(own, peer));
	for (uint32_t link = 0; link < 2; link++) {
		while (io_afpacket.recv_burst(bench->io, link, bench->packets, N_PACKETS) > 0)
			;
	}
	for (uint16_t port = 50; port < 60; port++) {
		send_by(peer, port, 10);
		send_by(bench->peer, port, 10);
	}
	close(own);
	close(peer);
}

Test(afpacket_divert, a_link_that_was_down_at_the_start_is_diverted_once_it_is_up)
{
	struct bench bench;
	bench_open(&bench, NULL);
	char *log = log_of_open_with_one_down(&bench);
	send_to_both(&bench);
	// Unless this kernel is old itself.
	unsigned step = strstr(log, "vc is down") ? 1 : 2;
	for (unsigned port = 50; port < 60; port += step)
		cr_expect_eq(receive_by(&bench, bench.io, 0), port);
	for (unsigned port = 50; port < 60; port += 2)
		cr_expect_eq(receive_by(&bench, bench.io, 1), port);
	free(log);
	bench_close(&bench);
}

Test(afpacket_divert, where_an_older_kernel_diverts_no_link_that_is_down_the_others_are)
{
	struct bench bench;
	is_kernel_older = true;
	bench_open(&bench, NULL);
	char *log = log_of_open_with_one_down(&bench);
	cr_expect(strstr(log, "vc is down"), "%s", log);
	cr_expect_null(strstr(log, "va is down"));
	send_to_both(&bench);
	for (unsigned port = 50; port < 60; port++)
		cr_expect_eq(receive_by(&bench, bench.io, 0), port);
	for (unsigned port = 50; port < 60; port += 2)
		cr_expect_eq(receive_by(&bench, bench.io, 1), port);
	free(log);
	bench_close(&bench);
}

Test(afpacket_divert, what_leaves_by_the_link_is_not_received)
{
	struct bench bench;
	bench_open(&bench, NULL);
	for (uint16_t port = 50; port < 60; port++)
		send_by(bench.own, port, 10);
	send_by(bench.peer, LAST, 10);
	cr_expect_eq(receive(&bench, bench.io), LAST);
	bench_close(&bench);
}

Test(afpacket_divert, other_sockets_of_the_link_receive_all)
{
	struct bench bench;
	bench_open(&bench, NULL);
	struct io *plain = open_io("udp", 0);
	struct io *second = open_io("udp", bench.program);
	for (uint16_t port = 50; port < 60; port++)
		send_by(bench.peer, port, 10);
	for (unsigned port = 50; port < 60; port++)
		cr_expect_eq(receive(&bench, plain), port);
	for (unsigned port = 50; port < 60; port += 2) {
		cr_expect_eq(receive(&bench, bench.io), port);
		cr_expect_eq(receive(&bench, second), port);
	}
	io_afpacket.close(plain);
	io_afpacket.close(second);
	bench_close(&bench);
}

Test(afpacket_divert, what_is_no_program_is_refused)
{
	struct bench bench;
	struct err err = {0};
	struct io *io = NULL;
	bench_open(&bench, NULL);
	struct io_link link = {.name = "va",
			       .ifindex = if_nametoindex("va"),
			       .divert_fd = bench.own};
	cr_expect_lt(io_afpacket.open(&io, &link, 1, &err), 0);
	cr_expect_neq(err.message[0], '\0');
	cr_expect_null(io);
	expect_even_ones(&bench);
	bench_close(&bench);
}
