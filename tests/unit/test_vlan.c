// SPDX-License-Identifier: Apache-2.0
// VLAN tags: in the frame, as capture files have them, and taken out of it by the kernel, as packet
// sockets and firewall rules see them.
#include "culvert/net/vlan.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/frame.h"
#include "../support/lib/netns.h"
#include "../support/lib/pump.h"
#include "culvert/control/firewall.h"
#include "culvert/packet/filter.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
	CLIENT = 0x0a01000b,
	VIP = 0x0a010064,
	MACS_LEN = 12,
	ROOM = 200,
	PRIORITY = 5 << 13, // and VLAN 0
	AWAIT_MS = 5000,
};

struct tags {
	const char *name;
	uint8_t n;
	struct {
		uint16_t type;
		uint16_t tci;
	} list[3];
	uint32_t n_skipped; // of them, from the front
};

static const struct tags table[] = {
	{"none", 0, {{0}}, 0},
	{"a priority", 1, {{ETH_P_8021Q, PRIORITY}}, 1},
	{"VLAN 0 without a priority", 1, {{ETH_P_8021Q, 0}}, 1},
	{"a priority of the provider", 1, {{ETH_P_8021AD, PRIORITY}}, 1},
	{"two priorities", 2, {{ETH_P_8021AD, PRIORITY}, {ETH_P_8021Q, PRIORITY}}, 2},
	{"three priorities",
	 3,
	 {{ETH_P_8021Q, PRIORITY}, {ETH_P_8021Q, PRIORITY}, {ETH_P_8021Q, 0}},
	 2},
	{"a VLAN", 1, {{ETH_P_8021Q, PRIORITY | 10}}, 0},
	{"the greatest VLAN", 1, {{ETH_P_8021Q, 4095}}, 0},
	{"a VLAN of a provider's VLAN", 2, {{ETH_P_8021AD, 100}, {ETH_P_8021Q, 20}}, 0},
	{"a VLAN behind a priority", 2, {{ETH_P_8021AD, PRIORITY}, {ETH_P_8021Q, 20}}, 1},
	{"a priority within a VLAN", 2, {{ETH_P_8021AD, 100}, {ETH_P_8021Q, PRIORITY}}, 0},
	{"a tag that is none", 1, {{0x9100, PRIORITY}}, 0},
};

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

// Puts the tags into the frame. Returns its new length.
static uint32_t add_tags(uint8_t *frame, uint32_t len, const struct tags *tags)
{
	uint32_t more = tags->n * VLAN_TAG_LEN;
	memmove(frame + MACS_LEN + more, frame + MACS_LEN, len - MACS_LEN);
	uint8_t *at = frame + MACS_LEN;
	for (uint8_t i = 0; i < tags->n; i++, at += VLAN_TAG_LEN) {
		put16(at, tags->list[i].type);
		put16(at + 2, tags->list[i].tci);
	}
	return len + more;
}

static uint32_t build_syn(uint8_t *frame, struct virtio_net_hdr *vnet, enum frame_sum sum)
{
	struct frame_spec spec = {
		.src_mac = {{2, 0, 0, 0, 0, 9}},
		.dst_mac = {{2, 0, 0, 0, 0, 1}},
		.src = frame_v4(CLIENT),
		.dst = frame_v4(VIP),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = 1000,
		.dst_port = 80,
		.flags = TCP_FLAG_SYN,
		.sum = sum,
	};
	return frame_build(&spec, frame, vnet);
}

// ---- in the frame ------------------------------------------------------------------------------

Test(vlan, priority_tags_are_skipped_and_those_of_VLANs_are_not)
{
	for (size_t i = 0; i < COUNT(table); i++) {
		uint8_t plain[ROOM];
		uint8_t frame[ROOM];
		struct virtio_net_hdr vnet;
		struct tags rest = table[i];
		rest.n = (uint8_t)(rest.n - rest.n_skipped);
		memmove(rest.list, rest.list + rest.n_skipped, rest.n * sizeof(rest.list[0]));
		uint32_t len = build_syn(plain, &vnet, SUM_RIGHT);
		memcpy(frame, plain, len);
		uint32_t plain_len = add_tags(plain, len, &rest);
		len = add_tags(frame, len, &table[i]);
		uint32_t skipped = vlan_skip_priority_tags(frame, len);
		cr_expect_eq(skipped, table[i].n_skipped * VLAN_TAG_LEN, "%s", table[i].name);
		cr_expect_eq(len - skipped, plain_len, "%s", table[i].name);
		cr_expect_arr_eq(frame + skipped, plain, plain_len, "%s", table[i].name);
	}
}

