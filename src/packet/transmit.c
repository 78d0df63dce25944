// SPDX-License-Identifier: Apache-2.0
#include "packet/transmit.h"

static void send_link(struct transmit *transmit, uint32_t link, struct packet *const *packets,
		      uint32_t n)
{
	struct packet *batch[PACKET_BURST];
	uint32_t n_batch = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (packets[i]->is_to_send && packets[i]->tx_link == link)
			batch[n_batch++] = packets[i];
	}
	if (n_batch)
		transmit->driver->send_burst(transmit->io, link, batch, n_batch);
}

// A packet that the driver could not send has lost its is_to_send.
static void enter(struct transmit *transmit, const struct packet *packet)
{
	struct ledger *ledger = &transmit->ledger;
	if (packet->is_to_send && packet->verdict != VERDICT_FORWARDED)
		counter_add(&ledger->generated, 1);
	if (packet->is_spare)
		return;
	counter_add(&ledger->verdicts[packet->verdict], 1);
	sample_packet(&transmit->tap, packet, (enum verdict)packet->verdict);
}

void transmit_burst(struct transmit *transmit, struct packet *const *packets, uint32_t n)
{
	for (uint32_t link = 0; link < transmit->n_links; link++)
		send_link(transmit, link, packets, n);
	for (uint32_t i = 0; i < n; i++)
		enter(transmit, packets[i]);
}
