// SPDX-License-Identifier: Apache-2.0
// The XDP program, run by the kernel on frames of every kind (BPF_PROG_TEST_RUN).
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/frame.h"
#include "../support/lib/netns.h"
#include "packet/xdp_program.h"

enum {
	CLIENT = 0x0a00000a,
	VIP = 0x0a000001,
	OWN = 0x0a000002,
	BACKEND = 0x0a000065,
	NAT_PORT = 33768,
	NAT_PORT_MAX = 61000,
};

static const struct ip_addr v6_client = {{0xfd, [15] = 0x10}};
static const struct ip_addr v6_vip = {{0xfd, [15] = 1}};
static const struct ip_addr v6_own = {{0xfd, [15] = 2}};
static const struct ip_addr v6_backend = {{0xfd, [15] = 0x65}};

static struct endpoint endpoint_of(struct ip_addr addr, uint16_t port, uint8_t proto)
{
	return (struct endpoint){.addr = addr, .port_be = htons(port), .proto = proto};
}

static struct frame_spec spec_of(struct ip_addr src, uint16_t src_port, struct ip_addr dst,
				 uint16_t dst_port)
{
	return (struct frame_spec){
		.src_mac = {{2, 0, 0, 0, 0, 9}},
		.dst_mac = {{2, 0, 0, 0, 0, 1}},
		.src = src,
		.dst = dst,
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = src_port,
		.dst_port = dst_port,
		.payload_len = 20,
	};
}

static struct frame_spec request_v4(void)
{
	return spec_of(frame_v4(CLIENT), 40000, frame_v4(VIP), 80);
}

static struct frame_spec request_v6(void)
{
	return spec_of(v6_client, 40000, v6_vip, 80);
}

static struct frame_spec reply_v4(void)
{
	return spec_of(frame_v4(BACKEND), 8080, frame_v4(OWN), NAT_PORT);
}

static struct frame_spec reply_v6(void)
{
	return spec_of(v6_backend, 8080, v6_own, NAT_PORT_MAX);
}

// A program with one socket, at the queue that test runs come in by.
static struct xdp_program program;
static int socket_fd;

static void set_scope(uint32_t n_vips, uint32_t round)
{
	const struct endpoint vips[] = {
		endpoint_of(frame_v4(VIP), 80, IPPROTO_TCP),
		endpoint_of(v6_vip, 80, IPPROTO_TCP),
		endpoint_of(frame_v4(VIP), 53, IPPROTO_UDP),
	};
	const struct endpoint backends[] = {
		endpoint_of(frame_v4(BACKEND), 8080, IPPROTO_TCP),
		endpoint_of(v6_backend, 8080, IPPROTO_TCP),
	};
	const struct ip_addr own[] = {frame_v4(OWN), v6_own};
	struct io_scope scope = {vips, n_vips, backends, 2, own, 2, NAT_PORT, NAT_PORT_MAX};
	struct err err = {0};
	cr_assert_eq(xdp_program_set_scope(&program, &scope, round, &err), 0, "%s", err.message);
}

static void open_program(void)
{
	struct err err = {0};
	if (!netns_enter())
		cr_skip("needs root");
	int code = xdp_program_load(&program, &(struct xdp_program_params){0}, &err);
	cr_assert_eq(code, 0, "%s", err.message);
	socket_fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	cr_assert_geq(socket_fd, 0);
	cr_assert_eq(xdp_program_add_socket(&program, 0, socket_fd, &err), 0, "%s", err.message);
	set_scope(3, 1);
}

static void close_program(void)
{
	xdp_program_close(&program);
	close(socket_fd);
}

static bool takes(const struct frame_spec *spec)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	uint32_t len = frame_build(spec, frame, &vnet);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = len);
	cr_assert_eq(bpf_prog_test_run_opts(program.fd, &options), 0);
	cr_assert(options.retval == XDP_PASS || options.retval == XDP_REDIRECT, "%u",
		  options.retval);
	return options.retval == XDP_REDIRECT;
}

TestSuite(xdp_program, .init = open_program, .fini = close_program);

Test(xdp_program, requests_and_replies_of_both_families_are_taken)
{
	struct frame_spec specs[] = {request_v4(), request_v6(), reply_v4(), reply_v6()};
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		cr_expect(takes(&specs[i]), "%zu", i);
		specs[i].sum = SUM_PARTIAL;
		cr_expect(takes(&specs[i]), "%zu", i);
	}
	struct frame_spec udp = request_v4();
	udp.proto = IPPROTO_UDP;
	udp.dst_port = 53;
	cr_expect(takes(&udp));
}

Test(xdp_program, what_is_for_others_is_left_alone)
{
	struct frame_spec spec = request_v4();
	spec.dst_port = 81;
	cr_expect_not(takes(&spec), "another port");
	spec = request_v4();
	spec.proto = IPPROTO_UDP;
	cr_expect_not(takes(&spec), "another protocol");
	spec = request_v4();
	spec.dst = frame_v4(OWN);
	cr_expect_not(takes(&spec), "another address");
	spec = request_v6();
	spec.dst = v6_own;
	cr_expect_not(takes(&spec));
}

