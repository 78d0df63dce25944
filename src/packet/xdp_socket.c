// SPDX-License-Identifier: Apache-2.0
#include "packet/xdp_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "packet/packet.h"

enum {
	SEND_BUFFER_BYTES = 16 << 20, // what may be on its way where the kernel copies frames
	COMPLETIONS_UNUSED = 2,       // the kernel wants that ring of each socket
	BUSY_TRIES = 100,
	BUSY_PAUSE_MS = 10,
};

static int map_failed(int code, uint32_t n_chunks, struct err *err)
{
	return err_sys(err, code, "cannot map %u chunks for AF_XDP", n_chunks);
}

int xdp_memory_open(struct xdp_memory *memory, uint32_t n_chunks, uint32_t chunk_bytes,
		    struct err *err)
{
	size_t bytes = (size_t)n_chunks * chunk_bytes;
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (start == MAP_FAILED)
		return map_failed(-errno, n_chunks, err);
	(void)madvise(start, bytes, MADV_HUGEPAGE);
	*memory = (struct xdp_memory){start, bytes, chunk_bytes};
	return 0;
}

void xdp_memory_close(struct xdp_memory *memory)
{
	if (memory->start)
		munmap(memory->start, memory->bytes);
	*memory = (struct xdp_memory){0};
}

// ---- rings -------------------------------------------------------------------------------------

// One of the four, as the kernel lays it out.
struct layout {
	int option;
	off_t map_at;
	size_t item_bytes;
	const struct xdp_ring_offset *offset;
};

static int open_ring(struct xdp_ring *ring, int fd, const struct layout *layout, uint32_t n)
{
	const struct xdp_ring_offset *offset = layout->offset;
	size_t bytes = offset->desc + n * layout->item_bytes;
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
			 layout->map_at);
	if (map == MAP_FAILED)
		return -errno;
	uint8_t *base = map;
	*ring = (struct xdp_ring){
		.producer = (_Atomic uint32_t *)(void *)(base + offset->producer),
		.consumer = (_Atomic uint32_t *)(void *)(base + offset->consumer),
		.flags = (_Atomic uint32_t *)(void *)(base + offset->flags),
		.items = base + offset->desc,
		.size = n,
		.map = map,
		.map_bytes = bytes,
	};
	return 0;
}

static int size_ring(int fd, int option, uint32_t n)
{
	int size = (int)n;
	return setsockopt(fd, SOL_XDP, option, &size, sizeof(size)) ? -errno : 0;
}

static int open_rings(struct xdp_socket *made, const struct xdp_socket_params *params)
{
	struct xdp_mmap_offsets offsets;
	socklen_t len = sizeof(offsets);
	uint32_t n_completions = params->n_tx ? params->n_tx : (uint32_t)COMPLETIONS_UNUSED;
	const struct {
		struct xdp_ring *ring;
		uint32_t n;
		struct layout layout;
	} rings[] = {
		{&made->fill,
		 params->n_rx,
		 {XDP_UMEM_FILL_RING, (off_t)XDP_UMEM_PGOFF_FILL_RING, sizeof(uint64_t),
		  &offsets.fr}},
		{&made->completion,
		 n_completions,
		 {XDP_UMEM_COMPLETION_RING, (off_t)XDP_UMEM_PGOFF_COMPLETION_RING, sizeof(uint64_t),
		  &offsets.cr}},
		{&made->rx,
		 params->n_rx,
		 {XDP_RX_RING, XDP_PGOFF_RX_RING, sizeof(struct xdp_desc), &offsets.rx}},
		{&made->tx,
		 params->n_tx,
		 {XDP_TX_RING, XDP_PGOFF_TX_RING, sizeof(struct xdp_desc), &offsets.tx}},
	};
	int code = 0;
	for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]) && !code; i++) {
		if (rings[i].n)
			code = size_ring(made->fd, rings[i].layout.option, rings[i].n);
	}
	if (!code && getsockopt(made->fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &len))
		code = -errno;
	for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]) && !code; i++) {
		if (rings[i].n)
			code = open_ring(rings[i].ring, made->fd, &rings[i].layout, rings[i].n);
	}
	return code;
}

static void close_ring(struct xdp_ring *ring)
{
	if (ring->map)
		munmap(ring->map, ring->map_bytes);
	*ring = (struct xdp_ring){0};
}

// ---- sockets -----------------------------------------------------------------------------------

