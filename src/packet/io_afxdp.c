// SPDX-License-Identifier: Apache-2.0
// AF_XDP sockets for plain packets that are surely culvert's, and packet sockets for all else.
//
// An XDP program on each link (xdp_program.h) takes those before the kernel has made anything of
// them, and puts them into chunks of memory that all sockets share. A packet is rewritten where it
// lies and sent from there. What the program leaves to the kernel comes in by the packet sockets of
// io_afpacket.c, as if there were no other; what does not lie in a chunk leaves by them: resets of
// our own, fragments, super-frames. So this driver carries all that the other one does.
//
// Capture has fill and rx rings and the free chunks, transmit has tx and completion rings.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "culvert/base/log.h"
#include "culvert/packet/io.h"
#include "packet/io_afpacket.h"
#include "packet/packet.h"
#include "packet/partial.h"
#include "packet/xdp_chunks.h"
#include "packet/xdp_device.h"
#include "packet/xdp_program.h"
#include "packet/xdp_socket.h"

enum {
	MAX_LINKS = 16,
	RING_SLOTS = 2048,      // of each ring
	PACKETS_AT_WORK = 8192, // that may have a chunk between capture and transmit
	REST_TURNS = 8,         // packet sockets come first in every such turn
	FILL_AT_ONCE = 64,      // chunks that are worth an update of the ring
	FULL_WAIT_MS = 2,       // how long a send waits for a full device before it drops
	BACKLOG_WAIT_MS = 5,    // how long what could not be sent yet waits
	LATE_WAIT_MS = 1000,    // the same, if transmit has handed it over after the last look
};

_Static_assert(XDP_HEADROOM == 256 + PACKET_HEADROOM, "what the kernel leaves free");
_Static_assert(ETH_HEADER_LEN + IO_XDP_MTU_MAX == XDP_LONG_FRAME_MAX, "as it is said");

struct afxdp_link {
	struct xdp_device device;
	struct xdp_program program;
	struct xdp_socket *sockets; // owned; one for each queue
	uint32_t n_sockets;
	uint32_t next;  // the queue that is looked at first; w: capture
	uint32_t turns; // likewise
	bool is_down;   // as far as sending has shown; w: transmit
};

struct io {
	struct io *packet_sockets; // owned; of io_afpacket
	uint32_t n_links;
	struct afxdp_link links[MAX_LINKS];
	struct xdp_memory memory;
	struct xdp_chunks chunks;
	struct pollfd *fds; // owned; w: capture
	bool is_quiet;      // the last wait has ended for nothing; w: capture
};

static uint32_t count_sockets(const struct io *io)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < io->n_links; i++)
		n += io->links[i].n_sockets;
	return n;
}

// ---- opening -----------------------------------------------------------------------------------

static void close_sockets(struct io *io)
{
	for (uint32_t i = 0; i < io->n_links; i++) {
		for (uint32_t q = 0; q < io->links[i].n_sockets; q++)
			xdp_socket_close(&io->links[i].sockets[q]);
	}
}

static void afxdp_close(struct io *io)
{
	if (!io)
		return;
	for (uint32_t i = 0; i < io->n_links; i++) {
		xdp_program_close(&io->links[i].program);
		xdp_device_restore(&io->links[i].device);
	}
	close_sockets(io);
	for (uint32_t i = 0; i < io->n_links; i++)
		free(io->links[i].sockets);
	io_afpacket.close(io->packet_sockets);
	xdp_chunks_fini(&io->chunks);
	xdp_memory_close(&io->memory);
	free(io->fds);
	free(io);
}

static int open_device(struct afxdp_link *link, const struct io_link *from, struct err *err)
{
	int code = xdp_device_open(&link->device, from->name, err);
	if (code)
		return code;
	link->n_sockets = link->device.n_queues;
	link->sockets = calloc(link->n_sockets, sizeof(*link->sockets));
	if (!link->sockets) {
		link->n_sockets = 0;
		return err_set(err, -ENOMEM, "not enough memory for AF_XDP sockets");
	}
	for (uint32_t q = 0; q < link->n_sockets; q++)
		link->sockets[q].fd = -1;
	return 0;
}

static int open_devices(struct io *io, const struct io_link *links, uint32_t n_links,
			struct err *err)
{
	int code = 0;
	for (uint32_t i = 0; i < n_links && !code; i++) {
		io->links[i].program.link_fd = -1;
		io->n_links++;
		code = open_device(&io->links[i], &links[i], err);
	}
	return code;
}

