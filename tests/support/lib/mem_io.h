// SPDX-License-Identifier: Apache-2.0
// A driver without a network: what a test queues is received, what is sent is kept for it. Any
// number of links. Every function may be called while the packet path runs, from one thread of the
// test.
#pragma once

#include "culvert/flow/verdict.h"
#include "culvert/packet/io.h"
#include "packet/packet.h"

extern const struct io_driver io_memory;

struct mem_frame {
	struct mem_frame *next;
	struct virtio_net_hdr vnet;
	uint32_t link;
	uint32_t len; // may be said to be more than PACKET_FRAME_MAX: then there are no bytes
	uint8_t bytes[];
};

// The driver instance opened last.
struct io *mem_io_last(void);

// Let `frame` come in on `link`.
void mem_io_push(struct io *io, uint32_t link, const uint8_t *frame, uint32_t len,
		 const struct virtio_net_hdr *vnet);

// The oldest packet sent and not yet taken, to be freed with free(); NULL when there is none.
struct mem_frame *mem_io_take(struct io *io);

// Wait until `n` packets in all have been sent since the start. False when that takes absurdly
// long.
bool mem_io_await_sent(struct io *io, uint64_t n);
uint64_t mem_io_n_sent(struct io *io);

// From now on sending fails with this verdict; VERDICT_NONE lets it succeed again.
void mem_io_refuse(struct io *io, enum verdict verdict);

// Nothing will come any more, on `link` or, with a `link` beyond the last, on any.
void mem_io_finish(struct io *io, uint32_t link);

// Sent packets are counted but not kept.
void mem_io_forget_sent(struct io *io);
