// SPDX-License-Identifier: Apache-2.0
// The XDP program, run by the kernel (BPF_PROG_TEST_RUN): what is its own. Whose packets it takes:
// test_bpf_scope.c.
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "lib/scope_lab.h"
#include "packet/xdp_program.h"

// A program with one socket, at the queue that test runs come in by.
static struct xdp_program program;
static int socket_fd;

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
	scope_set(&program.scope, SCOPE_N_VIPS);
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

Test(xdp_program, a_frame_too_long_for_a_chunk_is_left_to_packet_sockets)
{
	struct frame_spec spec = scope_request_v4();
	spec.payload_len = XDP_FRAME_MAX - 54;
	cr_expect(takes(&spec));
	spec.payload_len++;
	cr_expect_not(takes(&spec));
}

Test(xdp_program, a_queue_without_a_socket_passes)
{
	const uint32_t queue = 0;
	struct frame_spec spec = scope_request_v4();
	cr_assert_eq(bpf_map_delete_elem(program.sockets_fd, &queue), 0);
	cr_expect_not(takes(&spec));
}

Test(xdp_program, those_that_share_a_scope_take_the_same)
{
	struct err err = {0};
	struct xdp_program first = program;
	struct xdp_program_params params = {.are_chunks_long = true, .first = &first};
	struct frame_spec spec = scope_request_v4();
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
	struct frame_spec specs[] = {scope_request_v4(), scope_request_v6(), scope_reply_v4(),
				     scope_reply_v6(), scope_request_v4()};
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
