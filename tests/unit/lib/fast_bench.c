// SPDX-License-Identifier: Apache-2.0
#include "fast_bench.h"

#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <net/if.h>
#include <string.h>

#include "../../support/lib/netns.h"

enum { SECRET = 99 };

static const char *const links[SCENE_N_LINKS] = {"fpfront", "fpback"};

// Only what is for the hardware address of its link is for this host.
static void make_links(struct fast_bench *bench)
{
	cr_assert(netns_run("ip link add fpfront type veth peer name fpback"));
	for (int i = 0; i < SCENE_N_LINKS; i++) {
		const uint8_t *mac = bench->lab.scene.link_macs[i].bytes;
		cr_assert(netns_run("ip link set %s address %02x:%02x:%02x:%02x:%02x:%02x",
				    links[i], mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]));
		bench->ifindexes[i] = if_nametoindex(links[i]);
		cr_assert_neq(bench->ifindexes[i], 0);
		bench->lab.scene.ifindexes[i] = bench->ifindexes[i];
	}
}

void fast_bench_open(struct fast_bench *bench, enum fast_lab_way way)
{
	struct err err = {0};
	*bench = (struct fast_bench){0};
	if (!netns_enter())
		cr_skip("needs root");
	fast_lab_init(&bench->lab, way);
	make_links(bench);
	int code = fast_program_load(&bench->program, SECRET, &err);
	cr_assert_eq(code, 0, "%s", err.message);
	struct fast_lab_params params = {.maps = &bench->program.maps};
	fast_lab_open(&bench->lab, &params);
}

void fast_bench_close(struct fast_bench *bench)
{
	fast_lab_close(&bench->lab);
	fast_program_close(&bench->program);
}

static struct __sk_buff context_of(const struct fast_bench *bench, uint32_t link)
{
	return (struct __sk_buff){
		.ifindex = bench->ifindexes[link],
		.gso_size = bench->gso_size,
	};
}

int fast_bench_divert(const struct fast_bench *bench, uint32_t link, const uint8_t *frame,
		      uint32_t len, uint32_t note[5])
{
	struct __sk_buff in = context_of(bench, link);
	struct __sk_buff out = {0};
	static uint8_t seen[sizeof(((struct fast_run *)0)->frame)];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = len,
		    .data_out = seen, .data_size_out = sizeof(seen), .ctx_in = &in,
		    .ctx_size_in = sizeof(in), .ctx_out = &out, .ctx_size_out = sizeof(out));
	int code = bpf_prog_test_run_opts(bench->program.divert_fd, &options);
	cr_assert_eq(code, 0, "%s", strerror(-code));
	cr_assert_eq(options.data_size_out, len);
	// The kernel gives back no link header here.
	cr_assert_arr_eq(seen + ETH_HEADER_LEN, frame + ETH_HEADER_LEN, len - ETH_HEADER_LEN);
	memcpy(note, out.cb, sizeof(out.cb));
	return (int)options.retval;
}

int fast_bench_forward(const struct fast_bench *bench, uint32_t link, const uint32_t note[5],
		       struct fast_run *run)
{
	struct __sk_buff in = context_of(bench, link);
	uint8_t frame[sizeof(run->frame)];
	memcpy(in.cb, note, sizeof(in.cb));
	memcpy(frame, run->frame, run->len);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = run->len,
		    .data_out = run->frame, .data_size_out = sizeof(run->frame), .ctx_in = &in,
		    .ctx_size_in = sizeof(in));
	int code = bpf_prog_test_run_opts(bench->program.forward_fd, &options);
	cr_assert_eq(code, 0, "%s", strerror(-code));
	run->len = options.data_size_out;
	return (int)options.retval;
}

void fast_bench_run(const struct fast_bench *bench, uint32_t link, const struct frame_spec *spec,
		    struct fast_run *run)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	uint32_t note[5];
	run->len = frame_build(spec, frame, &vnet);
	cr_assert_leq(run->len, sizeof(run->frame));
	memcpy(run->frame, frame, run->len);
	run->divert = fast_bench_divert(bench, link, frame, run->len, note);
	run->forward = fast_bench_forward(bench, link, note, run);
}