Test(xdp_program, what_comes_from_others_or_to_other_ports_is_no_reply)
{
	struct frame_spec spec = reply_v4();
	spec.dst_port = NAT_PORT - 1;
	cr_expect_not(takes(&spec), "a health check's answer");
	spec = reply_v4();
	spec.dst_port = NAT_PORT_MAX + 1;
	cr_expect_not(takes(&spec));
	spec = reply_v4();
	spec.src_port = 8081;
	cr_expect_not(takes(&spec), "not a backend");
	spec = reply_v4();
	spec.src = frame_v4(CLIENT);
	cr_expect_not(takes(&spec));
	spec = reply_v4();
	spec.dst = frame_v4(VIP);
	cr_expect_not(takes(&spec), "not to an address that backends are spoken to from");
	// A frontend may have a port of the range.
	spec = request_v4();
	spec.src_port = NAT_PORT;
	cr_expect(takes(&spec));
}

Test(xdp_program, what_is_not_plain_is_left_to_packet_sockets)
{
	struct frame_spec spec = request_v4();
	spec.fragment = 0x2000;
	cr_expect_not(takes(&spec), "a first fragment");
	spec.fragment = 0x0001;
	cr_expect_not(takes(&spec), "a later one");
	spec = request_v4();
	spec.fragment = 0x4000;
	cr_expect(takes(&spec), "not to be fragmented");
	spec = request_v4();
	spec.ip_options = (struct frame_options){.bytes = {1, 1, 1, 1}, .len = 4};
	cr_expect_not(takes(&spec), "options");
	spec = request_v4();
	spec.n_vlans = 1;
	spec.vlans[0] = 10;
	cr_expect_not(takes(&spec), "a tag");
	spec.vlans[0] = 0xe000;
	cr_expect_not(takes(&spec), "a tag of a priority");
	spec = request_v4();
	spec.proto = IPPROTO_ICMP;
	cr_expect_not(takes(&spec), "ICMP");
	spec = request_v6();
	const uint8_t padding[8] = {0, 0, 1, 4};
	cr_assert(frame_add_extension(&spec.extensions, IPPROTO_HOPOPTS, padding, 8));
	cr_expect_not(takes(&spec), "an extension header");
}

Test(xdp_program, a_frame_too_long_for_a_chunk_is_left_to_packet_sockets)
{
	struct frame_spec spec = request_v4();
	spec.payload_len = XDP_FRAME_MAX - 54;
	cr_expect(takes(&spec));
	spec.payload_len++;
	cr_expect_not(takes(&spec));
}

Test(xdp_program, a_frame_that_ends_early_is_left_alone)
{
	struct frame_spec specs[] = {request_v4(), request_v6()};
	const uint32_t ports_end[] = {38, 58};
	for (size_t i = 0; i < 2; i++) {
		specs[i].cut_to = ports_end[i];
		cr_expect(takes(&specs[i]));
		for (specs[i].cut_to = ETH_HLEN; specs[i].cut_to < ports_end[i]; specs[i].cut_to++)
			cr_expect_not(takes(&specs[i]), "%u bytes", specs[i].cut_to);
	}
}

Test(xdp_program, who_is_left_out_of_the_next_scope_is_the_kernels)
{
	struct frame_spec v4 = request_v4();
	struct frame_spec v6 = request_v6();
	struct frame_spec reply = reply_v4();
	set_scope(1, 2);
	cr_expect(takes(&v4));
	cr_expect_not(takes(&v6));
	cr_expect(takes(&reply));
	set_scope(2, 3);
	cr_expect(takes(&v6));
	set_scope(0, 4);
	cr_expect_not(takes(&v4));
	cr_expect_not(takes(&v6));
}

Test(xdp_program, a_queue_without_a_socket_passes)
{
	const uint32_t queue = 0;
	struct frame_spec spec = request_v4();
	cr_assert_eq(bpf_map_delete_elem(program.sockets_fd, &queue), 0);
	cr_expect_not(takes(&spec));
}

Test(xdp_program, those_that_share_a_scope_take_the_same)
{
	struct err err = {0};
	struct xdp_program first = program;
	struct xdp_program_params params = {.are_chunks_long = true, .first = &first};
	struct frame_spec spec = request_v4();
	cr_assert_eq(xdp_program_load(&program, &params, &err), 0, "%s", err.message);
	cr_expect_not(takes(&spec), "sockets are its own");
	cr_assert_eq(xdp_program_add_socket(&program, 0, socket_fd, &err), 0);
	cr_expect(takes(&spec));
	spec.payload_len = XDP_LONG_FRAME_MAX - 54;
	cr_expect(takes(&spec), "its chunks are longer");
	xdp_program_close(&first);
	cr_expect(takes(&spec));
}

// A short one looks like an ordinary frame, but for the checksum that its sender has left open.
Test(xdp_program, where_super_frames_come_what_may_be_one_is_left_to_packet_sockets)
{
	struct err err = {0};
	struct xdp_program first = program;
	struct xdp_program_params params = {.are_super_frames = true, .first = &first};
	cr_assert_eq(xdp_program_load(&program, &params, &err), 0, "%s", err.message);
	cr_assert_eq(xdp_program_add_socket(&program, 0, socket_fd, &err), 0, "%s", err.message);
	struct frame_spec specs[] = {request_v4(), request_v6(), reply_v4(), reply_v6(),
				     request_v4()};
	specs[4].proto = IPPROTO_UDP;
	specs[4].dst_port = 53;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		for (specs[i].payload_len = 0; specs[i].payload_len < 1600;
		     specs[i].payload_len += 37) {
			specs[i].sum = SUM_RIGHT;
			cr_expect(takes(&specs[i]), "%zu", i);
			specs[i].sum = SUM_PARTIAL;
			cr_expect_not(takes(&specs[i]), "%zu", i);
		}
	}
	xdp_program_close(&first);
}
