// SPDX-License-Identifier: Apache-2.0
// The fast path at work: frames arrive by the links of a private network namespace, and what the
// kernel makes of them leaves by these links. The two are ends of one pair, so that it arrives at
// the link where it came from; there it is for another host, and captured.
#include <criterion/criterion.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "culvert/packet/io.h"
#include "lib/fast_bench.h"
#include "lib/scope_lab.h"
#include "packet/packet_pool.h"

enum { AWAIT_MS = 100, TRIES = 300, VLAN = 10, SEGMENT = 1000 };

struct live {
	struct fast_bench bench;
	struct io *io;
	struct packet_pool pool;
	struct packet *packet;
	int senders[SCENE_N_LINKS]; // what they send arrives at the link
};

static const char *const names[SCENE_N_LINKS] = {"fpfront", "fpback"};

static void open_links(struct live *live, struct io_link *links)
{
	int yes = 1;
	cr_assert(netns_run("sysctl -qw net.ipv6.conf.fpfront.disable_ipv6=1 "
			    "net.ipv6.conf.fpback.disable_ipv6=1"));
	cr_assert(netns_run("ip link set fpfront up && ip link set fpback up"));
	for (int i = 0; i < SCENE_N_LINKS; i++) {
		live->senders[i] = netns_link_socket(0, names[!i]);
		links[i] = (struct io_link){
			.name = names[i],
			.ifindex = live->bench.ifindexes[i],
			.filter = "tcp or udp",
			.divert_fd = live->bench.program.divert_fd,
		};
	}
	cr_assert(netns_await_link(live->senders[SCENE_FRONT], live->senders[SCENE_BACK]));
	for (int i = 0; i < SCENE_N_LINKS; i++)
		cr_assert_eq(setsockopt(live->senders[i], SOL_PACKET, PACKET_VNET_HDR, &yes,
					sizeof(yes)),
			     0);
}

static void live_open(struct live *live, enum fast_lab_way way, bool has_tcx)
{
	struct err err = {0};
	struct io_link links[SCENE_N_LINKS];
	fast_bench_open(&live->bench, way);
	open_links(live, links);
	cr_assert_eq(io_afpacket.open(&live->io, links, SCENE_N_LINKS, &err), 0, "%s", err.message);
	int code = fast_program_attach(&live->bench.program, links, SCENE_N_LINKS, has_tcx, &err);
	cr_assert_eq(code, 0, "%s", err.message);
	cr_assert_eq(packet_pool_init(&live->pool, 1, &err), 0, "%s", err.message);
	cr_assert_eq(packet_pool_take(&live->pool, &live->packet, 1), 1);
}

static void live_close(struct live *live)
{
	io_afpacket.close(live->io);
	packet_pool_give_back(&live->pool, &live->packet, 1);
	packet_pool_fini(&live->pool);
	for (int i = 0; i < SCENE_N_LINKS; i++)
		close(live->senders[i]);
	fast_bench_close(&live->bench);
}

static void arrive(struct live *live, uint32_t link, const struct frame_spec *spec)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	uint32_t len = frame_build(spec, frame, &vnet);
	struct iovec parts[] = {{&vnet, sizeof(vnet)}, {frame, len}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	cr_assert_eq(sendmsg(live->senders[link], &message, 0), (ssize_t)(sizeof(vnet) + len));
}

static void receive(struct live *live, uint32_t link)
{
	int never = eventfd(0, EFD_CLOEXEC);
	int n = 0;
	for (int tries = 0; n == 0 && tries < TRIES; tries++) {
		io_afpacket.wait(live->io, never, AWAIT_MS);
		n = io_afpacket.recv_burst(live->io, link, &live->packet, 1);
	}
	close(never);
	cr_assert_eq(n, 1);
}

static struct frame_spec next_of(const struct fast_lab_client *client, enum flow_dir dir,
				 uint32_t len)
{
	struct frame_spec spec = client->specs[dir];
	spec.flags = TCP_FLAG_ACK | TCP_FLAG_PSH;
	spec.seq = client->next[dir];
	spec.ack = client->next[!dir];
	spec.payload_len = len;
	return spec;
}