// Chunks that frames of every link fit into, so far as there are such.
static uint32_t chunk_bytes_of(const struct io *io)
{
	uint32_t longest = 0;
	for (uint32_t i = 0; i < io->n_links; i++) {
		uint32_t mtu = io->links[i].device.mtu;
		longest = mtu > longest ? mtu : longest;
	}
	return ETH_HEADER_LEN + longest <= XDP_FRAME_MAX ? XDP_CHUNK_BYTES : XDP_LONG_CHUNK_BYTES;
}

// No ring ever waits for chunks that lie in others.
static int open_chunks(struct io *io, struct err *err)
{
	uint32_t bytes = chunk_bytes_of(io);
	uint32_t n =
		PACKETS_AT_WORK + count_sockets(io) * 2 * RING_SLOTS + io->n_links * 2 * RING_SLOTS;
	int code = xdp_memory_open(&io->memory, n, bytes, err);
	return code ? code : xdp_chunks_init(&io->chunks, io->memory.start, n, bytes, err);
}

static int open_program(struct io *io, uint32_t i, const struct io_link *from, struct err *err)
{
	struct afxdp_link *link = &io->links[i];
	const struct xdp_program_params params = {
		.are_chunks_long = io->chunks.bytes == XDP_LONG_CHUNK_BYTES,
		.are_super_frames = link->device.is_tap,
		.first = i ? &io->links[0].program : NULL,
	};
	int code = xdp_program_open(&link->program, from, &params, err);
	if (!code)
		xdp_device_keep_tags(&link->device);
	return code;
}

static int open_socket(struct io *io, const struct io_link *from, uint32_t i, uint32_t queue,
		       bool is_copied, struct err *err)
{
	struct afxdp_link *link = &io->links[i];
	struct xdp_socket_params params = {
		.memory = &io->memory,
		.first_fd = i || queue ? io->links[0].sockets[0].fd : -1,
		.name = from->name,
		.ifindex = from->ifindex,
		.queue = queue,
		.n_rx = RING_SLOTS,
		.n_tx = queue == 0 ? RING_SLOTS : 0, // there is one transmitting thread
		.is_copied = is_copied,
	};
	int code = xdp_socket_open(&link->sockets[queue], &params, err);
	if (code)
		return code;
	xdp_chunks_fill(&io->chunks, &link->sockets[queue].fill);
	return xdp_program_add_socket(&link->program, queue, link->sockets[queue].fd, err);
}

static int open_sockets(struct io *io, const struct io_link *links, bool is_copied, struct err *err)
{
	int code = 0;
	for (uint32_t i = 0; i < io->n_links && !code; i++) {
		for (uint32_t q = 0; q < io->links[i].n_sockets && !code; q++)
			code = open_socket(io, &links[i], i, q, is_copied, err);
	}
	return code;
}

static bool are_native(const struct io *io)
{
	for (uint32_t i = 0; i < io->n_links; i++) {
		if (!io->links[i].program.is_native)
			return false;
	}
	return true;
}

// Memory that is shared is copied for all or for none: some devices can do without, and others
// cannot.
static int open_sockets_somehow(struct io *io, const struct io_link *links, struct err *err)
{
	int code = -EOPNOTSUPP;
	if (are_native(io))
		code = open_sockets(io, links, false, err);
	if (code != -EOPNOTSUPP && code != -EINVAL)
		return code;
	close_sockets(io);
	xdp_chunks_reset(&io->chunks);
	return open_sockets(io, links, true, err);
}

static int open_all(struct io *io, const struct io_link *links, uint32_t n_links, struct err *err)
{
	int code = io_afpacket.open(&io->packet_sockets, links, n_links, err);
	if (!code)
		code = open_devices(io, links, n_links, err);
	if (!code)
		code = open_chunks(io, err);
	for (uint32_t i = 0; i < io->n_links && !code; i++)
		code = open_program(io, i, &links[i], err);
	if (!code)
		code = open_sockets_somehow(io, links, err);
	io->fds = calloc(n_links + count_sockets(io) + 1, sizeof(*io->fds));
	if (!code && !io->fds)
		code = err_set(err, -ENOMEM, "not enough memory for AF_XDP sockets");
	return code;
}

static void log_opened(const struct io *io)
{
	bool is_zero_copy = xdp_socket_is_zero_copy(&io->links[0].sockets[0]);
	log_info("xdp", "AF_XDP sockets: %u, which share %zu MiB of memory; %s", count_sockets(io),
		 io->memory.bytes >> 20,
		 is_zero_copy ? "network cards read and write it themselves"
			      : "the kernel copies frames to it and from it");
}