Test(vlan, a_frame_that_ends_within_its_tag_stays_as_it_is)
{
	uint8_t frame[ROOM];
	uint8_t before[ROOM];
	struct virtio_net_hdr vnet;
	add_tags(frame, build_syn(frame, &vnet, SUM_RIGHT), &table[1]);
	for (uint32_t len = 0; len < 18; len++) {
		uint8_t *exact = malloc(len ? len : 1);
		cr_assert_not_null(exact);
		memcpy(exact, frame, len);
		memcpy(before, frame, len);
		cr_expect_eq(vlan_skip_priority_tags(exact, len), 0, "%u bytes", len);
		cr_expect_arr_eq(exact, before, len);
		free(exact);
	}
}

// ---- on the way through ------------------------------------------------------------------------

static void open_pump(struct pump *pump, struct scene *scene)
{
	scene_init(scene, "10.2.0.1");
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "10.2.0.21:8080", 1);
	scene_add_frontend(scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene_build(scene);
	pump_open(pump, scene);
}

// Whether the frame with its checksum so and with these tags was forwarded, and then as what an
// untagged one becomes.
static bool is_forwarded_untagged(struct pump *pump, const struct tags *tags, enum frame_sum sum)
{
	uint8_t frame[ROOM];
	struct virtio_net_hdr vnet;
	uint32_t len = build_syn(frame, &vnet, sum);
	uint16_t l4 = vnet.csum_start;
	uint32_t plain_len = len;
	len = add_tags(frame, len, tags);
	vnet.csum_start = (uint16_t)(l4 ? l4 + tags->n * VLAN_TAG_LEN : 0);
	mem_io_push(pump->io, SCENE_FRONT, frame, len, &vnet);
	pump_round(pump);
	struct mem_frame *sent = mem_io_take(pump->io);
	if (!sent)
		return false;
	cr_expect_eq(sent->link, SCENE_BACK);
	cr_expect_eq(sent->len, plain_len, "%s", tags->name);
	cr_expect_eq(sent->bytes[12] << 8 | sent->bytes[13], ETH_P_IP, "%s", tags->name);
	cr_expect_arr_eq(sent->bytes + 6, &pump->scene->link_macs[SCENE_BACK], 6);
	cr_expect_eq(sent->vnet.csum_start, l4, "%s", tags->name);
	cr_expect_eq(frame_transport_sum(sent->bytes, sent->len, sum == SUM_PARTIAL), sum, "%s",
		     tags->name);
	free(sent);
	return true;
}

Test(vlan, what_is_tagged_with_a_priority_is_forwarded_untagged_and_VLANs_are_the_kernels)
{
	static const enum frame_sum sums[] = {SUM_RIGHT, SUM_WRONG, SUM_PARTIAL};
	for (size_t i = 0; i < COUNT(table); i++) {
		bool is_untagged = table[i].n_skipped == table[i].n;
		for (size_t s = 0; s < COUNT(sums); s++) {
			struct scene scene;
			struct pump pump;
			open_pump(&pump, &scene);
			const counter_t *passed = &pump.capture.ledger.verdicts[VERDICT_PASSED];
			cr_expect_eq(is_forwarded_untagged(&pump, &table[i], sums[s]), is_untagged,
				     "%s", table[i].name);
			cr_expect_eq(counter_read(passed), !is_untagged, "%s", table[i].name);
			cr_expect_null(pump_check_ledger(&pump));
			pump_close(&pump);
			scene_fini(&scene);
		}
	}
}

// ---- taken out by the kernel -------------------------------------------------------------------

// Link va is ours, vb that of a peer in another namespace; both have an address of 10.1.0.0/24.
static pid_t enter_lab(void)
{
	if (!netns_enter())
		cr_skip("needs root, for a private network namespace");
	pid_t peer = netns_peer_start();
	cr_assert_gt(peer, 0);
	cr_assert(netns_run("ip link add va type veth peer name vb netns %d", peer));
	cr_assert(netns_run("ip link set va address 02:00:00:00:00:01 && "
			    "ip addr add 10.1.0.100/24 dev va && ip link set va up"));
	cr_assert(netns_run("nsenter -t %d -n ip link set vb up", peer));
	return peer;
}