// As the worker has made it, with what is left to hardware.
static void expect_forwarded(struct live *live, enum flow_dir dir, const struct frame_spec *spec)
{
	uint32_t link = dir == FROM_CLIENT ? SCENE_FRONT : SCENE_BACK;
	struct mem_frame *expected = fast_lab_push(&live->bench.lab, link, spec);
	cr_assert_not_null(expected);
	arrive(live, link, spec);
	receive(live, link);
	const struct packet *packet = live->packet;
	cr_assert_eq(packet->len, expected->len);
	cr_assert_arr_eq(packet->frame, expected->bytes, expected->len);
	// What has left by the other link was not received there.
	cr_expect_eq(io_afpacket.recv_burst(live->io, !link, &live->packet, 1), 0);
	cr_expect_eq(packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
		     expected->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	cr_expect_eq(packet->vnet.gso_type, expected->vnet.gso_type);
	cr_expect_eq(packet->vnet.gso_size, expected->vnet.gso_size);
	free(expected);
}

static struct fast_lab_client establish(struct live *live, uint32_t number, unsigned kind)
{
	struct fast_lab_client client =
		fast_lab_client(&live->bench.lab, number, kind % 2 ? IPPROTO_UDP : IPPROTO_TCP,
				kind / 2);
	fast_lab_establish(&live->bench.lab, &client);
	return client;
}

static void expect_all_forwarded(enum fast_lab_way way, bool has_tcx)
{
	struct live live;
	live_open(&live, way, has_tcx);
	for (unsigned kind = 0; kind < 4; kind++) {
		struct fast_lab_client client = establish(&live, kind, kind);
		for (int dir = 0; dir < (live.bench.lab.is_dsr ? 1 : N_FLOW_DIRS); dir++) {
			struct frame_spec spec = next_of(&client, (enum flow_dir)dir, 500);
			expect_forwarded(&live, (enum flow_dir)dir, &spec);
			spec.sum = SUM_PARTIAL;
			expect_forwarded(&live, (enum flow_dir)dir, &spec);
		}
	}
	live_close(&live);
}

Test(fast_program_live, frames_are_sent_on_as_the_worker_would)
{
	for (enum fast_lab_way way = 0; way < FAST_LAB_N_WAYS; way++)
		expect_all_forwarded(way, true);
}

Test(fast_program_live, they_are_by_filters_of_tc_too)
{
	expect_all_forwarded(FAST_LAB_NAT, false);
}

static bool ends_ours(bool has_tcx)
{
	struct live live;
	live_open(&live, FAST_LAB_NAT, has_tcx);
	fast_program_end_ours(&live.bench.program);
	bool ends_ours = live.bench.program.maps.control->ends_ours;
	live_close(&live);
	return ends_ours;
}

Test(fast_program_live, a_filter_of_tc_which_may_stay_behind_ends_nothing)
{
	cr_expect(ends_ours(true));
	cr_expect_not(ends_ours(false));
}

// As when memory is short.
Test(fast_program_live, a_scope_that_could_not_be_told_is_told_with_the_next_change)
{
	struct live live;
	live_open(&live, FAST_LAB_NAT, true);
	struct fast_program *program = &live.bench.program;
	const struct endpoint vip = {.addr = frame_v4(SCOPE_VIP), .proto = IPPROTO_TCP};
	const struct io_scope parties = {.vips = &vip, .n_vips = 1};
	fast_program_end_ours(program);
	int fd = program->scope.parties_fd;
	program->scope.parties_fd = -1;
	fast_program_set_scope(program, &parties);
	cr_expect_not(program->maps.control->ends_ours);
	program->scope.parties_fd = fd;
	fast_program_set_scope(program, &parties);
	cr_expect(program->maps.control->ends_ours);
	live_close(&live);
}

Test(fast_program_live, super_frames_stay_whole)
{
	struct live live;
	live_open(&live, FAST_LAB_NAT, true);
	for (unsigned kind = 0; kind < 4; kind += 2) {
		struct fast_lab_client client = establish(&live, kind, kind);
		for (int dir = 0; dir < N_FLOW_DIRS; dir++) {
			struct frame_spec spec =
				next_of(&client, (enum flow_dir)dir, 3 * SEGMENT + 1);
			spec.sum = SUM_PARTIAL;
			spec.gso_size = SEGMENT;
			expect_forwarded(&live, (enum flow_dir)dir, &spec);
		}
		const struct fast_entry *entry =
			fast_lab_entry(&live.bench.lab, &client, FROM_CLIENT);
		cr_expect_eq(entry->packets, 1, "as the worker counts them");
	}
	live_close(&live);
}

// The kernel has taken it off by then, and remembers it elsewhere.
Test(fast_program_live, frames_with_a_tag_are_left)
{
	struct live live;
	live_open(&live, FAST_LAB_NAT, true);
	struct fast_lab_client client = establish(&live, 1, 0);
	const struct fast_entry *entry = fast_lab_entry(&live.bench.lab, &client, FROM_CLIENT);
	struct frame_spec tagged = next_of(&client, FROM_CLIENT, 10);
	struct frame_spec plain = next_of(&client, FROM_CLIENT, 500);
	tagged.n_vlans = 1;
	tagged.vlans[0] = VLAN;
	arrive(&live, SCENE_FRONT, &tagged);
	expect_forwarded(&live, FROM_CLIENT, &plain);
	cr_expect_eq(entry->packets, 1);
	cr_expect_eq(entry->bytes, 540);
	live_close(&live);
}

// How many packets for a VIP have come past the program, at the link where clients are.
static unsigned count_behind(void)
{
	unsigned n = 0;
	FILE *out = popen("nft list table netdev behind", "r");
	char line[200];
	cr_assert_not_null(out);
	while (fgets(line, sizeof(line), out)) {
		const char *counter = strstr(line, "counter packets ");
		if (counter)
			n = (unsigned)strtoul(counter + strlen("counter packets "), NULL, 10);
	}
	cr_assert_eq(pclose(out), 0);
	return n;
}

// One with a tag belongs to the interface of its VLAN, whatever address it is for.
Test(fast_program_live, what_is_surely_ours_ends_but_with_a_tag)
{
	struct live live;
	struct frame_spec spec = scope_request_v4();
	live_open(&live, FAST_LAB_NAT, true);
	fast_program_end_ours(&live.bench.program);
	scope_set(&live.bench.program.scope, SCOPE_N_VIPS);
	cr_assert(
		netns_run("nft 'table netdev behind { chain in { "
			  "type filter hook ingress device \"fpfront\" priority -600; counter; }; "
			  "}'"));
	arrive(&live, SCENE_FRONT, &spec);
	receive(&live, SCENE_FRONT);
	cr_expect_eq(count_behind(), 0);
	spec.n_vlans = 1;
	spec.vlans[0] = VLAN;
	arrive(&live, SCENE_FRONT, &spec);
	spec.n_vlans = 0;
	arrive(&live, SCENE_FRONT, &spec); // behind it, so that it has come
	receive(&live, SCENE_FRONT);
	cr_expect_eq(count_behind(), 1);
	live_close(&live);
}

Test(fast_program_live, what_no_entry_is_for_is_received)
{
	struct live live;
	live_open(&live, FAST_LAB_NAT, true);
	struct fast_lab_client client = establish(&live, 1, 0);
	struct frame_spec spec = next_of(&client, FROM_CLIENT, 500);
	spec.flags |= TCP_FLAG_FIN;
	arrive(&live, SCENE_FRONT, &spec);
	receive(&live, SCENE_FRONT);
	cr_expect_arr_eq(live.packet->frame, spec.dst_mac.bytes, 6);
	fast_program_set_version(&live.bench.program, 0);
	spec.flags = TCP_FLAG_ACK;
	arrive(&live, SCENE_FRONT, &spec);
	receive(&live, SCENE_FRONT);
	cr_expect_arr_eq(live.packet->frame, spec.dst_mac.bytes, 6);
	cr_expect_eq(fast_lab_entry(&live.bench.lab, &client, FROM_CLIENT), NULL);
	live_close(&live);
}