static int afxdp_open(struct io **io, const struct io_link *links, uint32_t n_links,
		      struct err *err)
{
	struct io *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for AF_XDP sockets");
	int code = open_all(made, links, n_links, err);
	if (code) {
		afxdp_close(made);
		return code;
	}
	log_opened(made);
	*io = made;
	return 0;
}

// ---- receiving ---------------------------------------------------------------------------------

static void fill(struct io *io, struct xdp_socket *socket)
{
	xdp_chunks_fill(&io->chunks, &socket->fill);
	if (xdp_ring_wants_call(&socket->fill))
		(void)recvfrom(socket->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static uint32_t receive(struct io *io, struct xdp_socket *socket, struct packet *const *packets,
			uint32_t n)
{
	struct xdp_ring *rx = &socket->rx;
	uint32_t filled = xdp_ring_filled(rx);
	n = filled < n ? filled : n;
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *desc = xdp_ring_desc(rx, rx->at++);
		packets[i]->frame = io->memory.start + desc->addr;
		packets[i]->len = desc->len;
		__builtin_prefetch(packets[i]->frame);
	}
	if (n)
		xdp_ring_release(rx);
	if (xdp_ring_room(&socket->fill) >= FILL_AT_ONCE)
		fill(io, socket);
	for (uint32_t i = 0; i < n; i++)
		partial_recognise(packets[i]);
	return n;
}

static uint32_t receive_rest(struct io *io, uint32_t link, struct packet *const *packets,
			     uint32_t n)
{
	int received = io_afpacket.recv_burst(io->packet_sockets, link, packets, n);
	return received > 0 ? (uint32_t)received : 0;
}

static uint32_t next_queue(const struct afxdp_link *link, uint32_t queue)
{
	return queue + 1 < link->n_sockets ? queue + 1 : 0;
}

static int afxdp_recv_burst(struct io *io, uint32_t number, struct packet *const *packets,
			    uint32_t n)
{
	struct afxdp_link *link = &io->links[number];
	bool is_rests_turn = ++link->turns % REST_TURNS == 0;
	uint32_t received = is_rests_turn ? receive_rest(io, number, packets, n / 2) : 0;
	xdp_chunks_take_home(&io->chunks);
	for (uint32_t i = 0, q = link->next; i < link->n_sockets && received < n; i++) {
		received += receive(io, &link->sockets[q], packets + received, n - received);
		q = next_queue(link, q);
	}
	link->next = next_queue(link, link->next);
	if (received < n)
		received += receive_rest(io, number, packets + received, n - received);
	return (int)received;
}

static void afxdp_release(struct io *io, struct packet *const *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uintptr_t offset = (uintptr_t)packets[i]->frame - (uintptr_t)io->memory.start;
		if (offset < io->memory.bytes)
			xdp_chunks_free(&io->chunks, offset);
	}
}

// What the device could not take is tried again by poll(), which looks at both directions.
static bool has_backlog(const struct io *io)
{
	for (uint32_t i = 0; i < io->n_links; i++) {
		if (xdp_ring_backlog(&io->links[i].sockets[0].tx))
			return true;
	}
	return false;
}

static int wait_ms(const struct io *io, int timeout_ms)
{
	bool is_waiting = has_backlog(io);
	if (!is_waiting && io->is_quiet)
		return timeout_ms;
	int most_ms = is_waiting ? BACKLOG_WAIT_MS : LATE_WAIT_MS;
	return timeout_ms < 0 || timeout_ms > most_ms ? most_ms : timeout_ms;
}

static void afxdp_wait(struct io *io, int wake_fd, int timeout_ms)
{
	nfds_t n = 0;
	xdp_chunks_take_home(&io->chunks);
	for (uint32_t i = 0; i < io->n_links; i++) {
		struct afxdp_link *link = &io->links[i];
		io->fds[n++] = io_afpacket_to_poll(io->packet_sockets, i);
		for (uint32_t q = 0; q < link->n_sockets; q++) {
			fill(io, &link->sockets[q]);
			io->fds[n++] = (struct pollfd){.fd = link->sockets[q].fd, .events = POLLIN};
		}
	}
	io->fds[n++] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
	int n_ready = poll(io->fds, n, wait_ms(io, timeout_ms));
	io->is_quiet = n_ready == 0;
	if (n_ready <= 0)
		return;
	for (nfds_t i = 0; i < n; i++)
		io_afpacket_polled(&io->fds[i]);
}

// ---- sending -----------------------------------------------------------------------------------

// Does it lie in a chunk that can be sent as it is?
static bool is_in_chunk(const struct io *io, const struct packet *packet)
{
	uintptr_t offset = (uintptr_t)packet->frame - (uintptr_t)io->memory.start;
	return offset < io->memory.bytes && !packet->train.headers &&
	       packet->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE;
}

