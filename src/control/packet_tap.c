// SPDX-License-Identifier: Apache-2.0
#include "control/packet_tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <pcap/pcap.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/net/vlan.h"

enum { RECEIVES_MAX = 64 }; // per wake-up, then others of the loop have their turn

struct packet_tap {
	tap_frame_fn on_frame;
	void *arg; // borrowed
	struct event readable;
	int fd;
	uint8_t frame[PACKET_TAP_FRAME_MAX];
};

static int attach(int fd, const struct bpf_program *program, struct err *err)
{
	// The structures of libpcap and the kernel name the same instructions.
	_Static_assert(sizeof(struct sock_filter) == sizeof(struct bpf_insn), "one layout");
	struct sock_fprog attached = {(unsigned short)program->bf_len,
				      (struct sock_filter *)program->bf_insns};
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof(attached)))
		return err_sys(err, -errno, "packet socket: cannot attach a filter");
	return 0;
}

static int set_filter(int fd, const char *text, struct err *err)
{
	struct bpf_program program = {0};
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, PACKET_TAP_FRAME_MAX);
	if (!dead)
		return err_sys(err, -ENOMEM, "packet socket");
	int code = 0;
	if (pcap_compile(dead, &program, text, 1, PCAP_NETMASK_UNKNOWN))
		code = err_set(err, -EINVAL, "packet socket: cannot compile a filter: %s",
			       pcap_geterr(dead));
	else
		code = attach(fd, &program, err);
	pcap_freecode(&program);
	pcap_close(dead);
	return code;
}

static int set_options(int fd, struct err *err)
{
	int on = 1;
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)))
		return err_sys(err, -errno, "packet socket: cannot set PACKET_IGNORE_OUTGOING");
	if (setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)))
		return err_sys(err, -errno, "packet socket: cannot set PACKET_AUXDATA");
	return 0;
}

// Protocol 0: nothing is received before the filter is in place and bind() names a protocol.
static int open_socket(int *fd, struct err *err)
{
	*fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd >= 0)
		return 0;
	int code = -errno;
	if (code == -EPERM)
		return err_set(err, code, "packet sockets need root or CAP_NET_RAW; run with sudo");
	return err_sys(err, code, "cannot open a packet socket");
}

static int bind_to_all(int fd, struct err *err)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return err_sys(err, -errno, "cannot bind a packet socket");
	return 0;
}

static struct tpacket_auxdata aux_of(struct msghdr *header)
{
	struct tpacket_auxdata aux = {0};
	struct cmsghdr *item = CMSG_FIRSTHDR(header);
	for (; item; item = CMSG_NXTHDR(header, item)) {
		if (item->cmsg_level == SOL_PACKET && item->cmsg_type == PACKET_AUXDATA)
			memcpy(&aux, CMSG_DATA(item), sizeof(aux));
	}
	return aux;
}

// Returns whether there was one.
static bool receive(struct packet_tap *tap)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct sockaddr_ll from = {0};
	struct iovec part = {tap->frame, sizeof(tap->frame)};
	struct msghdr header = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(tap->fd, &header, MSG_DONTWAIT);
	// A link that went down reports it here, once, and not for the others: read on.
	if (n < 0)
		return errno == ENETDOWN || errno == EINTR;
	struct tpacket_auxdata aux = aux_of(&header);
	// It belongs to the interface of its VLAN, where it comes once more without the tag.
	if ((aux.tp_status & TP_STATUS_VLAN_VALID) && !vlan_is_priority(aux.tp_vlan_tci))
		return true;
	struct tap_frame frame = {
		.bytes = tap->frame,
		.len = (uint32_t)n,
		.ifindex = (unsigned)from.sll_ifindex,
		.is_partial = aux.tp_status & TP_STATUS_CSUMNOTREADY,
	};
	tap->on_frame(tap->arg, &frame);
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	for (int i = 0; i < RECEIVES_MAX && receive(arg); i++)
		;
}

static int start(struct packet_tap *tap, struct event_base *base, const char *filter,
		 struct err *err)
{
	int code = open_socket(&tap->fd, err);
	if (!code)
		code = set_filter(tap->fd, filter, err);
	if (!code)
		code = set_options(tap->fd, err);
	if (!code)
		code = bind_to_all(tap->fd, err);
	if (code)
		return code;
	event_assign(&tap->readable, base, tap->fd, EV_READ | EV_PERSIST, on_readable, tap);
	if (event_add(&tap->readable, NULL))
		return err_sys(err, -ENOMEM, "packet socket");
	return 0;
}

int packet_tap_open(struct packet_tap **tap, struct event_base *base, const char *filter,
		    tap_frame_fn on_frame, void *arg, struct err *err)
{
	struct packet_tap *opened = calloc(1, sizeof(*opened));
	if (!opened)
		return err_sys(err, -ENOMEM, "packet socket");
	opened->on_frame = on_frame;
	opened->arg = arg;
	opened->fd = -1;
	int code = start(opened, base, filter, err);
	if (code) {
		packet_tap_close(opened);
		return code;
	}
	*tap = opened;
	return 0;
}

void packet_tap_close(struct packet_tap *tap)
{
	if (!tap)
		return;
	if (event_initialized(&tap->readable))
		event_del(&tap->readable);
	if (tap->fd >= 0)
		close(tap->fd);
	free(tap);
}

int packet_tap_send(struct packet_tap *tap, unsigned ifindex, const uint8_t *frame, uint32_t len)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex};
	// Filters on the way out look at the protocol, which the kernel does not take from the
	// frame.
	memcpy(&to.sll_protocol, frame + offsetof(struct ethhdr, h_proto), sizeof(to.sll_protocol));
	ssize_t n = sendto(tap->fd, frame, len, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
	return n < 0 ? -errno : 0;
}
