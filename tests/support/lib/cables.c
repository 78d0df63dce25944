// SPDX-License-Identifier: Apache-2.0
#include "cables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "frame.h"
#include "netns.h"

enum {
	RECEIVE_BUFFER_BYTES = 32 << 20,
	ABSURD_MS = 60000,
	MARK_TYPE = 0x88b5, // kept for experiments
	MARK_LEN = 60,
	TYPE_AT = 12,
	NUMBER_AT = 14,
	VLAN_TAG_LEN = 4,
};

static const char *const near_names[SCENE_N_LINKS] = {"front", "back"};
static const char *const far_names[SCENE_N_LINKS] = {"front-far", "back-far"};

static void demand(bool is_there, const char *what)
{
	if (is_there)
		return;
	fprintf(stderr, "cables: %s: %s\n", what, strerror(errno));
	abort();
}

// ---- opening -----------------------------------------------------------------------------------

static void stay_on_one_processor(void)
{
	cpu_set_t allowed;
	cpu_set_t one;
	demand(sched_getaffinity(0, sizeof(allowed), &allowed) == 0, "processors");
	int skip = getpid() % CPU_COUNT(&allowed);
	int cpu = 0;
	while (!CPU_ISSET(cpu, &allowed) || skip-- > 0)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	demand(sched_setaffinity(0, sizeof(one), &one) == 0, "one processor");
}

static void await_link(const struct cables *cables, unsigned i)
{
	int here = netns_link_socket(0, near_names[i]);
	int there = netns_link_socket(cables->peer, far_names[i]);
	demand(netns_await_link(here, there), "a link that carries frames");
	close(here);
	close(there);
}

// IPv6 would speak by itself, and anew whenever an MTU becomes large enough for it.
static void keep_quiet(const struct cables *cables)
{
	static const char command[] = "sysctl -qw net.ipv6.conf.default.disable_ipv6=1";
	demand(netns_run("%s", command) && netns_run("nsenter -t %d -n %s", cables->peer, command),
	       "silence");
}

static void lay(const struct cables *cables, unsigned i)
{
	demand(netns_run("ip link add %s index %u type veth peer name %s netns %d", near_names[i],
			 SCENE_FIRST_IFINDEX + i, far_names[i], cables->peer) &&
		       netns_run("nsenter -t %d -n ip link set %s up", cables->peer, far_names[i]),
	       "a veth pair");
}

static void set_option(int fd, int level, int name, int value)
{
	demand(setsockopt(fd, level, name, &value, sizeof(value)) == 0, "a socket's option");
}

static void bind_to(int fd, const char *name, uint16_t protocol)
{
	struct ifreq request = {0};
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	demand(ioctl(fd, SIOCGIFINDEX, &request) == 0, name);
	struct sockaddr_ll addr = {.sll_family = AF_PACKET,
				   .sll_protocol = htons(protocol),
				   .sll_ifindex = request.ifr_ifindex};
	demand(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, name);
}

static int open_far(const struct cables *cables, unsigned i)
{
	int fd = netns_peer_socket(cables->peer, AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	demand(fd >= 0, "a packet socket");
	set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	set_option(fd, SOL_PACKET, PACKET_AUXDATA, 1);
	set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
	bind_to(fd, far_names[i], ETH_P_ALL);
	return fd;
}

// It receives nothing.
static int open_near(unsigned i)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	demand(fd >= 0, "a packet socket");
	bind_to(fd, near_names[i], 0);
	return fd;
}

bool cables_open(struct cables *cables)
{
	*cables = (struct cables){0};
	cables->last_come = &cables->come;
	if (!netns_enter())
		return false;
	stay_on_one_processor();
	cables->peer = netns_peer_start();
	demand(cables->peer > 0, "another namespace");
	keep_quiet(cables);
	for (unsigned i = 0; i < SCENE_N_LINKS; i++) {
		lay(cables, i);
		cables->far[i] = open_far(cables, i);
		cables->near[i] = open_near(i);
		cables->links[i] = (struct io_link){
			.name = near_names[i],
			.ifindex = SCENE_FIRST_IFINDEX + i,
		};
	}
	return true;
}

void cables_close(struct cables *cables)
{
	struct mem_frame *frame;
	while ((frame = cables_take(cables)))
		free(frame);
	for (unsigned i = 0; i < SCENE_N_LINKS; i++) {
		close(cables->far[i]);
		close(cables->near[i]);
	}
	netns_peer_stop(cables->peer);
}

void cables_follow_scene(struct cables *cables, const struct scene *scene)
{
	for (unsigned i = 0; i < SCENE_N_LINKS; i++) {
		const uint8_t *mac = scene->link_macs[i].bytes;
		if (cables->mtus[i] == scene->mtus[i])
			continue;
		demand(netns_run("ip link set %s mtu %u address %02x:%02x:%02x:%02x:%02x:%02x up",
				 near_names[i], scene->mtus[i], mac[0], mac[1], mac[2], mac[3],
				 mac[4], mac[5]) &&
			       netns_run("nsenter -t %d -n ip link set %s mtu %u", cables->peer,
					 far_names[i], scene->mtus[i]),
		       "a link of that MTU");
		if (!cables->mtus[i])
			await_link(cables, i);
		cables->mtus[i] = scene->mtus[i];
	}
}

