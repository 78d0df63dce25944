// SPDX-License-Identifier: Apache-2.0
// Packet sockets: one to receive and one to send per link.
//
// Frames are read by recvmmsg() into our own buffers, each with room for 64 KiB: super-frames of
// segmentation offload travel whole, described by the virtio_net_hdr in front of them, and a ring
// of smaller slots would cut them. The kernel's filter decides what is copied at all; the link is
// not made promiscuous.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/counter.h"
#include "culvert/packet/filter.h"
#include "culvert/packet/io.h"
#include "packet/packet.h"

enum {
	MAX_LINKS = 16,
	RECEIVE_BUFFER_BYTES = 64 << 20, // what may queue in the kernel while a burst is worked on
	SEND_BUFFER_BYTES = 16 << 20,
	FULL_WAIT_MS = 2, // how long a send waits for a full device before it drops
};

struct afpacket_link {
	int rx_fd;
	int tx_fd;
	uint64_t kernel_drops; // w, r: control
	counter_t unreadable;  // w: the capturing thread, r: control
};

enum { VNET_PART, HEADER_PART, PIECE_PART, N_PARTS };

// Each direction has its message headers, set up once; only addresses and lengths change.
struct message_set {
	struct mmsghdr headers[PACKET_BURST];
	struct iovec parts[PACKET_BURST][N_PARTS];
	struct packet *packets[PACKET_BURST]; // tx: whose frame a message is
};

struct io {
	uint32_t n_links;
	struct afpacket_link links[MAX_LINKS];
	struct message_set rx; // w, r: the capturing thread
	struct message_set tx; // w, r: the transmitting thread
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

static int prepare_rx(int fd, const struct io_link *link, struct err *err)
{
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
	int code = set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING",
			      err);
	if (code)
		return code;
	if (link->filter) {
		code = filter_attach(fd, link->filter, err);
		if (code)
			return code;
	}
	return bind_to(fd, link->ifindex, ETH_P_ALL, link->name, err);
}

static int open_link(struct afpacket_link *link, const struct io_link *from, struct err *err)
{
	link->rx_fd = open_socket(from->name, err);
	if (link->rx_fd < 0)
		return link->rx_fd;
	link->tx_fd = open_socket(from->name, err);
	if (link->tx_fd < 0)
		return link->tx_fd;
	int code = prepare_rx(link->rx_fd, from, err);
	if (code)
		return code;
	set_buffer(link->tx_fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER_BYTES);
	return bind_to(link->tx_fd, from->ifindex, 0, from->name, err);
}

static void init_messages(struct message_set *set)
{
	for (uint32_t i = 0; i < PACKET_BURST; i++) {
		set->parts[i][VNET_PART].iov_len = sizeof(struct virtio_net_hdr);
		set->headers[i].msg_hdr.msg_iov = set->parts[i];
	}
}

static void set_message(struct message_set *set, uint32_t i, struct packet *packet,
			const struct packet_frame *frame)
{
	set->parts[i][VNET_PART].iov_base = &packet->vnet;
	set->parts[i][HEADER_PART].iov_base = frame->header;
	set->parts[i][HEADER_PART].iov_len = frame->header_len;
	set->parts[i][PIECE_PART].iov_base = frame->piece;
	set->parts[i][PIECE_PART].iov_len = frame->piece_len;
	set->headers[i].msg_hdr.msg_iovlen = frame->piece_len ? N_PARTS : PIECE_PART;
	set->packets[i] = packet;
}

static void afpacket_close(struct io *io)
{
	if (!io)
		return;
	for (uint32_t i = 0; i < io->n_links; i++) {
		if (io->links[i].rx_fd >= 0)
			close(io->links[i].rx_fd);
		if (io->links[i].tx_fd >= 0)
			close(io->links[i].tx_fd);
	}
	free(io);
}

static int afpacket_open(struct io **io, const struct io_link *links, uint32_t n_links,
			 struct err *err)
{
	if (n_links > MAX_LINKS)
		return err_set(err, -E2BIG, "more than %d network interfaces", MAX_LINKS);
	struct io *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the packet sockets");
	init_messages(&made->rx);
	init_messages(&made->tx);
	for (uint32_t i = 0; i < n_links; i++) {
		made->links[i] = (struct afpacket_link){.rx_fd = -1, .tx_fd = -1};
		made->n_links++;
		int code = open_link(&made->links[i], &links[i], err);
		if (code) {
			afpacket_close(made);
			return code;
		}
	}
	*io = made;
	return 0;
}