static int link_socket(int fd, unsigned ifindex)
{
	struct sockaddr_ll link = {.sll_family = AF_PACKET,
				   .sll_protocol = htons(ETH_P_ALL),
				   .sll_ifindex = (int)ifindex};
	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&link, sizeof(link)), 0);
	return fd;
}

// A socket of the peer's, once the links carry frames.
static int open_sender(pid_t peer)
{
	int own = netns_link_socket(0, "va");
	int sender = netns_link_socket(peer, "vb");
	cr_assert(netns_await_link(own, sender));
	close(own);
	return sender;
}

static void send_tagged(int fd, const struct tags *tags, uint16_t dst_port)
{
	uint8_t frame[ROOM];
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
		.payload_len = 8,
	};
	uint32_t len = add_tags(frame, frame_build(&spec, frame, &vnet), tags);
	cr_assert_eq(send(fd, frame, len, 0), (ssize_t)len);
}

static bool has_input(int fd, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	return poll(&poll_fd, 1, timeout_ms) == 1;
}

static const struct tags untagged = {.name = "none"};

// Tags that are one to the kernel: what it makes of more than one depends on what VLANs it has.
static bool is_for_kernel(const struct tags *tags)
{
	return tags->n == 1 && tags->list[0].type != 0x9100;
}

Test(vlan, the_capture_filter_takes_what_is_of_no_VLAN)
{
	pid_t peer = enter_lab();
	int sender = open_sender(peer);
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct err err = {0};
	cr_assert_eq(filter_attach(fd, "udp dst port 53", &err), 0, "%s", err.message);
	link_socket(fd, if_nametoindex("va"));
	for (size_t i = 0; i < COUNT(table); i++) {
		uint8_t frame[ROOM];
		if (table[i].n && !is_for_kernel(&table[i]))
			continue;
		send_tagged(sender, &table[i], 53);
		if (table[i].n_skipped < table[i].n) {
			// What comes next is the untagged frame behind it.
			send_tagged(sender, &untagged, 53);
			cr_expect(has_input(fd, AWAIT_MS));
			cr_expect_gt(recv(fd, frame, sizeof(frame), 0), 0);
			cr_expect_not(has_input(fd, 0), "%s", table[i].name);
			continue;
		}
		cr_expect(has_input(fd, AWAIT_MS), "%s", table[i].name);
		cr_expect_gt(recv(fd, frame, sizeof(frame), MSG_DONTWAIT), 14);
		cr_expect_eq(frame[12] << 8 | frame[13], ETH_P_IP, "%s", table[i].name);
	}
	close(fd);
	close(sender);
}

// Everything that the rules count.
static unsigned long n_dropped(void)
{
	static const char word[] = "counter packets ";
	char *text = netns_output("nft list ruleset");
	unsigned long n = 0;
	for (char *at = strstr(text, word); at; at = strstr(at + 1, word))
		n += strtoul(at + strlen(word), NULL, 10);
	free(text);
	return n;
}

Test(vlan, the_parents_rules_drop_what_is_of_no_VLAN)
{
	static const char *const links[] = {"va"};
	pid_t peer = enter_lab();
	struct endpoint frontend = scene_endpoint("10.1.0.100:53", IPPROTO_UDP);
	struct firewall_plan plan = {
		.links = links,
		.n_links = 1,
		.frontends = &frontend,
		.n_frontends = 1,
	};
	struct firewall *firewall = NULL;
	struct err err = {0};
	cr_assert_eq(firewall_open(&firewall, &plan, &err), 0, "%s", err.message);
	int sender = open_sender(peer);
	int behind = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in port_54 = {.sin_family = AF_INET, .sin_port = htons(54)};
	cr_assert_eq(bind(behind, (struct sockaddr *)&port_54, sizeof(port_54)), 0);
	unsigned long expected = 0;
	for (size_t i = 0; i < COUNT(table); i++) {
		uint8_t datagram[ROOM];
		if (table[i].n && !is_for_kernel(&table[i]))
			continue;
		expected += table[i].n_skipped == table[i].n;
		send_tagged(sender, &table[i], 53);
		// Once this one is here, so would be the other.
		send_tagged(sender, &untagged, 54);
		cr_assert(has_input(behind, AWAIT_MS));
		cr_assert_gt(recv(behind, datagram, sizeof(datagram), 0), 0);
		cr_expect_eq(n_dropped(), expected, "%s", table[i].name);
	}
	firewall_close(firewall);
	close(behind);
	close(sender);
}
