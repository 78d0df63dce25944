// SPDX-License-Identifier: Apache-2.0
#include "mem_io.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINKS = 16, ABSURD_SECONDS = 60 };

struct queue {
	struct mem_frame *head;
	struct mem_frame **tail;
};

struct io {
	pthread_mutex_t lock; // over everything below
	pthread_cond_t has_sent;
	struct queue rx[MAX_LINKS];
	bool is_finished[MAX_LINKS];
	bool is_end_told[MAX_LINKS]; // to who receives
	struct queue tx;
	uint64_t n_sent;
	enum verdict refusal;
	bool is_forgetting;
	uint32_t n_links;
	int arrivals; // eventfd
};

static struct io *last; // for mem_io_last(), by the thread of the test

struct io *mem_io_last(void)
{
	return last;
}

static void queue_init(struct queue *queue)
{
	queue->head = NULL;
	queue->tail = &queue->head;
}

static void queue_push(struct queue *queue, struct mem_frame *frame)
{
	frame->next = NULL;
	*queue->tail = frame;
	queue->tail = &frame->next;
}

static struct mem_frame *queue_pop(struct queue *queue)
{
	struct mem_frame *frame = queue->head;
	if (!frame)
		return NULL;
	queue->head = frame->next;
	if (!queue->head)
		queue->tail = &queue->head;
	return frame;
}

static struct mem_frame *frame_new(uint32_t link, const uint8_t *bytes, uint32_t len,
				   const struct virtio_net_hdr *vnet)
{
	uint32_t n_bytes = len <= PACKET_FRAME_MAX ? len : 0;
	struct mem_frame *frame = malloc(sizeof(*frame) + n_bytes);
	if (!frame)
		abort();
	frame->link = link;
	frame->len = len;
	frame->vnet = *vnet;
	if (n_bytes && bytes)
		memcpy(frame->bytes, bytes, n_bytes);
	return frame;
}

// ---- the driver's side -------------------------------------------------------------------------

static int memory_open(struct io **io, const struct io_link *links, uint32_t n_links,
		       struct err *err)
{
	(void)links;
	struct io *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the driver");
	pthread_mutex_init(&made->lock, NULL);
	pthread_cond_init(&made->has_sent, NULL);
	for (uint32_t i = 0; i < MAX_LINKS; i++)
		queue_init(&made->rx[i]);
	queue_init(&made->tx);
	made->n_links = n_links;
	made->arrivals = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	*io = last = made;
	return 0;
}

static void drain(struct queue *queue)
{
	struct mem_frame *frame;
	while ((frame = queue_pop(queue)))
		free(frame);
}

static void memory_close(struct io *io)
{
	if (!io)
		return;
	for (uint32_t i = 0; i < MAX_LINKS; i++)
		drain(&io->rx[i]);
	drain(&io->tx);
	close(io->arrivals);
	pthread_mutex_destroy(&io->lock);
	pthread_cond_destroy(&io->has_sent);
	last = last == io ? NULL : last;
	free(io);
}

static void fill(struct packet *packet, const struct mem_frame *frame)
{
	packet->vnet = frame->vnet;
	packet->len = frame->len;
	if (frame->len <= PACKET_FRAME_MAX)
		memcpy(packet->frame, frame->bytes, frame->len);
}

static int memory_recv_burst(struct io *io, uint32_t link, struct packet *const *packets,
			     uint32_t n)
{
	eventfd_t count;
	struct mem_frame *frame;
	uint32_t received = 0;
	pthread_mutex_lock(&io->lock);
	while (received < n && (frame = queue_pop(&io->rx[link]))) {
		fill(packets[received++], frame);
		free(frame);
	}
	bool has_ended = received == 0 && io->is_finished[link];
	io->is_end_told[link] |= has_ended;
	bool is_empty = true;
	for (uint32_t i = 0; i < io->n_links; i++)
		is_empty &= !io->rx[i].head && io->is_finished[i] == io->is_end_told[i];
	if (is_empty)
		(void)eventfd_read(io->arrivals, &count);
	pthread_mutex_unlock(&io->lock);
	return has_ended ? -ENODATA : (int)received;
}