// A link that goes down reports it here, once; control hears of it by other ways. A frame whose
// segmentation the kernel cannot describe (UDP super-frames before Linux 6.2) is lost with EINVAL.
static void count_unreadable(struct afpacket_link *link, int code)
{
	if (code == EINVAL)
		counter_add(&link->unreadable, 1);
}

static int afpacket_recv_burst(struct io *io, uint32_t link, struct packet *const *packets,
			       uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct packet_frame frame = {packets[i]->frame, PACKET_FRAME_MAX, NULL, 0};
		set_message(&io->rx, i, packets[i], &frame);
	}
	int received = recvmmsg(io->links[link].rx_fd, io->rx.headers, n, MSG_DONTWAIT, NULL);
	if (received < 0) {
		count_unreadable(&io->links[link], errno);
		return 0;
	}
	for (int i = 0; i < received; i++) {
		const struct mmsghdr *header = &io->rx.headers[i];
		uint32_t len = header->msg_len - (uint32_t)sizeof(struct virtio_net_hdr);
		bool is_cut = header->msg_hdr.msg_flags & MSG_TRUNC;
		packets[i]->len = is_cut ? PACKET_FRAME_MAX + 1 : len;
	}
	return received;
}

static void afpacket_wait(struct io *io, int wake_fd, int timeout_ms)
{
	struct pollfd fds[MAX_LINKS + 1];
	for (uint32_t i = 0; i < io->n_links; i++)
		fds[i] = (struct pollfd){.fd = io->links[i].rx_fd, .events = POLLIN};
	fds[io->n_links] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
	(void)poll(fds, io->n_links + 1, timeout_ms);
}

// The device or the socket is full: give it a moment. True when another try may work.
static bool wait_for_room(int fd)
{
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	return poll(&room, 1, FULL_WAIT_MS) == 1 && (room.revents & POLLOUT);
}

static bool is_full(int code)
{
	return code == EAGAIN || code == EWOULDBLOCK || code == ENOBUFS;
}

// Returns how many of the first messages are dealt with: sent, or the first one's packet dropped.
static uint32_t send_some(struct io *io, int fd, uint32_t first, uint32_t n, bool *has_waited)
{
	int sent = sendmmsg(fd, io->tx.headers + first, n, MSG_DONTWAIT);
	if (sent > 0)
		return (uint32_t)sent;
	if (is_full(errno) && !*has_waited) {
		*has_waited = true;
		if (wait_for_room(fd))
			return 0;
		errno = EAGAIN;
	}
	packet_drop(io->tx.packets[first],
		    is_full(errno) ? VERDICT_DROP_TX_FULL : VERDICT_DROP_TX_ERROR);
	return 1;
}

// Waits once for room: the link may stay full.
static void send_messages(struct io *io, int fd, uint32_t n)
{
	bool has_waited = false;
	for (uint32_t done = 0; done < n;)
		done += send_some(io, fd, done, n - done, &has_waited);
}

static void afpacket_send_burst(struct io *io, uint32_t link, struct packet *const *packets,
				uint32_t n)
{
	int fd = io->links[link].tx_fd;
	uint32_t n_messages = 0;
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t k = 0; k < packet_n_frames(packets[i]); k++) {
			struct packet_frame frame = packet_frame_at(packets[i], k);
			set_message(&io->tx, n_messages++, packets[i], &frame);
			if (n_messages < PACKET_BURST)
				continue;
			send_messages(io, fd, n_messages);
			n_messages = 0;
		}
	}
	send_messages(io, fd, n_messages);
}

// Reading the socket's numbers resets them.
static uint64_t afpacket_kernel_drops(struct io *io)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < io->n_links; i++) {
		struct tpacket_stats stats;
		socklen_t len = sizeof(stats);
		if (getsockopt(io->links[i].rx_fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) ==
		    0)
			io->links[i].kernel_drops += stats.tp_drops;
		sum += io->links[i].kernel_drops + counter_read(&io->links[i].unreadable);
	}
	return sum;
}

// The kernel puts one program in the place of the other at once.
static int afpacket_set_filter(struct io *io, const char *filter, struct err *err)
{
	int code = 0;
	for (uint32_t i = 0; i < io->n_links && !code; i++)
		code = filter_attach(io->links[i].rx_fd, filter, err);
	return code;
}

const struct io_driver io_afpacket = {
	.name = "afpacket",
	.open = afpacket_open,
	.close = afpacket_close,
	.recv_burst = afpacket_recv_burst,
	.wait = afpacket_wait,
	.send_burst = afpacket_send_burst,
	.set_filter = afpacket_set_filter,
	.kernel_drops = afpacket_kernel_drops,
};