// Where the kernel copies, a call sends some frames and says nothing of how many; it is called
// again as long as that helps. False: the link is down, and what is in the ring stays there.
static bool kick(struct xdp_socket *socket)
{
	uint32_t left = xdp_ring_backlog(&socket->tx);
	uint32_t before;
	if (left == 0 || !xdp_ring_wants_call(&socket->tx))
		return true;
	do {
		before = left;
		if (sendto(socket->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno == ENETDOWN)
			return false;
		left = xdp_ring_backlog(&socket->tx);
	} while (left && left < before);
	return true;
}

// Waits once for room: the link may stay full.
static uint32_t make_room(struct xdp_socket *socket, uint32_t wanted)
{
	uint32_t room = xdp_ring_room(&socket->tx);
	if (room >= wanted)
		return wanted;
	kick(socket);
	if (xdp_ring_room(&socket->tx) == 0) {
		struct pollfd fd = {.fd = socket->fd, .events = POLLOUT};
		(void)poll(&fd, 1, FULL_WAIT_MS);
	}
	room = xdp_ring_room(&socket->tx);
	return room < wanted ? room : wanted;
}

// The chunk is the kernel's from here on, and the packet has none.
static void put(struct io *io, struct xdp_ring *tx, struct packet *packet)
{
	partial_complete(packet);
	*xdp_ring_desc(tx, tx->at++) = (struct xdp_desc){
		.addr = (uint64_t)(packet->frame - io->memory.start),
		.len = packet->len,
	};
	packet->frame = NULL;
	packet->len = 0;
}

static void drop(struct packet *const *packets, uint32_t n, enum verdict verdict)
{
	for (uint32_t i = 0; i < n; i++)
		packet_drop(packets[i], verdict);
}

// The first burst shows that a link is down, and waits in the ring. Others are not to follow it,
// late as they would be, nor to wait for room.
static void send_chunks(struct io *io, struct afxdp_link *link, struct packet *const *packets,
			uint32_t n)
{
	struct xdp_socket *socket = &link->sockets[0];
	if (link->is_down && !kick(socket)) {
		drop(packets, n, VERDICT_DROP_TX_ERROR);
		return;
	}
	xdp_chunks_complete(&io->chunks, &socket->completion);
	uint32_t room = make_room(socket, n);
	for (uint32_t i = 0; i < room; i++)
		put(io, &socket->tx, packets[i]);
	xdp_ring_publish(&socket->tx);
	drop(packets + room, n - room, VERDICT_DROP_TX_FULL);
	link->is_down = !kick(socket);
	xdp_chunks_complete(&io->chunks, &socket->completion);
}

// In order: packets that leave the same way go together.
static void afxdp_send_burst(struct io *io, uint32_t link, struct packet *const *packets,
			     uint32_t n)
{
	for (uint32_t first = 0, end; first < n; first = end) {
		bool is_first_in_chunk = is_in_chunk(io, packets[first]);
		for (end = first + 1; end < n; end++) {
			if (is_in_chunk(io, packets[end]) != is_first_in_chunk)
				break;
		}
		if (is_first_in_chunk)
			send_chunks(io, &io->links[link], packets + first, end - first);
		else
			io_afpacket.send_burst(io->packet_sockets, link, packets + first,
					       end - first);
	}
}

// ---- what control asks -------------------------------------------------------------------------

static int afxdp_set_filter(struct io *io, const char *filter, struct err *err)
{
	return io_afpacket.set_filter(io->packet_sockets, filter, err);
}

static int afxdp_set_scope(struct io *io, const struct io_scope *scope, struct err *err)
{
	return bpf_scope_set(&io->links[0].program.scope, scope, err);
}

static uint64_t afxdp_kernel_drops(struct io *io)
{
	uint64_t sum = io_afpacket.kernel_drops(io->packet_sockets);
	for (uint32_t i = 0; i < io->n_links; i++) {
		for (uint32_t q = 0; q < io->links[i].n_sockets; q++)
			sum += xdp_socket_drops(&io->links[i].sockets[q]);
	}
	return sum;
}

const struct io_driver io_afxdp = {
	.name = "xdp",
	.open = afxdp_open,
	.close = afxdp_close,
	.recv_burst = afxdp_recv_burst,
	.release = afxdp_release,
	.wait = afxdp_wait,
	.send_burst = afxdp_send_burst,
	.set_filter = afxdp_set_filter,
	.set_scope = afxdp_set_scope,
	.kernel_drops = afxdp_kernel_drops,
};
