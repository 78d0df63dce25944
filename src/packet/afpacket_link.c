// SPDX-License-Identifier: Apache-2.0
#include "packet/afpacket_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/log.h"
#include "culvert/packet/filter.h"
#include "packet/afpacket_divert.h"

enum {
	RECEIVE_BUFFER_BYTES = 64 << 20, // large frames that may queue while a burst is worked on
	SEND_BUFFER_BYTES = 16 << 20,
};

static int set_option(int fd, int level, int name, int value, const char *what, struct err *err)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		return err_sys(err, -errno, "packet socket: cannot set %s", what);
	return 0;
}

// A buffer beyond the system's limit wants CAP_NET_ADMIN; without it the limit has to do.
static void set_buffer(int fd, int forced, int limited, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)))
		(void)setsockopt(fd, SOL_SOCKET, limited, &bytes, sizeof(bytes));
}

static int bind_to(int fd, unsigned ifindex, uint16_t protocol, const char *name, struct err *err)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = (int)ifindex,
	};
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return err_sys(err, -errno, "%s: cannot bind a packet socket", name);
	return 0;
}

// Protocol 0: nothing is received before the filter is in place and bind() names a protocol.
static int open_socket(const char *name, struct err *err)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		int code = -errno;
		if (code == -EPERM)
			return err_set(err, code,
				       "%s: packet sockets need root or CAP_NET_RAW; run with sudo",
				       name);
		return err_sys(err, code, "%s: cannot open a packet socket", name);
	}
	int code = set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR", err);
	if (code) {
		close(fd);
		return code;
	}
	return fd;
}

// The sink sees the same frames, and its filter takes none of them.
static int divert(struct afpacket_link *self, const struct io_link *link, struct err *err)
{
	self->sink_fd = open_socket(link->name, err);
	if (self->sink_fd < 0)
		return self->sink_fd;
	int code = filter_attach_none(self->sink_fd, err);
	if (!code)
		code = bind_to(self->sink_fd, link->ifindex, ETH_P_ALL, link->name, err);
	return code ? code : afpacket_divert(self->rx_fd, self->sink_fd, link->divert_fd, err);
}

static int prepare_rx(struct afpacket_link *self, const struct io_link *link, struct err *err)
{
	int fd = self->rx_fd;
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
	int code = set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING",
			      err);
	if (!code)
		code = afpacket_ring_open(&self->ring, fd, err);
	if (!code && link->filter)
		code = filter_attach(fd, link->filter, err);
	if (!code)
		code = bind_to(fd, link->ifindex, ETH_P_ALL, link->name, err);
	return code || !link->divert_fd ? code : divert(self, link, err);
}

static int open_both(struct afpacket_link *link, const struct io_link *from, struct err *err)
{
	*link = (struct afpacket_link){.rx_fd = -1, .tx_fd = -1, .sink_fd = -1};
	snprintf(link->name, sizeof(link->name), "%s", from->name);
	link->rx_fd = open_socket(from->name, err);
	if (link->rx_fd < 0)
		return link->rx_fd;
	link->tx_fd = open_socket(from->name, err);
	if (link->tx_fd < 0)
		return link->tx_fd;
	int code = prepare_rx(link, from, err);
	if (code)
		return code;
	set_buffer(link->tx_fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER_BYTES);
	return bind_to(link->tx_fd, from->ifindex, 0, from->name, err);
}

void afpacket_link_close(struct afpacket_link *link)
{
	afpacket_ring_close(&link->ring);
	if (link->rx_fd >= 0)
		close(link->rx_fd);
	if (link->tx_fd >= 0)
		close(link->tx_fd);
	if (link->sink_fd >= 0)
		close(link->sink_fd);
}

// Of the fast path's two programs the other may stand on a link that this one is missing on: it
// forwards only what this one has promised. All is opened again, as a socket cannot leave a group.
int afpacket_link_open(struct afpacket_link *link, const struct io_link *from, struct err *err)
{
	int code = open_both(link, from, err);
	if (code != -ENETDOWN || !from->divert_fd)
		return code;
	log_warn("packet",
		 "%s is down: before Linux 6.13 the fast path takes no packets from a link that "
		 "was down at the start; culvert's threads forward them until culvert is restarted "
		 "when the link is up",
		 from->name);
	struct io_link plain = *from;
	plain.divert_fd = 0;
	afpacket_link_close(link);
	return open_both(link, &plain, err);
}
