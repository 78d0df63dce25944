// SPDX-License-Identifier: Apache-2.0
// The last stage: send what is to be sent, link by link in order, and enter every packet's end in
// the ledger. The buffers stay the caller's, to be taken home.
// Called by: the transmitting thread.
#pragma once

#include "culvert/packet/io.h"
#include "packet/ledger.h"
#include "packet/packet.h"
#include "packet/sample.h"

struct transmit {
	const struct io_driver *driver; // borrowed
	struct io *io;                  // borrowed
	uint32_t n_links;
	struct ledger ledger;
	struct sample_tap tap;
};

// At most PACKET_BURST packets.
void transmit_burst(struct transmit *transmit, struct packet *const *packets, uint32_t n);
