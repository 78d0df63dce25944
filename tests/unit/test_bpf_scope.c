// SPDX-License-Identifier: Apache-2.0
// Which packets are surely culvert's: the programs that are told so, run by the kernel on frames of
// every kind (BPF_PROG_TEST_RUN). That of XDP redirects them, that of the fast path ends them.
#include "packet/bpf_scope.h"

#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "lib/scope_lab.h"
#include "packet/fast_program.h"
#include "packet/xdp_program.h"

enum { SECRET = 1 };

static struct xdp_program xdp; // with one socket, at the queue that test runs come in by
static int socket_fd;
static struct fast_program fast;

static void tell(uint32_t n_vips)
{
	scope_set(&xdp.scope, n_vips);
	scope_set(&fast.scope, n_vips);
}

static void open_programs(void)
{
	struct err err = {0};
	if (!netns_enter())
		cr_skip("needs root");
	int code = xdp_program_load(&xdp, &(struct xdp_program_params){0}, &err);
	cr_assert_eq(code, 0, "%s", err.message);
	socket_fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	cr_assert_geq(socket_fd, 0);
	cr_assert_eq(xdp_program_add_socket(&xdp, 0, socket_fd, &err), 0, "%s", err.message);
	cr_assert_eq(fast_program_load(&fast, SECRET, &err), 0, "%s", err.message);
	fast.maps.control->ends_ours = true;
	tell(SCOPE_N_VIPS);
}

static void close_programs(void)
{
	fast_program_close(&fast);
	xdp_program_close(&xdp);
	close(socket_fd);
}

static int run(int program_fd, const struct frame_spec *spec)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	uint32_t len = frame_build(spec, frame, &vnet);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = len);
	cr_assert_eq(bpf_prog_test_run_opts(program_fd, &options), 0);
	return (int)options.retval;
}

// Both say the same.
static bool is_ours(const struct frame_spec *spec)
{
	int by_xdp = run(xdp.fd, spec);
	int by_fast_path = run(fast.forward_fd, spec);
	cr_assert(by_xdp == XDP_PASS || by_xdp == XDP_REDIRECT, "%d", by_xdp);
	cr_assert_eq(by_fast_path, by_xdp == XDP_REDIRECT ? TC_ACT_SHOT : TC_ACT_UNSPEC);
	return by_xdp == XDP_REDIRECT;
}

TestSuite(bpf_scope, .init = open_programs, .fini = close_programs);

Test(bpf_scope, requests_and_replies_of_both_families_are_ours)
{
	struct frame_spec specs[] = {scope_request_v4(), scope_request_v6(), scope_reply_v4(),
				     scope_reply_v6()};
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		cr_expect(is_ours(&specs[i]), "%zu", i);
		specs[i].sum = SUM_PARTIAL;
		cr_expect(is_ours(&specs[i]), "%zu", i);
	}
	struct frame_spec udp = scope_request_v4();
	udp.proto = IPPROTO_UDP;
	udp.dst_port = 53;
	cr_expect(is_ours(&udp));
}

Test(bpf_scope, what_is_for_others_is_left_alone)
{
	struct frame_spec spec = scope_request_v4();
	spec.dst_port = 81;
	cr_expect_not(is_ours(&spec), "another port");
	spec = scope_request_v4();
	spec.proto = IPPROTO_UDP;
	cr_expect_not(is_ours(&spec), "another protocol");
	spec = scope_request_v4();
	spec.dst = frame_v4(SCOPE_OWN);
	cr_expect_not(is_ours(&spec), "another address");
	spec = scope_request_v6();
	spec.dst = scope_own_v6;
	cr_expect_not(is_ours(&spec));
}