static void memory_wait(struct io *io, int wake_fd, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = io->arrivals, .events = POLLIN},
		{.fd = wake_fd, .events = POLLIN},
	};
	(void)poll(fds, 2, timeout_ms);
}

static void keep_sent(struct io *io, uint32_t link, const struct packet *packet)
{
	for (uint32_t i = 0; i < packet_n_frames(packet); i++) {
		struct packet_frame from = packet_frame_at(packet, i);
		uint32_t len = from.header_len + from.piece_len;
		struct mem_frame *frame = frame_new(link, NULL, len, &packet->vnet);
		memcpy(frame->bytes, from.header, from.header_len);
		if (from.piece_len)
			memcpy(frame->bytes + from.header_len, from.piece, from.piece_len);
		queue_push(&io->tx, frame);
	}
}

static void memory_send_burst(struct io *io, uint32_t link, struct packet *const *packets,
			      uint32_t n)
{
	pthread_mutex_lock(&io->lock);
	for (uint32_t i = 0; i < n; i++) {
		if (io->refusal != VERDICT_NONE) {
			packet_drop(packets[i], io->refusal);
			continue;
		}
		if (!io->is_forgetting)
			keep_sent(io, link, packets[i]);
		io->n_sent++;
	}
	pthread_cond_broadcast(&io->has_sent);
	pthread_mutex_unlock(&io->lock);
}

static uint64_t memory_kernel_drops(struct io *io)
{
	(void)io;
	return 0;
}

const struct io_driver io_memory = {
	.name = "memory",
	.open = memory_open,
	.close = memory_close,
	.recv_burst = memory_recv_burst,
	.wait = memory_wait,
	.send_burst = memory_send_burst,
	.kernel_drops = memory_kernel_drops,
};

// ---- the test's side ---------------------------------------------------------------------------

void mem_io_push(struct io *io, uint32_t link, const uint8_t *frame, uint32_t len,
		 const struct virtio_net_hdr *vnet)
{
	pthread_mutex_lock(&io->lock);
	queue_push(&io->rx[link], frame_new(link, frame, len, vnet));
	(void)eventfd_write(io->arrivals, 1);
	pthread_mutex_unlock(&io->lock);
}

struct mem_frame *mem_io_take(struct io *io)
{
	pthread_mutex_lock(&io->lock);
	struct mem_frame *frame = queue_pop(&io->tx);
	pthread_mutex_unlock(&io->lock);
	return frame;
}

bool mem_io_await_sent(struct io *io, uint64_t n)
{
	struct timespec deadline;
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += ABSURD_SECONDS;
	int code = 0;
	pthread_mutex_lock(&io->lock);
	while (io->n_sent < n && code == 0)
		code = pthread_cond_timedwait(&io->has_sent, &io->lock, &deadline);
	bool is_enough = io->n_sent >= n;
	pthread_mutex_unlock(&io->lock);
	return is_enough;
}

uint64_t mem_io_n_sent(struct io *io)
{
	pthread_mutex_lock(&io->lock);
	uint64_t n = io->n_sent;
	pthread_mutex_unlock(&io->lock);
	return n;
}

void mem_io_refuse(struct io *io, enum verdict verdict)
{
	pthread_mutex_lock(&io->lock);
	io->refusal = verdict;
	pthread_mutex_unlock(&io->lock);
}

void mem_io_finish(struct io *io, uint32_t link)
{
	pthread_mutex_lock(&io->lock);
	for (uint32_t i = 0; i < MAX_LINKS; i++)
		io->is_finished[i] |= i == link || link >= io->n_links;
	(void)eventfd_write(io->arrivals, 1);
	pthread_mutex_unlock(&io->lock);
}

void mem_io_forget_sent(struct io *io)
{
	pthread_mutex_lock(&io->lock);
	io->is_forgetting = true;
	pthread_mutex_unlock(&io->lock);
}
