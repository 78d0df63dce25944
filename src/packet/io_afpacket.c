// SPDX-License-Identifier: Apache-2.0
// Packet sockets: one to receive and one to send per link.
//
// Frames come in by a ring shared with the kernel, and the large ones by recvmmsg(): super-frames
// of segmentation offload travel whole, described by the virtio_net_hdr in front of them, and
// buffers have room for 64 KiB. The kernel's filter decides what is copied at all; the link is not
// made promiscuous.
#include <errno.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "culvert/base/counter.h"
#include "culvert/base/log.h"
#include "culvert/net/ipip.h"
#include "culvert/packet/filter.h"
#include "culvert/packet/io.h"
#include "packet/afpacket_link.h"
#include "packet/io_afpacket.h"
#include "packet/packet.h"

enum {
	MAX_LINKS = 16,
	FULL_WAIT_MS = 2, // how long a send waits for a full device before it drops
	ERRORS_MAX = 8,   // of a socket, in the place of frames that are there
};

enum { VNET_PART, HEADER_PART, PIECE_PART, N_PARTS };

_Static_assert(PACKET_HEADROOM >= IPIP_HEADER_LEN + sizeof(struct virtio_net_hdr),
	       "the virtio_net_hdr fits in front of whatever a packet grows by");

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

static void init_messages(struct message_set *set)
{
	for (uint32_t i = 0; i < PACKET_BURST; i++)
		set->headers[i].msg_hdr.msg_iov = set->parts[i];
}

static void add_part(struct message_set *set, uint32_t i, void *base, size_t len)
{
	struct msghdr *header = &set->headers[i].msg_hdr;
	set->parts[i][header->msg_iovlen++] = (struct iovec){.iov_base = base, .iov_len = len};
}

static void begin_message(struct message_set *set, uint32_t i, struct packet *packet)
{
	set->headers[i].msg_hdr.msg_iovlen = 0;
	set->packets[i] = packet;
}

// A whole packet is one part, its virtio_net_hdr right in front of the frame: the kernel takes that
// in noticeably faster than two.
static void set_whole(struct message_set *set, uint32_t i, struct packet *packet, uint32_t len)
{
	begin_message(set, i, packet);
	add_part(set, i, packet->frame - sizeof(packet->vnet), sizeof(packet->vnet) + len);
}

static void set_frame_of_train(struct message_set *set, uint32_t i, struct packet *packet,
			       uint32_t k)
{
	struct packet_frame frame = packet_frame_at(packet, k);
	begin_message(set, i, packet);
	add_part(set, i, &packet->vnet, sizeof(packet->vnet));
	add_part(set, i, frame.header, frame.header_len);
	if (frame.piece_len)
		add_part(set, i, frame.piece, frame.piece_len);
}

static void set_message(struct message_set *set, uint32_t i, struct packet *packet, uint32_t k)
{
	if (packet->train.headers) {
		set_frame_of_train(set, i, packet, k);
		return;
	}
	memcpy(packet->frame - sizeof(packet->vnet), &packet->vnet, sizeof(packet->vnet));
	set_whole(set, i, packet, packet->len);
}

static void afpacket_close(struct io *io)
{
	if (!io)
		return;
	for (uint32_t i = 0; i < io->n_links; i++)
		afpacket_link_close(&io->links[i]);
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
		made->n_links++;
		int code = afpacket_link_open(&made->links[i], &links[i], err);
		if (code) {
			afpacket_close(made);
			return code;
		}
	}
	*io = made;
	return 0;
}

// A link that goes down has its socket report it, once, in the place of a frame; control hears of
// it by other ways. A frame whose segmentation the kernel cannot describe is lost with EINVAL.
static void count_unreadable(struct afpacket_link *link, int code)
{
	if (code == EINVAL)
		counter_add(&link->unreadable, 1);
}

// Frames that are known to be there, whatever is reported in between: one that was left would be
// taken for the next.
static uint32_t receive_all(struct io *io, struct afpacket_link *link, uint32_t n)
{
	uint32_t done = 0;
	for (int errors = 0; done < n && errors < ERRORS_MAX;) {
		int received =
			recvmmsg(link->rx_fd, io->rx.headers + done, n - done, MSG_DONTWAIT, NULL);
		if (received > 0) {
			done += (uint32_t)received;
			continue;
		}
		count_unreadable(link, errno);
		errors++;
	}
	return done;
}

static uint32_t receive_some(struct io *io, struct afpacket_link *link, uint32_t n)
{
	int received = recvmmsg(link->rx_fd, io->rx.headers, n, MSG_DONTWAIT, NULL);
	if (received >= 0)
		return (uint32_t)received;
	count_unreadable(link, errno);
	return 0;
}

static void expect(struct io *io, uint32_t i, struct packet *packet)
{
	packet->len = PACKET_FRAME_MAX + 1; // until it is there whole
	set_whole(&io->rx, i, packet, PACKET_FRAME_MAX);
}