Test(bpf_scope, what_comes_from_others_or_to_other_ports_is_no_reply)
{
	struct frame_spec spec = scope_reply_v4();
	spec.dst_port = SCOPE_NAT_PORT - 1;
	cr_expect_not(is_ours(&spec), "a health check's answer");
	spec = scope_reply_v4();
	spec.dst_port = SCOPE_NAT_PORT_MAX + 1;
	cr_expect_not(is_ours(&spec));
	spec = scope_reply_v4();
	spec.src_port = 8081;
	cr_expect_not(is_ours(&spec), "not a backend");
	spec = scope_reply_v4();
	spec.src = frame_v4(SCOPE_CLIENT);
	cr_expect_not(is_ours(&spec));
	spec = scope_reply_v4();
	spec.dst = frame_v4(SCOPE_VIP);
	cr_expect_not(is_ours(&spec), "not to an address that backends are spoken to from");
	// A frontend may have a port of the range.
	spec = scope_request_v4();
	spec.src_port = SCOPE_NAT_PORT;
	cr_expect(is_ours(&spec));
}

Test(bpf_scope, what_is_not_plain_is_left_alone)
{
	struct frame_spec spec = scope_request_v4();
	spec.fragment = 0x2000;
	cr_expect_not(is_ours(&spec), "a first fragment");
	spec.fragment = 0x0001;
	cr_expect_not(is_ours(&spec), "a later one");
	spec = scope_request_v4();
	spec.fragment = 0x4000;
	cr_expect(is_ours(&spec), "not to be fragmented");
	spec = scope_request_v4();
	spec.ip_options = (struct frame_options){.bytes = {1, 1, 1, 1}, .len = 4};
	cr_expect_not(is_ours(&spec), "options");
	spec = scope_request_v4();
	spec.n_vlans = 1;
	spec.vlans[0] = 10;
	cr_expect_not(is_ours(&spec), "a tag");
	spec.vlans[0] = 0xe000;
	cr_expect_not(is_ours(&spec), "a tag of a priority");
	spec = scope_request_v4();
	spec.proto = IPPROTO_ICMP;
	cr_expect_not(is_ours(&spec), "ICMP");
	spec = scope_request_v6();
	const uint8_t padding[8] = {0, 0, 1, 4};
	cr_assert(frame_add_extension(&spec.extensions, IPPROTO_HOPOPTS, padding, 8));
	cr_expect_not(is_ours(&spec), "an extension header");
}

Test(bpf_scope, a_frame_that_ends_early_is_left_alone)
{
	struct frame_spec specs[] = {scope_request_v4(), scope_request_v6()};
	const uint32_t ip_end[] = {34, 54}; // of shorter frames the kernel gives XDP only
	const uint32_t ports_end[] = {38, 58};
	for (size_t i = 0; i < 2; i++) {
		uint32_t *len = &specs[i].cut_to;
		*len = ports_end[i];
		cr_expect(is_ours(&specs[i]));
		for (*len = ETH_HLEN; *len < ip_end[i]; ++*len)
			cr_expect_eq(run(xdp.fd, &specs[i]), XDP_PASS, "%u bytes", *len);
		for (; *len < ports_end[i]; ++*len)
			cr_expect_not(is_ours(&specs[i]), "%u bytes", *len);
	}
}

Test(bpf_scope, who_is_left_out_of_the_next_scope_is_the_kernels)
{
	struct frame_spec v4 = scope_request_v4();
	struct frame_spec v6 = scope_request_v6();
	struct frame_spec reply = scope_reply_v4();
	tell(1);
	cr_expect(is_ours(&v4));
	cr_expect_not(is_ours(&v6));
	cr_expect(is_ours(&reply));
	tell(2);
	cr_expect(is_ours(&v6));
	tell(0);
	cr_expect_not(is_ours(&v4));
	cr_expect_not(is_ours(&v6));
}

// One that nobody takes off when culvert is gone would go on for ever.
Test(bpf_scope, a_program_that_may_stay_behind_ends_nothing)
{
	struct frame_spec spec = scope_request_v4();
	fast.maps.control->ends_ours = false;
	cr_expect_eq(run(fast.forward_fd, &spec), TC_ACT_UNSPEC);
}