// ---- the wire ----------------------------------------------------------------------------------

int cables_send(struct cables *cables, uint32_t link, const uint8_t *frame, uint32_t len,
		const struct virtio_net_hdr *vnet)
{
	struct virtio_net_hdr header = *vnet;
	static uint8_t copy[FRAME_MAX];
	memcpy(copy, frame, len);
	const struct iovec parts[] = {{&header, sizeof(header)}, {copy, len}};
	ssize_t sent = writev(cables->far[link], parts, 2);
	return sent < 0 ? -errno : 0;
}

static bool is_mark(const struct mem_frame *frame)
{
	return frame->len >= NUMBER_AT && frame->bytes[TYPE_AT] == MARK_TYPE >> 8 &&
	       frame->bytes[TYPE_AT + 1] == (MARK_TYPE & 0xff);
}

// The kernel has taken the tag off.
static void put_tag_back(struct msghdr *header, struct mem_frame *frame)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		struct tpacket_auxdata aux;
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
			continue;
		uint16_t tag[] = {htons(aux.tp_vlan_tpid), htons(aux.tp_vlan_tci)};
		memmove(frame->bytes + TYPE_AT + VLAN_TAG_LEN, frame->bytes + TYPE_AT,
			frame->len - TYPE_AT);
		memcpy(frame->bytes + TYPE_AT, tag, VLAN_TAG_LEN);
		frame->len += VLAN_TAG_LEN;
	}
}

// NULL when nothing is there.
static struct mem_frame *receive(const struct cables *cables, uint32_t link)
{
	uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct mem_frame *frame = malloc(sizeof(*frame) + FRAME_MAX + VLAN_TAG_LEN);
	demand(frame, "memory");
	struct iovec parts[] = {{&frame->vnet, sizeof(frame->vnet)}, {frame->bytes, FRAME_MAX}};
	struct msghdr header = {
		.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(cables->far[link], &header, MSG_DONTWAIT);
	if (n < (ssize_t)sizeof(frame->vnet)) {
		free(frame);
		return NULL;
	}
	frame->next = NULL;
	frame->link = link;
	frame->len = (uint32_t)n - (uint32_t)sizeof(frame->vnet);
	put_tag_back(&header, frame);
	cables_complete(frame->bytes, frame->len, &frame->vnet);
	return frame;
}

// Everything that is there. True when a mark was among it.
static bool receive_all(struct cables *cables, uint32_t link)
{
	struct mem_frame *frame;
	bool is_marked = false;
	while ((frame = receive(cables, link))) {
		if (is_mark(frame)) {
			is_marked = true;
			free(frame);
			continue;
		}
		*cables->last_come = frame;
		cables->last_come = &frame->next;
	}
	return is_marked;
}

void cables_wait(struct cables *cables, int timeout_ms)
{
	struct pollfd fds[SCENE_N_LINKS];
	for (unsigned i = 0; i < SCENE_N_LINKS; i++)
		fds[i] = (struct pollfd){.fd = cables->far[i], .events = POLLIN};
	(void)poll(fds, SCENE_N_LINKS, timeout_ms);
	for (unsigned i = 0; i < SCENE_N_LINKS; i++)
		(void)receive_all(cables, i);
}

void cables_settle(struct cables *cables)
{
	static const uint8_t mark[MARK_LEN] = {
		2, 7, 7, 7, 7, 7, 2, 7, 7, 7, 7, 8, MARK_TYPE >> 8, MARK_TYPE & 0xff};
	for (unsigned i = 0; i < SCENE_N_LINKS; i++) {
		struct pollfd come = {.fd = cables->far[i], .events = POLLIN};
		demand(send(cables->near[i], mark, sizeof(mark), 0) == MARK_LEN, "to send a mark");
		do
			demand(poll(&come, 1, ABSURD_MS) == 1, "a mark that arrives");
		while (!receive_all(cables, i));
	}
}

struct mem_frame *cables_take(struct cables *cables)
{
	struct mem_frame *frame = cables->come;
	if (!frame)
		return NULL;
	cables->come = frame->next;
	if (!cables->come)
		cables->last_come = &cables->come;
	return frame;
}

// RFC 768: an empty checksum is none; for others both zeros are the same.
void cables_complete(uint8_t *frame, uint32_t len, struct virtio_net_hdr *vnet)
{
	uint32_t at = vnet->csum_start + vnet->csum_offset;
	if ((vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && at + 2 <= len) {
		uint32_t covered = len - vnet->csum_start;
		uint16_t sum = (uint16_t)~frame_plain_sum(frame + vnet->csum_start, covered, 0);
		sum = sum ? sum : 0xffff;
		frame[at] = (uint8_t)(sum >> 8);
		frame[at + 1] = (uint8_t)sum;
	}
	*vnet = (struct virtio_net_hdr){.gso_type = vnet->gso_type, .gso_size = vnet->gso_size};
}