// The first `n` that were expected are there.
static void finish(struct io *io, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct mmsghdr *header = &io->rx.headers[i];
		struct packet *packet = io->rx.packets[i];
		memcpy(&packet->vnet, packet->frame - sizeof(packet->vnet), sizeof(packet->vnet));
		if (!(header->msg_hdr.msg_flags & MSG_TRUNC))
			packet->len = header->msg_len - (uint32_t)sizeof(packet->vnet);
	}
}

static uint32_t receive_without_ring(struct io *io, struct afpacket_link *link,
				     struct packet *const *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		expect(io, i, packets[i]);
	uint32_t received = receive_some(io, link, n);
	finish(io, received);
	return received;
}

static uint32_t receive_by_ring(struct io *io, struct afpacket_link *link,
				struct packet *const *packets, uint32_t n)
{
	uint32_t n_queued = 0;
	uint32_t n_taken = 0;
	for (; n_taken < n; n_taken++) {
		enum afpacket_slot slot = afpacket_ring_take(&link->ring, packets[n_taken]);
		if (slot == SLOT_EMPTY)
			break;
		if (slot == SLOT_QUEUED)
			expect(io, n_queued++, packets[n_taken]);
	}
	if (n_queued)
		finish(io, receive_all(io, link, n_queued));
	return n_taken;
}

// All since the start, whoever of capture and control has read them.
static uint64_t gather_drops(struct afpacket_link *link)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);
	(void)getsockopt(link->rx_fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	return atomic_fetch_add_explicit(&link->kernel_drops, stats.tp_drops,
					 memory_order_relaxed) +
	       stats.tp_drops;
}

// Control has read that frames were dropped. If nothing has come since the last time it had, and
// there is room, the kernel does not fill the ring any more: afpacket_ring.h.
static void look_after_ring(struct afpacket_link *link)
{
	if (atomic_load_explicit(&link->kernel_drops, memory_order_relaxed) == link->drops_then)
		return;
	bool has_come = link->ring.next != link->next_then;
	link->next_then = link->ring.next;
	// All up to now: those of a burst that was taken, too.
	link->drops_then = gather_drops(link);
	if (has_come || !afpacket_ring_is_empty(&link->ring))
		return;
	afpacket_ring_give_up(&link->ring, link->rx_fd);
	atomic_store_explicit(&link->is_ring_given_up, true, memory_order_relaxed);
}

static int afpacket_recv_burst(struct io *io, uint32_t number, struct packet *const *packets,
			       uint32_t n)
{
	struct afpacket_link *link = &io->links[number];
	if (!afpacket_ring_is_open(&link->ring))
		return (int)receive_without_ring(io, link, packets, n);
	uint32_t received = receive_by_ring(io, link, packets, n);
	if (received == 0)
		look_after_ring(link);
	return (int)received;
}

struct pollfd io_afpacket_to_poll(const struct io *packet_sockets, uint32_t link)
{
	return (struct pollfd){.fd = packet_sockets->links[link].rx_fd, .events = POLLIN};
}

// The socket of a link that went down would go on to end every wait at once.
void io_afpacket_polled(const struct pollfd *polled)
{
	int error;
	socklen_t len = sizeof(error);
	if (polled->revents & POLLERR)
		(void)getsockopt(polled->fd, SOL_SOCKET, SO_ERROR, &error, &len);
}

static void afpacket_wait(struct io *io, int wake_fd, int timeout_ms)
{
	struct pollfd fds[MAX_LINKS + 1];
	for (uint32_t i = 0; i < io->n_links; i++)
		fds[i] = io_afpacket_to_poll(io, i);
	fds[io->n_links] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
	if (poll(fds, io->n_links + 1, timeout_ms) <= 0)
		return;
	for (uint32_t i = 0; i < io->n_links; i++)
		io_afpacket_polled(&fds[i]);
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
			set_message(&io->tx, n_messages++, packets[i], k);
			if (n_messages < PACKET_BURST)
				continue;
			send_messages(io, fd, n_messages);
			n_messages = 0;
		}
	}
	send_messages(io, fd, n_messages);
}

static void say_what_became_of_ring(struct afpacket_link *link)
{
	if (link->is_that_said ||
	    !atomic_load_explicit(&link->is_ring_given_up, memory_order_relaxed))
		return;
	link->is_that_said = true;
	log_warn("packet",
		 "%s: a UDP super-frame that this kernel cannot describe to packet sockets has "
		 "stopped its ring of received frames; until the next start they are read by "
		 "system calls, which is slower",
		 link->name);
}

static uint64_t afpacket_kernel_drops(struct io *io)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < io->n_links; i++) {
		struct afpacket_link *link = &io->links[i];
		say_what_became_of_ring(link);
		sum += gather_drops(link) + counter_read(&link->unreadable);
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