static int open_fd(const char *name, struct err *err)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	int code = -errno;
	if (fd >= 0)
		return fd;
	if (code == -EPERM)
		return err_set(err, code,
			       "%s: AF_XDP sockets need root or CAP_NET_RAW; run with sudo", name);
	if (code == -EAFNOSUPPORT)
		return err_set(err, code,
			       "%s: this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS); set "
			       "io = \"afpacket\"",
			       name);
	return err_sys(err, code, "%s: cannot open an AF_XDP socket", name);
}

// The memory stays where it is, which is limited for those without CAP_IPC_LOCK.
static int register_memory(int fd, const struct xdp_memory *memory, struct err *err)
{
	struct xdp_umem_reg reg = {
		.addr = (uintptr_t)memory->start,
		.len = memory->bytes,
		.chunk_size = memory->chunk_bytes,
		.headroom = PACKET_HEADROOM,
	};
	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) == 0)
		return 0;
	int code = -errno;
	if (code == -ENOBUFS)
		return err_set(err, code,
			       "AF_XDP locks %zu MiB of memory, which is more than this process "
			       "may; it needs CAP_IPC_LOCK (run as root, or by the systemd unit), "
			       "or a higher limit (ulimit -l)",
			       memory->bytes >> 20);
	return err_sys(err, code, "cannot register %zu MiB of memory for AF_XDP",
		       memory->bytes >> 20);
}

// The kernel gives a queue back a moment after the process before has ended.
static int bind_patiently(int fd, const struct sockaddr_xdp *addr)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_MS * 1000000L};
	for (int left = BUSY_TRIES;; left--) {
		if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
			return 0;
		if (errno != EBUSY || left == 0)
			return -errno;
		nanosleep(&pause, NULL);
	}
}

static int bind_to(int fd, const struct xdp_socket_params *params, struct err *err)
{
	bool is_first = params->first_fd < 0;
	struct sockaddr_xdp addr = {
		.sxdp_family = AF_XDP,
		.sxdp_ifindex = params->ifindex,
		.sxdp_queue_id = params->queue,
		.sxdp_flags = XDP_SHARED_UMEM,
		.sxdp_shared_umem_fd = (uint32_t)params->first_fd,
	};
	if (is_first) {
		addr.sxdp_flags = XDP_USE_NEED_WAKEUP;
		if (params->is_copied)
			addr.sxdp_flags |= XDP_COPY;
		addr.sxdp_shared_umem_fd = 0;
	}
	int code = bind_patiently(fd, &addr);
	if (code == 0)
		return 0;
	if (code == -EBUSY)
		return err_set(err, code,
			       "%s: another program has an AF_XDP socket at queue %u; stop it, or "
			       "set io = \"afpacket\"",
			       params->name, params->queue);
	return err_sys(err, code, "%s: cannot bind an AF_XDP socket to queue %u", params->name,
		       params->queue);
}

static void set_send_buffer(int fd)
{
	int bytes = SEND_BUFFER_BYTES;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int xdp_socket_open(struct xdp_socket *socket, const struct xdp_socket_params *params,
		    struct err *err)
{
	*socket = (struct xdp_socket){.fd = open_fd(params->name, err)};
	if (socket->fd < 0)
		return socket->fd;
	int code = 0;
	if (params->first_fd < 0)
		code = register_memory(socket->fd, params->memory, err);
	if (!code && (code = open_rings(socket, params)))
		err_sys(err, code, "%s: cannot make the rings of an AF_XDP socket", params->name);
	if (!code)
		code = bind_to(socket->fd, params, err);
	if (code)
		xdp_socket_close(socket);
	else if (params->n_tx)
		set_send_buffer(socket->fd);
	return code;
}

void xdp_socket_close(struct xdp_socket *socket)
{
	close_ring(&socket->fill);
	close_ring(&socket->completion);
	close_ring(&socket->rx);
	close_ring(&socket->tx);
	if (socket->fd >= 0)
		close(socket->fd);
	socket->fd = -1;
}

bool xdp_socket_is_zero_copy(const struct xdp_socket *socket)
{
	struct xdp_options options = {0};
	socklen_t len = sizeof(options);
	return getsockopt(socket->fd, SOL_XDP, XDP_OPTIONS, &options, &len) == 0 &&
	       (options.flags & XDP_OPTIONS_ZEROCOPY);
}

uint64_t xdp_socket_drops(const struct xdp_socket *socket)
{
	struct xdp_statistics stats = {0};
	socklen_t len = sizeof(stats);
	if (getsockopt(socket->fd, SOL_XDP, XDP_STATISTICS, &stats, &len))
		return 0;
	return stats.rx_dropped + stats.rx_ring_full;
}
